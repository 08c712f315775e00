"""Helpers of several methods: times and paths as the contract writes them, and rows read on the control thread."""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from msgspec import UNSET, UnsetType

from agent.api.schema.common import FolderParams
from agent.core.conflict import Conflict
from agent.core.errors import AgentError, UsageError
from agent.core.model import Presence, Side
from agent.core.reconcile import Step
from agent.engine.status import SourceView
from agent.index.trees import PathRow
from agent.runtime.agent import Agent
from agent.runtime.local_folder import LocalFolder
from agent.settings.links import SourceEntry

T = TypeVar("T")


class Unsent(AgentError):
    """Changes of this machine have not reached the server."""

    code = "unsent"


class RequestRefused(AgentError):
    """The request is valid and cannot be granted in the present state."""

    code = "refused"


def moment_param(text: str | None) -> float:
    """Return an RFC 3339 time as seconds since the epoch; 0 for None.

    Raises:
        UsageError: the text is no time.
    """
    if text is None:
        return 0.0
    try:
        return dt.datetime.fromisoformat(text).timestamp()
    except ValueError as error:
        raise UsageError(f"{text!r} is not a time", "for example 2026-03-01T12:00:00Z") from error


def stamp(moment: float) -> str:
    """Format seconds since the epoch as RFC 3339 UTC."""
    return dt.datetime.fromtimestamp(moment, dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def stamp_or_none(moment: float | None) -> str | None:
    """Format seconds since the epoch as RFC 3339 UTC; None for None."""
    return None if moment is None else stamp(moment)


def path_param(path: str | None, raw: str | None, name: str = "path") -> str:
    """Return a path parameter; its true bytes win over the readable form.

    Raises:
        UsageError: it is missing, or is no path of this system.
    """
    if raw is not None:
        try:
            found = os.fsdecode(base64.b64decode(raw, validate=True))
        except ValueError as error:
            raise UsageError(f"{name}_base64 is not base64") from error
    else:
        found = path or ""
    if not found:
        raise UsageError(f"{name} is needed")
    if "\0" in found:
        raise UsageError(f"{name} holds a NUL character, which no path can")
    return found


def readable(path: str) -> str:
    """Return a path as JSON can hold it: U+FFFD for each byte that is not UTF-8."""
    return os.fsencode(path).decode("utf-8", "replace")


def raw_path(path: str) -> str | UnsetType:
    """Return the bytes of a path that is not UTF-8 as base64; unset for any other path."""
    raw = os.fsencode(path)
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return base64.b64encode(raw).decode("ascii")
    return UNSET


def raw_bytes(raw: bytes | None) -> str | UnsetType:
    """Return the bytes of a name that is not UTF-8 as base64; unset for None."""
    return UNSET if raw is None else base64.b64encode(raw).decode("ascii")


def chosen_sources(agent: Agent, params: FolderParams) -> list[SourceEntry]:
    """Return the source of ``folder``, or all sources.

    Raises:
        UsageError: the folder is not linked.
    """
    if params.folder is None and params.folder_base64 is None:
        return list(agent.registry.sources)
    return [agent.source_for(path_param(params.folder, params.folder_base64, "folder"))]


def chosen_or_unlinked(agent: Agent, params: FolderParams) -> list[SourceEntry]:
    """Return the source of ``folder``, or all sources; those that were unlinked too.

    Raises:
        UsageError: the folder neither is nor was linked.
    """
    unlinked = [one.source for one in agent.registry.unlinked]
    if params.folder is None and params.folder_base64 is None:
        return [*agent.registry.sources, *unlinked]
    root = Path(path_param(params.folder, params.folder_base64, "folder"))
    found = [source for source in unlinked if source.root == root]
    return found if found and agent.registry.source_at(root) is None else [*chosen_sources(agent, params), *found]


def first_rows(rows: list[T], limit: int | None) -> list[T]:
    """Return the first ``limit`` rows."""
    return rows if limit is None else rows[: max(0, limit)]


def rows_after(rows: list[T], marks: Sequence[str], after: str | int | None) -> list[T]:
    """Return the rows behind the one whose mark is ``after``, or begins with it; all rows for None.

    Raises:
        UsageError: no row has that mark, so that a caller who pages does not begin again; or several begin with it.
    """
    if after is None:
        return rows
    wanted = str(after)
    found = [place for place, mark in enumerate(marks) if mark == wanted]
    found = found or [place for place, mark in enumerate(marks) if wanted and mark.startswith(wanted)]
    if len(found) != 1:
        words = "several entries begin with" if found else "there is no entry"
        raise UsageError(f"{words} {wanted!r}", "--after takes the id of the last entry that was listed")
    return rows[found[0] + 1 :]


def row_of(agent: Agent, source: SourceEntry, path: str) -> PathRow:
    """Read the trees of one path."""
    return agent.control.call(lambda: agent.index.trees.get(source.key, [path])[path])


def live_conflicts(agent: Agent, source: SourceEntry) -> list[Conflict]:
    """Read the conflicts of a source that are not closed."""
    return agent.control.call(lambda: agent.index.conflicts.live(source.key))


def parked_paths(agent: Agent, source: SourceEntry) -> set[str]:
    """Read the paths of a source that a conflict parks."""
    return agent.control.call(lambda: agent.index.conflicts.parked_paths(source.key))


def file_state(row: PathRow, *, parked: bool) -> str:
    """Return a file's state as ``files`` shows it."""
    if parked:
        return "conflict"
    if row.step in (Step.SKIP, Step.UNKNOWN) or row.local.presence is Presence.UNKNOWN:
        return "skipped"
    if row.step in (Step.PUSH, Step.PUSH_DELETE):
        return "pending_push"
    if row.step in (Step.PULL, Step.PULL_DELETE):
        return "pending_pull"
    return "conflict" if row.step is Step.PARK else "ok"


def hash_of(side: Side) -> str | None:
    """Return a side's hash; None is "no such file"."""
    return side.hash if side.is_file else None


def remote_of(agent: Agent, source: SourceEntry) -> Any:
    """Return the adapter of a source's server. Raises RemoteError."""
    return agent.connection(source.server).remote


def held_message(view: SourceView) -> str | None:
    """Return the sentence about held deletes, with both ways on; None if none are held."""
    if not view.held_plan:
        return None
    held = "1 delete is" if view.held_count == 1 else f"{view.held_count} deletes are"
    return f"{held} held; sync --approve-deletes {view.held_plan}, or --undo-deletes"


def paused_until(view: SourceView) -> str | None:
    """Return the end of this machine's pause; None without a pause or an end."""
    return None if view.paused_until in (None, float("inf")) else stamp_or_none(view.paused_until)


def paused_by(source: SourceEntry, view: SourceView) -> str | None:
    """Return who paused a source on this machine: person, or server by its preferences; None without a pause here."""
    if view.paused_until is None:
        return None
    is_off = source.preference is not None and not source.preference.enabled
    return "server" if is_off else "person"


@contextlib.contextmanager
def opened_folder(agent: Agent, source: SourceEntry) -> Iterator[LocalFolder]:
    """Open a source's folder for the length of a block. Its properties raise RootError while the folder is away."""
    folder = agent.folder(source)
    try:
        yield folder
    finally:
        folder.close()
