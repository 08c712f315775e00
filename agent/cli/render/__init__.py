"""Documents that commands show, in the form for people. Pure: a document in, a view out.

One module a group of commands; ``base.py`` holds the parts they share. ``agent.cli.confirmations`` has the sentences
of commands that change something.
"""

from agent.cli.render.base import Document, changed, grid, nothing
from agent.cli.render.conflict_views import compare, conflicts, diff, draft, draft_rebased, drafts, resolve
from agent.cli.render.file_views import activity, activity_counts, events, explain, files, history, traffic, trash
from agent.cli.render.list_views import doctor, servers, settings, sources, word
from agent.cli.render.machine_views import devices
from agent.cli.render.source_views import (
    accounts,
    change_line,
    declarations,
    link,
    no_folder,
    plan_line,
    shown_sources,
    source_troubles,
    sources_in_lines,
    state_words,
    status,
    sync,
)

__all__ = [
    "Document",
    "accounts",
    "activity",
    "activity_counts",
    "change_line",
    "changed",
    "compare",
    "conflicts",
    "declarations",
    "devices",
    "diff",
    "doctor",
    "draft",
    "draft_rebased",
    "drafts",
    "events",
    "explain",
    "files",
    "grid",
    "history",
    "link",
    "no_folder",
    "nothing",
    "plan_line",
    "resolve",
    "servers",
    "settings",
    "shown_sources",
    "source_troubles",
    "sources",
    "sources_in_lines",
    "state_words",
    "status",
    "sync",
    "traffic",
    "trash",
    "word",
]
