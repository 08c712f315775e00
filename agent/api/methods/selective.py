"""Selective sync: the folders of a source that a person keeps on this machine, stored by the server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from shlex import quote

from agent.core.errors import ProblemKind, RemoteError, UsageError
from agent.core.scope import EVERYTHING, PreferredFolder, SyncPreference, with_folder, without_folder
from agent.remotes.protocol import SelectiveSync
from agent.runtime.agent import Agent
from agent.settings.links import SourceEntry

_ALL = "."


def wanted_preference(
    agent: Agent, source: SourceEntry, keep: Sequence[str], leave_out: Sequence[str]
) -> SyncPreference | None:
    """Return the preference of a source with folders kept or left out; as it is without any.

    Args:
        keep, leave_out: paths of folders, absolute or relative to the root; "." to keep everything.

    Raises:
        UsageError: the server has no selective sync or no such folder, or cannot express the choice.
        RemoteError: the server cannot be asked.
    """
    if not keep and not leave_out:
        return source.preference
    selective = agent.connection(source.server).remote.selective_sync
    if selective is None:
        raise UsageError(
            f"the server of {source.root} has no selective sync",
            f"for this machine alone: raven-agent rules {quote(str(source.root))} --exclude 'FOLDER/'",
        )
    wanted = source.preference or EVERYTHING
    for path in keep:
        inside = _relative(source, path)
        wanted = EVERYTHING if inside == _ALL else with_folder(wanted, _folder(selective, source, inside))
    for path in leave_out:
        inside = _relative(source, path)
        if inside == _ALL:
            raise UsageError("that would leave out everything", f"raven-agent pause {quote(str(source.root))}")
        wanted = _without(wanted, _folder(selective, source, inside), source)
    return wanted


def _without(wanted: SyncPreference, folder: PreferredFolder, source: SourceEntry) -> SyncPreference:
    chosen = wanted.selected or ()
    if wanted.selected is not None and folder.id not in {one.id for one in chosen}:
        names = ", ".join(path for one in chosen for path in one.paths[:1])
        raise UsageError(
            f"{folder.paths[0]} is not one of the chosen folders ({names})",
            f"a server takes chosen folders or left-out ones, not both; choose all first: "
            f"raven-agent rules {quote(str(source.root))} --folder .",
        )
    left = without_folder(wanted, folder)
    if left.selected == ():
        raise UsageError(
            f"{folder.paths[0]} is the only chosen folder, so nothing would be left",
            f"raven-agent pause {quote(str(source.root))}, or choose all: --folder .",
        )
    return left


def _relative(source: SourceEntry, path: str) -> str:
    given = PurePosixPath(path)
    if given.is_absolute():
        try:
            given = given.relative_to(source.root)
        except ValueError:
            raise UsageError(f"{path} does not lie in {source.root}") from None
    if ".." in given.parts:
        raise UsageError(f"{path} does not lie in {source.root}")
    return given.as_posix()


def _folder(selective: SelectiveSync, source: SourceEntry, path: str) -> PreferredFolder:
    try:
        return selective.folder(source.source_id, path)
    except RemoteError as error:
        if error.problem.kind is not ProblemKind.NOT_FOUND:
            raise
        raise UsageError(
            f"the server has no folder {path}", "a folder exists there once a file in it is synced"
        ) from error
