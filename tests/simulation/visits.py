"""Revisions of their own, over a server that has none: each visit of a text at a path has another one.

The adapter of a Raven server states the hash as the revision, so that a text that comes back looks as it did. Here the
revision also names the event that began the visit. Then a base that keeps the revision of an older visit shows, and so
does any answer, listing or head whose revision is not told on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from agent.core.events import ConflictClosed, ConflictOpened, FeedEvent, Page, Upsert
from agent.core.remote_records import Outcome, RemoteConflict, RemoteFile, RemoteHead, RemoteVersion
from agent.index.store import Index
from agent.remotes.protocol import Outgoing, PushAnswer
from simulation.revisions import WrongRevision

if TYPE_CHECKING:
    from agent.remotes.raven.adapter import RavenRemote
    from simulation.world import World

Written = tuple[int, str, str | None]
"""Cursor, path and sha256 of a text that an event put there; None for a delete."""


@dataclass(frozen=True, slots=True)
class Visit:
    """A stretch in which a path held one text, however often it was written. ``last``: cursor of its last event."""

    digest: str
    first: int
    last: int

    @property
    def rev(self) -> str:
        """The revision."""
        return f"{self.digest}@{self.first}"


def visits(written: Sequence[Written], path: str) -> list[Visit]:
    """The visits of a path since its file was made, oldest first."""
    found: list[Visit] = []
    for cursor, where, digest in written:
        if where != path:
            continue
        if digest is None:
            found.clear()
        elif found and found[-1].digest == digest:
            found[-1] = dataclasses.replace(found[-1], last=cursor)
        else:
            found.append(Visit(digest, cursor, cursor))
    return found


class VisitRemote:
    """The adapter, with revisions of visits in all that it answers. Everything else is passed on."""

    def __init__(self, inner: RavenRemote, log: Callable[[], Sequence[Written]]) -> None:
        self._inner = inner
        self._log = log

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def pull(self, *given: Any, **more: Any) -> Page:
        """As in ``Remote``."""
        page = self._inner.pull(*given, **more)
        log = self._log()
        return replace(page, events=tuple(self._event(log, event) for event in page.events))

    def push(self, source_id: str, connector_id: str | None, batch: Sequence[Outgoing], *more: Any) -> PushAnswer:
        """As in ``Remote``. Raises WrongRevision for a base that is named by the revision of another text."""
        for outgoing in batch:
            check_one(f"base of {outgoing!r}", outgoing.operation.base, outgoing.operation.base_rev)
        answer = self._inner.push(source_id, connector_id, batch, *more)
        log, paths = self._log(), {out.operation.id: out.operation for out in batch}
        return replace(
            answer, outcomes=tuple(self._outcome(log, paths[o.operation_id].path, o) for o in answer.outcomes)
        )

    def head(self, source_id: str, path: str) -> RemoteHead | None:
        """As in ``Remote``."""
        head = self._inner.head(source_id, path)
        if head is None:
            return None
        log = self._log()
        past = _with_visits(head.versions, visits(log, path))
        return replace(head, rev=_newest(log, path, head.hash), versions=past)

    def listing(self, source_id: str) -> Iterator[list[RemoteFile]]:
        """As in ``Remote``."""
        for page in self._inner.listing(source_id):
            log = self._log()
            yield [replace(file, rev=_newest(log, file.path, file.hash)) for file in page]

    def state_digest(self, source_id: str) -> str:
        """A digest of contents says nothing of visits: it never equals, so the files are listed."""
        return f"visits of {source_id}"

    def conflicts(self, source_id: str, *wanted: Any, **more: Any) -> Iterator[RemoteConflict]:
        """As in ``Remote``."""
        log = self._log()
        return (self._conflict(log, found) for found in self._inner.conflicts(source_id, *wanted, **more))

    def _event(self, log: Sequence[Written], event: FeedEvent) -> FeedEvent:
        match event:
            case Upsert():
                here = (v for v in visits(_until(log, event), event.path) if v.last == event.position)
                return replace(event, rev=next((v.rev for v in here), f"{event.hash}@{event.position}"))
            case ConflictOpened():
                head = _newest(_until(log, event), event.path, event.remote_hash)
                return replace(event, local_rev=_refused(event.local_hash), remote_rev=head)
            case ConflictClosed():
                return replace(event, rev=_newest(log, event.path, event.hash))
        return event

    def _outcome(self, log: Sequence[Written], path: str, outcome: Outcome) -> Outcome:
        if outcome.conflict is not None:
            return replace(outcome, conflict=self._conflict(log, outcome.conflict))
        return replace(outcome, rev=_newest(log, path, outcome.rev))

    def _conflict(self, log: Sequence[Written], found: RemoteConflict) -> RemoteConflict:
        head = _newest(log, found.path, found.remote_hash)
        return replace(found, base_rev=None, local_rev=_refused(found.local_hash), remote_rev=head)


def _until(log: Sequence[Written], event: Upsert | ConflictOpened) -> list[Written]:
    return [written for written in log if written[0] <= event.position]


def _refused(digest: str | None) -> str | None:
    return None if digest is None else f"{digest}@refused"


def _newest(log: Sequence[Written], path: str, digest: str | None) -> str | None:
    return next((visit.rev for visit in reversed(visits(log, path)) if visit.digest == digest), None)


def _with_visits(versions: Sequence[RemoteVersion], found: list[Visit]) -> tuple[RemoteVersion, ...]:
    """The history with its revisions, if it holds exactly one version for each visit; else it has none."""
    if [version.hash for version in versions] == [visit.digest for visit in reversed(found)]:
        return tuple(replace(v, rev=each.rev) for v, each in zip(versions, reversed(found), strict=True))
    return tuple(replace(version, rev=None) for version in versions)


def check(index: Index, source: int, table: str) -> None:
    """Check the sides of every path: each revision is of its own text, and a base has the newest one that is known.

    Raises:
        WrongRevision: one is of another text, or a base has that of an older visit.
    """
    for row in index.trees.all(source) if table == "files" else ():
        check_one(f"base of {row.path}", row.base.hash, row.base.rev)
        check_one(f"remote side of {row.path}", row.remote.hash, row.remote.rev)
        if row.base.is_file and row.base.same_content(row.remote) and row.base.rev != row.remote.rev:
            raise WrongRevision(f"the base of {row.path} is {row.base.rev}, the server's same text {row.remote.rev}")


def check_one(what: str, digest: str | None, rev: str | None) -> None:
    """Check one revision. Raises WrongRevision."""
    if rev is not None and rev.partition("@")[0] != digest:
        raise WrongRevision(f"{what}: the content {digest} has the revision {rev}")


def complaints(world: World) -> list[str]:
    """At rest, each machine knows the newest revision of every file it has in common with the server."""
    if not world.chances.visits:
        return []
    log = world.server.log(world.source_id)
    found = []
    for machine in world.machines:
        for row in machine.index.trees.all(1):
            newest = _newest(log, row.path, row.remote.hash)
            if row.remote.is_file and newest is not None and row.remote.rev != newest:
                found.append(f"revisions: {machine.name} has {row.remote.rev} at {row.path}, the server {newest}")
    return found
