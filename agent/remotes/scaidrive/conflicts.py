"""ScaiDrive's conflicts: listed with the hashes and texts of their versions, matched with operations, and closed."""

from __future__ import annotations

from collections.abc import Iterator, Set
from typing import Final

from agent.core.errors import ProblemKind
from agent.core.remote_records import Operation, RemoteConflict
from agent.remotes.http.failures import RemoteCallError
from agent.remotes.scaidrive.calls import LIST_COST, MISSING, Calls
from agent.remotes.scaidrive.wire import SERVER_WINS, ConflictRow, VersionRow, conflicts_of

_MOST_KNOWN: Final = 4096
"""Conflicts whose versions are remembered."""

_Sides = tuple[VersionRow | None, VersionRow | None, VersionRow | None]
"""The versions of the base, of this machine and of the server."""


class ShareConflicts:
    """The conflicts of all shares of one account. Safe to use from several threads."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._known: dict[tuple[str | None, ...], _Sides] = {}

    def rows(self, share: str, device: str | None = None) -> list[ConflictRow]:
        """Return the open conflicts of a share, newest first; with ``device``, only those of that device."""
        query: dict[str, str | int] = {"share_id": share, "include_resolved": "false"}
        if device is not None:
            query["device_id"] = device
        found = conflicts_of(self._calls.get("sync/conflicts", query=query, cost=LIST_COST))
        return [
            each for each in found if each.share in (None, share) and (device is None or each.device in (None, device))
        ]

    def all(self, share: str, paths: Set[str] | None, with_texts: Set[str] | None) -> Iterator[RemoteConflict]:
        """Iterate over the open conflicts of a share, newest first; see ``Remote.conflicts``."""
        for each in self.rows(share):
            if paths is None or each.path in paths:
                yield self.record(each, with_text=with_texts is None or each.id in with_texts)

    def own(self, share: str, device: str, operation: Operation, resource: str | None) -> ConflictRow | None:
        """Return the newest open conflict of this device that refuses the operation; None if there is none."""
        for each in self.rows(share, device):
            if each.resource == resource and _is_of(each, operation):
                return each
        return None

    def record(
        self, found: ConflictRow, operation: Operation | None = None, body: bytes | None = None, *,
        with_text: bool = True,
    ) -> RemoteConflict:  # fmt: skip
        """Return a conflict in the form of the port.

        The server keeps no bytes of a change that it refused before they were uploaded. With the operation, its hash
        and its bytes are those of the local side.
        """
        base, local, remote = self._sides(found)
        local_hash = found.hash if local is None else local.hash
        local_text = body
        if operation is not None:
            local_hash = operation.hash
        elif local is not None and with_text:
            local_text = self._calls.content(found.resource, local)
        return RemoteConflict(
            found.id,
            found.path if operation is None else operation.path,
            base_hash=base.hash if base is not None else (operation.base if operation is not None else None),
            local_hash=local_hash,
            remote_hash=None if remote is None else remote.hash,
            local_text=local_text,
            remote_text=self._calls.content(found.resource, remote) if remote is not None and with_text else None,
            opened_at=found.created_at,
            base_rev=found.base_rev,
            local_rev=found.client_rev,
            remote_rev=found.server_rev,
            remote_id=found.resource,
        )

    def _sides(self, found: ConflictRow) -> _Sides:
        """Return the versions of a conflict, read once: neither they nor their numbers ever change."""
        revs = (found.base_rev, found.client_rev, found.server_rev)
        known = self._known.get((found.id, *revs))
        if known is not None:
            return known
        versions = self._versions(found)
        base, local, remote = (_version(versions, rev) for rev in revs)
        sides = base, local, remote
        if all(rev is None or side is not None for rev, side in zip(revs, sides, strict=True)):
            # One that is missing may only be hidden for the moment.
            self._known[(found.id, *revs)] = sides
            while len(self._known) > _MOST_KNOWN:
                self._known.pop(next(iter(self._known)), None)
        return sides

    def _versions(self, found: ConflictRow) -> list[VersionRow]:
        try:
            return self._calls.versions(found.resource)
        except RemoteCallError as failure:
            if failure.problem.kind not in MISSING:
                raise
            return []

    def close(self, conflict_id: str) -> None:
        """Close a conflict; the head stays. Raises STALE if it is not open."""
        self._calls.post("sync/conflicts/{}/resolve", (conflict_id,), query={"resolution": SERVER_WINS})

    def close_quietly(self, conflict_id: str) -> None:
        """Close a conflict whose two sides are equal. One that stays open is listed, and closed by the engine."""
        try:
            self.close(conflict_id)
        except RemoteCallError as failure:
            if failure.problem.kind is not ProblemKind.STALE:
                raise


def _version(versions: list[VersionRow], rev: str | None) -> VersionRow | None:
    return next((version for version in versions if version.rev == rev), None)


def _is_of(found: ConflictRow, operation: Operation) -> bool:
    if operation.base_rev is not None and found.base_rev != operation.base_rev:
        return False
    # A server that does not repeat the hash says nothing about the refused content.
    return found.hash in (None, operation.hash)
