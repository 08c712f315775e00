"""Conversion between the hub's records and the rows of its tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

import orjson

from agent.core.model import Mode
from agent.hub.domain.model import FileState, Head, HubConflictKind, OpenConflict, Source, SourceStatus

MAX_PARAMETERS = 1000


def batched(values: Iterable[str], size: int) -> Iterator[list[str]]:
    """Split the values into lists of at most `size`."""
    rest = iter(values)
    while some := list(islice(rest, size)):
        yield some


to_blob = bytearray.fromhex
"""Convert a hash for the driver. sqlite3 looks for an adapter for every `bytes`, but not for `bytearray`."""


def raw_hash(hash_: str | None) -> bytearray | None:
    """Convert a hash for the driver, None for NULL."""
    return None if hash_ is None else to_blob(hash_)


def hex_hash(raw: bytes | None) -> str | None:
    """Return a hash as the domain writes it, None for NULL."""
    return None if raw is None else raw.hex()


def to_json(fields: Mapping[str, object] | None) -> str | None:
    """Return a JSON object, or None for no fields."""
    return orjson.dumps(fields).decode() if fields else None


def head_values(head: Head) -> tuple[Any, ...]:
    """Return the columns behind source, number and path, in the table's order."""
    return (
        raw_hash(head.hash), head.content_type, head.state.value, head.synced_at, head.identity, head.version,
        head.revision, int(head.hidden),
    )  # fmt: skip


def head_of(row: Sequence[Any]) -> Head:
    """Return the head in a row of `files`."""
    _, number, path, hash_, content_type, state, synced_at, identity, version, revision, hidden = row
    kind = FileState(state)
    return Head(number, path, hex_hash(hash_), content_type, kind, synced_at, identity, version, revision, bool(hidden))


_MODES: Final = {mode.value: mode for mode in Mode}
_STATUSES: Final = {status.value: status for status in SourceStatus}


def source_of_row(row: Sequence[Any]) -> Source:
    """Return the source in a row of `sources`."""
    number, id_, workspace, created_by, name, mode, connector, status, includes, excludes, *others = row
    # The other columns are in the order of the fields; the quota is selected under a lock only.
    return Source(
        number, id_, workspace, created_by, name, _MODES[mode], connector, _STATUSES[status],
        tuple(orjson.loads(includes)), tuple(orjson.loads(excludes)), *others,
    )  # fmt: skip


def conflict_of_row(row: Sequence[Any]) -> OpenConflict:
    """Return the conflict in a row of `conflicts` with the path of its file."""
    id_, _, file, connector, kind, base, local_hash, remote_hash, created_at, _, _, path = row
    return OpenConflict(
        id=id_,
        file=file,
        path=path,
        connector=connector,
        kind=HubConflictKind(kind),
        base=base,
        local_hash=local_hash.hex(),
        remote_hash=hex_hash(remote_hash),
        created_at=created_at,
    )
