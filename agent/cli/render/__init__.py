"""Documents that commands show, in the form for people. Pure: a document in, a view out.

One module a group of commands; ``base.py`` holds the parts they share. ``agent.cli.confirmations`` has the sentences
of commands that change something.
"""

from agent.cli.render.base import Document, changed, grid, nothing
from agent.cli.render.conflict_views import conflicts, diff, resolve
from agent.cli.render.file_views import activity, explain, files, history, trash
from agent.cli.render.list_views import doctor, servers, settings, sources, word
from agent.cli.render.source_views import (
    declarations,
    link,
    plan_line,
    progress_words,
    source_line,
    source_troubles,
    state_words,
    status,
    sync,
)

__all__ = [
    "Document",
    "activity",
    "changed",
    "conflicts",
    "declarations",
    "diff",
    "doctor",
    "explain",
    "files",
    "grid",
    "history",
    "link",
    "nothing",
    "plan_line",
    "progress_words",
    "resolve",
    "servers",
    "settings",
    "source_line",
    "source_troubles",
    "sources",
    "state_words",
    "status",
    "sync",
    "trash",
    "word",
]
