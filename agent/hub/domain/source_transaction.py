"""Unit of work on one locked source: changes are collected first and written in a few statements.

The source's row is locked during the transaction. So the heads read here are the heads that the changes replace, and
cursors are assigned in commit order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from typing import Final

from msgspec import structs

from agent.core.model import Resolution
from agent.hub.domain.compression import CompressedContent
from agent.hub.domain.model import (
    DEFAULT_CONTENT_TYPE,
    ConflictClosure,
    Event,
    EventType,
    FileState,
    FileVersion,
    Head,
    HubConflictKind,
    NewId,
    OpenConflict,
    RecordedOutcome,
    Source,
    SourceStatus,
    VersionOrigin,
)
from agent.hub.domain.ports import QuotaExceeded, StoreSession

_HALF: Final = {"half": True}
"""Detail of an event that is one half of a change: the drive face shows the other half only."""


class SourceTransaction:
    """Collected changes to one locked source. Nothing is written before `flush`.

    Attributes:
        source: the source as it was before.
        last_folder, folders_cursor: written with the source, see `Source`.
        moved: paths of the files that this transaction has moved, by identity.
    """

    def __init__(self, session: StoreSession, source: Source, now: int, new_id: NewId) -> None:
        self.source = source
        self._session = session
        self._now = now
        self._new_id = new_id
        self._heads: dict[str, Head] = {}
        self._new_paths: set[str] = set()
        self._changed_paths: set[str] = set()
        self._cursor = source.last_cursor
        self._last_file = source.last_file
        self.last_folder = source.last_folder
        self.folders_cursor = source.folders_cursor
        self._status = source.status
        self._contents: dict[str, CompressedContent] = {}
        self._versions: list[FileVersion] = []
        self._events: list[Event] = []
        self._outcomes: list[RecordedOutcome] = []
        self._conflicts: dict[str, OpenConflict] = {}
        self._closings: list[ConflictClosure] = []
        self._places: list[tuple[int, int, int]] = []
        self.moved: dict[int, str] = {}

    @property
    def cursor(self) -> int:
        """Newest cursor of the source, including the events of this transaction."""
        return self._cursor

    def load_heads(self, paths: Iterable[str]) -> None:
        """Load the heads of the paths in one query."""
        wanted = set(paths) - self._heads.keys()
        if wanted:
            self._heads |= self._session.heads(self.source.number, wanted)

    def head(self, path: str) -> Head | None:
        """Return the head of a loaded path, or None if the path is absent now, with or without a history."""
        head = self._heads.get(path)
        return None if head is None or head.hash is None else head

    def identity(self, path: str) -> int:
        """Return the identity of the file that is or was at a loaded path, 0 if there was never one."""
        head = self._heads.get(path)
        return 0 if head is None else head.identity

    def add_content(self, hash_: str, text: CompressedContent) -> None:
        """Store a text. A refused text is stored too, although it becomes no head."""
        self._contents[hash_] = text

    def upsert(
        self,
        path: str,
        hash_: str,
        origin: VersionOrigin,
        operation: str,
        *,
        content_type: str | None = None,
        actor: str | None = None,
        hidden: bool = False,
        detail: Mapping[str, object] | None = None,
    ) -> Head:
        """Make a stored content the head of a path. The replaced content remains among the versions.

        An absent path gets a new file, with a new identity.

        Args:
            hidden: Raven's face does not show the file from now on.
            detail: fields of the event that only the drive face shows.
        """
        before = self._row(path)
        if before.hash is not None and hidden and not before.hidden:
            # On Raven's face the file ends here. The drive face sees one change, the one below.
            self._event(EventType.DELETE, before, None, operation, {}, detail=_HALF)
        kind = content_type or before.content_type
        is_new, is_changed = before.hash is None, hash_ != before.hash
        cursor = self._cursor + 1
        head = Head(
            before.number,
            path,
            hash_,
            kind,
            FileState.OK,
            self._now,
            cursor if is_new else before.identity,
            1 if is_new else before.version + is_changed,
            cursor if is_changed else before.revision,
            hidden,
        )
        self._put(head)
        extra: dict[str, object] = {} if kind == DEFAULT_CONTENT_TYPE else {"contentType": kind}
        if actor is not None:
            extra["actor"] = actor
        self._event(EventType.UPSERT, head, hash_, operation, extra, detail=detail)
        if is_changed:
            self._add_version(head, cursor, hash_, origin)
        return head

    def delete(self, path: str, operation: str, *, detail: Mapping[str, object] | None = None) -> None:
        """Make a path absent. Its versions and its open conflicts remain."""
        before = self._row(path)
        head = structs.replace(before, hash=None, state=FileState.OK, synced_at=self._now)
        self._put(head)
        self._event(EventType.DELETE, head if before.hash is None else before, None, operation, {}, detail=detail)

    def move(self, path: str, new_path: str, operation: str, detail: Mapping[str, object]) -> Head:
        """Move a present file to a loaded, absent path. Its identity and its versions go with it.

        Raven's face has no moves: it sees a delete and a new file. The drive face sees the second event only.
        """
        before = self._row(path)
        target = self._row(new_path)
        assert before.hash is not None
        assert target.hash is None
        self._put(structs.replace(before, hash=None, state=FileState.OK, synced_at=self._now))
        self._event(EventType.DELETE, before, None, operation, {}, detail=_HALF)
        head = structs.replace(before, number=target.number, path=new_path, state=FileState.OK, synced_at=self._now)
        self._put(head)
        moved = {"from": path, "revision": head.revision, "version": head.version, **detail}
        kind = head.content_type
        extra: dict[str, object] = {} if kind == DEFAULT_CONTENT_TYPE else {"contentType": kind}
        cursor = self._event(EventType.UPSERT, head, head.hash, operation, extra, detail=moved)
        self._add_version(head, cursor, before.hash, VersionOrigin.CONNECTOR)
        self._places.append((head.identity, cursor, head.number))
        self.moved[head.identity] = new_path
        return head

    def add_folder_event(self, number: int, detail: Mapping[str, object]) -> int:
        """Add an event about a folder and return its cursor. Only the drive face shows it."""
        self._cursor += 1
        self._events.append(
            Event(
                self._cursor, EventType.FOLDER, None, None, None, None, {}, self._now,
                identity=number, hidden=True, detail=detail,
            )
        )  # fmt: skip
        return self._cursor

    def park(
        self,
        path: str,
        kind: HubConflictKind,
        base: str | None,
        sides: tuple[str, str | None],
        connector: str | None,
    ) -> OpenConflict:
        """Open a conflict between (local hash, remote hash), or update the open one of this connector on the path."""
        before = self._row(path)
        known = self._known_conflict(before.number, connector)
        conflict = OpenConflict(
            id=known.id if known else self._new_id(),
            file=before.number,
            path=path,
            connector=connector,
            kind=kind,
            base=base,
            local_hash=sides[0],
            remote_hash=sides[1],
            created_at=known.created_at if known else self._now,
        )
        self._conflicts[conflict.id] = conflict
        head = structs.replace(before, state=FileState.CONFLICT, synced_at=self._now)
        self._put(head)
        extra: dict[str, object] = {"conflictId": conflict.id, "localHash": sides[0], "remoteHash": sides[1]}
        if kind is not HubConflictKind.STALE_BASE:
            extra["reason"] = kind.value
        self._event(EventType.OPENED, head, None, None, extra)
        return conflict

    def close(self, conflict: OpenConflict, resolution: Resolution, outcome: str | None) -> None:
        """Mark a conflict resolved. `outcome` is the resulting hash of the path (None: absent)."""
        before = self._row(conflict.path)
        self._put(structs.replace(before, state=FileState.OK, synced_at=self._now))
        self._closings.append(ConflictClosure(conflict.id, resolution, self._now))
        extra: dict[str, object] = {"conflictId": conflict.id, "resolution": resolution.value}
        self._event(EventType.RESOLVED, before, outcome, None, extra)

    def announce_opened(self, conflict: OpenConflict) -> None:
        """Add an event about a conflict that another API opened. The state of the path stays as it is."""
        extra: dict[str, object] = {
            "conflictId": conflict.id, "localHash": conflict.local_hash, "remoteHash": conflict.remote_hash,
        }  # fmt: skip
        self._event(EventType.OPENED, self._row(conflict.path), None, None, extra)

    def announce_closed(self, path: str, conflict: str, resolution: Resolution) -> None:
        """Add an event about the end of a conflict that another API opened. The head of a loaded path is its result."""
        head = self._row(path)
        extra: dict[str, object] = {"conflictId": conflict, "resolution": resolution.value}
        self._event(EventType.RESOLVED, head, None if head.hidden else head.hash, None, extra)

    def record_outcome(self, outcome: RecordedOutcome) -> None:
        """Record the first outcome of an operation."""
        self._outcomes.append(outcome)

    def set_status(self, status: SourceStatus) -> None:
        """Change the status, and add the event for it. Readers see every status but the active one as a pause."""
        self._status = status
        kind = EventType.RESUMED if status is SourceStatus.ACTIVE else EventType.PAUSED
        self._event(kind, None, None, None, {})

    def flush(self) -> Source:
        """Write all collected changes and return the changed source.

        Raises:
            QuotaExceeded: the new contents do not fit into the workspace.
        """
        number = self.source.number
        added_bytes = self._add_contents()
        # A parked conflict may be a known one. The answer to its update decides, so it cannot wait for the end.
        with nullcontext() if self._conflicts else self._session.together():
            return self._write(number, added_bytes)

    def _write(self, number: int, added_bytes: int) -> Source:
        self._session.add_files(number, [self._heads[p] for p in sorted(self._new_paths)])
        self._session.save_files(number, [self._heads[p] for p in sorted(self._changed_paths - self._new_paths)])
        self._session.add_versions(number, self._versions)
        self._session.add_places(number, self._places)
        self._session.save_conflicts(number, self._conflicts.values())
        self._session.close_conflicts(self._closings)
        self._session.add_outcomes(number, self._outcomes)
        self._session.add_events(number, self._events)
        is_same = (self.last_folder, self.folders_cursor) == (self.source.last_folder, self.source.folders_cursor)
        if not self._events and is_same and not added_bytes:
            return self.source
        changed_at = self._now if self._status is not self.source.status else self.source.updated_at
        after = structs.replace(
            self.source,
            status=self._status,
            last_cursor=self._cursor,
            last_file=self._last_file,
            updated_at=changed_at,
            last_folder=self.last_folder,
            folders_cursor=self.folders_cursor,
            stored_bytes=self.source.stored_bytes + added_bytes,
        )
        self._session.save_source(after)
        if self._events:
            self._session.announce(after.id)
        return after

    def _add_contents(self) -> int:
        """Write the collected contents that are new in the workspace, and return their bytes.

        Raises:
            QuotaExceeded: they do not fit.
        """
        if not self._contents:
            return 0
        source = self.source
        held = self._session.hold_contents(source.workspace_number, self._contents.keys())
        fresh = {hash_: content for hash_, content in self._contents.items() if hash_ not in held}
        added = sum(content.size for content in fresh.values())
        if added and source.quota is not None:
            used = self._session.used_by_workspace(source.workspace)
            if used + added > source.quota:
                raise QuotaExceeded(f"{added} bytes do not fit: {used} of {source.quota} are used")
        self._session.add_contents(source.workspace_number, fresh)
        return added

    def _row(self, path: str) -> Head:
        head = self._heads.get(path)
        if head is None:
            self._last_file += 1
            head = Head(self._last_file, path, None, DEFAULT_CONTENT_TYPE, FileState.OK, self._now)
            self._heads[path] = head
            self._new_paths.add(path)
        return head

    def _put(self, head: Head) -> None:
        self._heads[head.path] = head
        self._changed_paths.add(head.path)

    def _known_conflict(self, file: int, connector: str | None) -> OpenConflict | None:
        if connector is None:
            return None
        for conflict in self._conflicts.values():
            if conflict.file == file and conflict.connector == connector:
                return conflict
        return self._session.find_open_conflict_of(self.source.number, file, connector)

    def _event(
        self,
        kind: EventType,
        head: Head | None,
        hash_: str | None,
        operation: str | None,
        extra: dict[str, object],
        *,
        detail: Mapping[str, object] | None = None,
    ) -> int:
        self._cursor += 1
        number, path, identity, hidden = None, None, None, False
        if head is not None:
            number, path = head.number, head.path
            # Conflicts are Raven's own, so Raven's face shows them whatever the file has become.
            hidden = head.hidden and kind in (EventType.UPSERT, EventType.DELETE)
            # A delete of an absent file changes no file.
            identity = None if head.hash is None else head.identity
        self._events.append(
            Event(
                self._cursor, kind, number, path, hash_, operation, extra, self._now,
                identity=identity, hidden=hidden, detail=detail,
            )
        )  # fmt: skip
        return self._cursor

    def _add_version(self, head: Head, cursor: int, hash_: str, origin: VersionOrigin) -> None:
        self._versions.append(
            FileVersion(head.number, cursor, hash_, origin, self._now, head.identity, head.version, head.hidden)
        )
