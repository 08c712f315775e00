"""The command that removes what deleted sources left on a hub."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any, Final

import click

from agent.cli import render
from agent.cli.command import App, command, dry_run_option, yes_option
from agent.cli.commands.hub_place import HubPlace, hub_errors, place_options
from agent.cli.exit_codes import ExitCode
from agent.cli.humanize import count_of, size_words
from agent.cli.output import TextLine, View

if TYPE_CHECKING:
    from agent.hub.store.purging import Purge

_KEPT_DAYS: Final = 30


@command("purge")
@click.option(
    "--kept-days",
    type=click.IntRange(0, 36_500),
    default=_KEPT_DAYS,
    show_default=True,
    metavar="N",
    help="Days for which a deleted source is kept.",
)
@dry_run_option
@yes_option
@place_options
def purge_command(app: App, *, place: HubPlace, kept_days: int, dry_run: bool, yes: bool) -> ExitCode:
    """Remove sources that were deleted long ago, with their history. This cannot be undone.

    Contents that another source still names stay. The sources are shown before the question.
    """
    with hub_errors():
        from agent.hub.store.purging import plan_purge, purge

        now = int(time.time() * 1000)
        with contextlib.closing(place.existing_store()) as store:
            plan = plan_purge(store, kept_days, now)
            planned = _document(plan, removed=False)
            if dry_run or not plan.sources:
                app.output.data(planned, _view)
                return ExitCode.DONE
            if not yes:
                app.output.plan(planned, _view)
                app.confirm(f"Remove {count_of(len(plan.sources), 'deleted source')} for ever?", "--yes")
            done = purge(store, plan, now)
    app.output.data(_document(done, removed=True), _view)
    return ExitCode.DONE


def _document(purge: Purge, *, removed: bool) -> dict[str, object]:
    return {
        "removed": removed,
        "sources": [
            {
                "id": source.id,
                "name": source.name,
                "workspace": source.workspace.id,
                "deleted_at": source.deleted_at,
                "versions": source.versions,
            }
            for source in purge.sources
        ],
        "contents": purge.contents,
        "bytes": purge.bytes,
    }


def _view(document: Any) -> View:
    sources = document["sources"]
    rows = render.grid(
        ("ID", "NAME", "WORKSPACE", "DELETED", "VERSIONS"),
        [(each["id"], each["name"], each["workspace"], _day(each["deleted_at"]), each["versions"]) for each in sources],
        "no source was deleted that long ago",
    )
    if not sources:
        return rows
    begin = "removed" if document["removed"] else "this would remove"
    return [*rows, TextLine(f"{begin} {count_of(document['contents'], 'content')} of {size_words(document['bytes'])}")]


def _day(milliseconds: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(milliseconds / 1000))
