"""Queries about contents, which are keyed by workspace and hash, and about workspaces."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import ColumnElement, func, literal_column, select, text

from agent.hub.domain.compression import CompressedContent, unpack
from agent.hub.domain.drive_model import INLINE_BYTES
from agent.hub.domain.model import Encoding
from agent.hub.domain.text import is_text
from agent.hub.store import tables as t
from agent.hub.store.bulk import BulkLookup, OnDuplicate, add_rows
from agent.hub.store.rows import MAX_PARAMETERS, batched, to_blob
from agent.hub.store.statements import Statement, Transaction, is_value

_OF_WORKSPACE = is_value(t.contents.c.workspace, "w")
_CONTENTS = BulkLookup(
    select(t.contents.c.hash, t.contents.c.encoding, t.contents.c.data).where(_OF_WORKSPACE), t.contents.c.hash
)
_SIZES = BulkLookup(select(t.contents.c.hash, t.contents.c.size).where(_OF_WORKSPACE), t.contents.c.hash)
_HELD = BulkLookup(
    select(t.contents.c.hash).where(_OF_WORKSPACE).with_for_update(key_share=True, read=True), t.contents.c.hash
)
"""Locks the contents that are found, so that retention cannot remove them before this transaction ends."""
_CONTENT = Statement(
    select(t.contents.c.size, t.contents.c.encoding, t.contents.c.data).where(
        _OF_WORKSPACE, is_value(t.contents.c.hash, "h")
    )
)
_SIZE = Statement(select(t.contents.c.size).where(_OF_WORKSPACE, is_value(t.contents.c.hash, "h")))
_REFERENCE = Statement(
    select(t.contents.c.encoding, t.contents.c.data).where(_OF_WORKSPACE, is_value(t.contents.c.hash, "h"))
)
# Both databases have the same SQL for this. SQLAlchemy has it in each dialect only, and importing one costs its start.
_ADD_WORKSPACE = Statement(text("INSERT INTO workspaces (id) VALUES (:i) ON CONFLICT DO NOTHING"))
_WORKSPACE = Statement(select(t.workspaces.c.number).where(is_value(t.workspaces.c.id, "i")))
_WORKSPACES = Statement(select(t.workspaces.c.number).order_by(t.workspaces.c.number))
_USED = Statement(
    select(func.coalesce(func.sum(t.sources.c.stored_bytes), literal_column("0"))).where(
        is_value(t.sources.c.workspace, "w")
    )
)


def content_of(column: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return the condition that joins `contents` to a hash, in a query for the source that the parameter `s` names."""
    workspace = select(t.sources.c.workspace_number).where(is_value(t.sources.c.number, "s")).scalar_subquery()
    return (t.contents.c.workspace == workspace) & (t.contents.c.hash == column)


class ContentQueries:
    """The parts of `agent.hub.domain.ports.StoreSession` about contents and workspaces, inside one transaction."""

    def __init__(self, transaction: Transaction) -> None:
        self._db = transaction

    def workspace_number(self, workspace: str) -> int:
        """Return the number of a workspace, which is added if it is not known yet."""
        row = _WORKSPACE.first(self._db, i=workspace)
        if row is None:
            _ADD_WORKSPACE.run(self._db, i=workspace)
            row = _WORKSPACE.first(self._db, i=workspace)
        assert row is not None
        return int(row[0])

    def used_by_workspace(self, workspace: str) -> int:
        row = _USED.first(self._db, w=workspace)
        return 0 if row is None else int(row[0])

    def contents(self, workspace: int, hashes: Collection[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        # Databases limit the number of parameters, and a history has no limit.
        for some in batched(hashes, MAX_PARAMETERS):
            rows = _CONTENTS.rows(self._db, [to_blob(h) for h in some], workspace)
            found.update({hash_.hex(): unpack(encoding, data).decode() for hash_, encoding, data in rows})
        return found

    def content_sizes(self, workspace: int, hashes: Collection[str]) -> dict[str, int]:
        found: dict[str, int] = {}
        for some in batched(hashes, MAX_PARAMETERS):
            rows = _SIZES.rows(self._db, [to_blob(h) for h in some], workspace)
            found.update({hash_.hex(): size for hash_, size in rows})
        return found

    def known_anywhere(self, hashes: Collection[str]) -> set[str]:
        """Return those of the hashes that are contents of any workspace."""
        numbers = [number for (number,) in _WORKSPACES.rows(self._db)]
        return {hash_ for number in numbers for hash_ in self.content_sizes(number, hashes)}

    def hold_contents(self, workspace: int, hashes: Collection[str]) -> set[str]:
        held: set[str] = set()
        # Sorted, so that two transactions that need the same texts lock them in one order and cannot deadlock.
        for some in batched(sorted(hashes), MAX_PARAMETERS):
            held.update(hash_.hex() for (hash_,) in _HELD.rows(self._db, [to_blob(h) for h in some], workspace))
        return held

    def add_contents(self, workspace: int, contents: Mapping[str, CompressedContent]) -> None:
        missing = set(contents)
        while missing:
            rows = [
                (workspace, to_blob(h), contents[h].size, int(contents[h].encoding), contents[h].data)
                for h in sorted(missing)
            ]
            added = add_rows(self._db, t.contents, rows, OnDuplicate.LEFT_ALONE)
            if added >= len(rows):
                return
            # Another transaction added some first. They are held like known ones, or added if they have gone again.
            missing -= self.hold_contents(workspace, missing)

    def content_bytes(self, workspace: int, hash_: str) -> bytes | None:
        row = _CONTENT.first(self._db, w=workspace, h=to_blob(hash_))
        return None if row is None or row[1] == Encoding.BLOB else unpack(row[1], row[2])

    def contents_in_rows(self, workspace: int, hashes: Collection[str]) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for some in batched(hashes, MAX_PARAMETERS):
            for hash_, encoding, data in _CONTENTS.rows(self._db, [to_blob(h) for h in some], workspace):
                if encoding != Encoding.BLOB:
                    found[hash_.hex()] = unpack(encoding, data)
        return found

    def is_hidden_content(self, workspace: int, hash_: str) -> bool:
        row = _CONTENT.first(self._db, w=workspace, h=to_blob(hash_))
        if row is None or row[1] == Encoding.BLOB or row[0] > INLINE_BYTES:
            return True
        return not is_text(unpack(row[1], row[2]))

    def known_content(self, workspace: int, hash_: str) -> int | None:
        row = _SIZE.first(self._db, w=workspace, h=to_blob(hash_))
        return None if row is None else int(row[0])

    def blob_reference(self, workspace: int, hash_: str) -> bytes | None:
        row = _REFERENCE.first(self._db, w=workspace, h=to_blob(hash_))
        return bytes(row[1]) if row is not None and row[0] == Encoding.BLOB else None
