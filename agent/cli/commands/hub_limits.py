"""Commands on the workspaces of a hub: their use, their limits, and the removal of old versions."""

from __future__ import annotations

import contextlib
import re
import time
from typing import TYPE_CHECKING, Any, Final

import click

from agent.cli import confirmations, render
from agent.cli.command import App, command
from agent.cli.commands.hub_place import HubPlace, hub_errors, place_options
from agent.cli.exit_codes import ExitCode
from agent.cli.humanize import size_words
from agent.cli.output import View

if TYPE_CHECKING:
    from agent.hub.store.workspaces import Workspace

_SIZE: Final = re.compile(r"(\d{1,15})\s*([KMGT]?)(I?)B?", re.IGNORECASE)
_NONE: Final = "none"


class _Count(click.types.StringParamType):
    """A whole number from 1, or ``none``, which is returned as 0."""

    name = "count"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        text = str(value).lower()
        if text == _NONE:
            return 0
        if not text.isascii() or not text.isdigit() or not 0 < int(text) < 2**31:
            self.fail(f"{value!r} is neither a whole number from 1 nor none", param, ctx)
        return int(text)


class _Size(click.types.StringParamType):
    """A size in bytes such as ``500MB`` or ``2GiB``, or ``none``, which is returned as 0."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        text = str(value).strip()
        if text.lower() == _NONE:
            return 0
        found = _SIZE.fullmatch(text)
        size = 0 if found is None else _bytes(int(found[1]), found[2].upper(), 1024 if found[3] else 1000)
        if not 0 < size < 2**63:
            self.fail(f"{value!r} is neither a size such as 500MB or 2GiB nor none", param, ctx)
        return size


def _bytes(count: int, unit: str, base: int) -> int:
    for _ in range(" KMGT".index(unit or " ")):
        count *= base
    return count


@command("workspaces")
@place_options
def workspaces_command(app: App, *, place: HubPlace) -> ExitCode:
    """List the workspaces of a hub with their use and their limits."""
    with hub_errors():
        from agent.hub.store.workspaces import WorkspaceRegistry

        with contextlib.closing(place.existing_store()) as store:
            documents = [_document(workspace) for workspace in WorkspaceRegistry(store).all()]
    app.output.data(documents, _list)
    return ExitCode.DONE


@command("limit")
@click.argument("workspace", metavar="WORKSPACE")
@click.option("--quota", type=_Size(), metavar="SIZE", help="Most bytes of texts and files, such as 10GB; or none.")
@click.option("--keep-versions", type=_Count(), metavar="N", help="Newest versions of each file to keep; or none.")
@click.option("--keep-days", type=_Count(), metavar="N", help="Days to keep a replaced or deleted version; or none.")
@place_options
def limit_command(
    app: App,
    *,
    place: HubPlace,
    workspace: str,
    quota: int | None,
    keep_versions: int | None,
    keep_days: int | None,
) -> ExitCode:
    """Set the quota of a workspace, and which old versions it keeps. What is not named stays as it is.

    The present text of a file is never removed. With `none` a limit ends.
    """
    with hub_errors():
        from agent.hub.domain.retention import Retention
        from agent.hub.store.workspaces import WorkspaceRegistry

        with contextlib.closing(place.existing_store()) as store:
            registry = WorkspaceRegistry(store)
            before = registry.one(workspace)
            rule = Retention(
                _changed(keep_versions, before.retention.versions), _changed(keep_days, before.retention.days)
            )
            after = registry.limit(workspace, _changed(quota, before.quota), rule)
    app.output.done(_document(after), confirmations.hub_limit)
    return ExitCode.DONE


@command("prune")
@place_options
def prune_command(app: App, *, place: HubPlace) -> ExitCode:
    """Remove the old versions that no workspace has to keep. A hub that serves does the same once a day."""
    with hub_errors():
        from agent.hub.store.pruning import prune
        from agent.hub.store.workspaces import WorkspaceRegistry

        now = int(time.time() * 1000)
        documents = []
        with contextlib.closing(place.existing_store()) as store:
            for workspace in WorkspaceRegistry(store).all():
                if workspace.retention.removes:
                    done = prune(store, workspace, now)
                    documents.append(
                        {
                            "id": workspace.id,
                            "versions": done.versions,
                            "contents": done.contents,
                            "bytes": done.bytes,
                        }
                    )
    app.output.data(documents, _removed)
    return ExitCode.DONE


def _changed(given: int | None, before: int | None) -> int | None:
    """Return the new limit: the one of before if none is given, and no limit for 0."""
    return before if given is None else given or None


def _document(workspace: Workspace) -> dict[str, object]:
    return {
        "id": workspace.id,
        "sources": workspace.sources,
        "bytes": workspace.used,
        "quota": workspace.quota,
        "keep_versions": workspace.retention.versions,
        "keep_days": workspace.retention.days,
    }


def _list(document: Any) -> View:
    return render.grid(
        ("ID", "SOURCES", "USED", "QUOTA", "VERSIONS", "DAYS"),
        [
            (
                row["id"],
                str(row["sources"]),
                size_words(row["bytes"]),
                _NONE if row["quota"] is None else size_words(row["quota"]),
                str(row["keep_versions"] or "all"),
                str(row["keep_days"] or "all"),
            )
            for row in document
        ],
        "no workspaces; the first source makes one",
    )


def _removed(document: Any) -> View:
    return render.grid(
        ("ID", "VERSIONS", "CONTENTS", "BYTES"),
        [tuple(str(row[name]) for name in ("id", "versions", "contents", "bytes")) for row in document],
        "no workspace has a limit on old versions; raven-agent hub limit sets one",
    )
