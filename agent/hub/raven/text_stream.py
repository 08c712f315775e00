"""Answers with many texts: plain while they are small, else produced piece by piece in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeVar

import orjson

from agent.hub.domain.model import Source
from agent.hub.domain.ports import StoreSession
from agent.hub.raven.context import HubContext
from agent.hub.raven.wire import Stream

PIECE_BYTES: Final = 1024 * 1024
"""Largest total of text bytes in memory for one piece. A piece holds at least one record, whatever its size."""
_FEW: Final = 4
"""Texts whose sizes need not be known: each is smaller than a request body."""

T = TypeVar("T")
Hashes = Callable[[T], Iterable[str]]
View = Callable[[T, Mapping[str, str]], dict[str, object]]


def records_with_texts(
    context: HubContext, session: StoreSession, source: Source, records: Sequence[T], hashes: Hashes[T], view: View[T]
) -> list[dict[str, object]] | Iterator[bytes]:
    """Return the views of the records, or an iterator over pieces of their JSON if the texts exceed PIECE_BYTES.

    Args:
        hashes: the texts that the view of a record needs.
        view: the record in wire form, from the texts by hash.
    """
    wanted = {hash_ for record in records for hash_ in hashes(record)}
    sizes = session.content_sizes(source.workspace_number, wanted) if len(wanted) > _FEW else {}
    groups = list(_groups(records, hashes, sizes))
    if len(groups) <= 1:
        texts = session.contents(source.workspace_number, wanted)
        return [view(record, texts) for record in records]
    return _pieces(context, source, groups, hashes, view)


def with_array(fields: Mapping[str, object], name: str, items: list[dict[str, object]] | Iterator[bytes]) -> object:
    """Return an object with the fields and an array behind them, streamed if its items are."""
    if isinstance(items, list):
        return {**fields, name: items}
    head = orjson.dumps(fields)[:-1] + b',"' + name.encode() + b'":['
    return Stream(items, head, b"]}")


def _groups(records: Sequence[T], hashes: Hashes[T], sizes: Mapping[str, int]) -> Iterator[Sequence[T]]:
    start, total = 0, 0
    for index, record in enumerate(records):
        size = sum(sizes.get(hash_, 0) for hash_ in hashes(record))
        if index > start and total + size > PIECE_BYTES:
            yield records[start:index]
            start, total = index, 0
        total += size
    if start < len(records):
        yield records[start:]


def _pieces(
    context: HubContext, source: Source, groups: Iterable[Sequence[T]], hashes: Hashes[T], view: View[T]
) -> Iterator[bytes]:
    # Each piece has a transaction of its own, so that a slow client holds no snapshot. A stored text never changes.
    separator = b""
    for group in groups:
        with context.store.read() as session:
            wanted = {hash_ for record in group for hash_ in hashes(record)}
            texts = session.contents(source.workspace_number, wanted)
        yield separator + orjson.dumps([view(record, texts) for record in group])[1:-1]
        separator = b","
