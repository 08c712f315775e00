"""Endpoints that list conflicts and show one as a line-by-line difference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final

import orjson

from agent.core.diff import DiffBlock, diff_lines
from agent.core.model import EMPTY_HASH
from agent.hub.answers import HubError
from agent.hub.domain.listed_conflicts import for_raven
from agent.hub.domain.model import Caller, OpenConflict
from agent.hub.raven.context import HubContext, source_of
from agent.hub.raven.text_stream import records_with_texts, with_array
from agent.hub.raven.wire import Stream, conflict_view

PIECE_LINES: Final = 2000
"""Lines of a preview in memory at once, as records."""


def list_conflicts(context: HubContext, caller: Caller, body: Mapping[str, Any]) -> object:
    """List open conflicts with the text of both sides, newest first.

    Those of the other APIs are among them. A text is None if its bytes never arrived.
    """
    with context.store.read() as session:
        source = source_of(session, caller, body["sourceId"])
        found = session.open_conflicts(source.number)
        others = for_raven(session, source)
        if others:
            found = sorted([*found, *others], key=lambda each: (each.created_at, each.id), reverse=True)

        def view(conflict: OpenConflict, texts: Mapping[str, str]) -> dict[str, object]:
            remote = None if conflict.remote_hash is None else texts.get(conflict.remote_hash)
            return conflict_view(source, conflict, _text(texts, conflict.local_hash), remote)

        listed = records_with_texts(context, session, source, found, _sides, view)
    return listed if isinstance(listed, list) else Stream(listed)


def _text(texts: Mapping[str, str], hash_: str) -> str | None:
    # A refused delete is shown as an empty text, which no other API stores.
    return "" if hash_ == EMPTY_HASH else texts.get(hash_)


def _sides(conflict: OpenConflict) -> tuple[str, ...]:
    return (conflict.local_hash,) if conflict.remote_hash is None else (conflict.local_hash, conflict.remote_hash)


def preview(context: HubContext, caller: Caller, body: Mapping[str, Any]) -> object:
    """Show the lines of a conflict that differ, with `contextLines` equal lines around them.

    In `changes`, `line` counts on the local side from 1. `local` or `remote` is None if that side has no such line.
    The work is bounded: where two texts are too different, a region is shown as one replaced block.
    """
    with context.store.read() as session:
        source = source_of(session, caller, body["sourceId"])
        wanted = body["conflictId"]
        conflict = session.find_open_conflict(source.number, wanted) or next(
            (each for each in for_raven(session, source) if each.id == wanted), None
        )
        if conflict is None:
            raise HubError(404, "Open conflict not found")
        texts = session.contents(source.workspace_number, set(_sides(conflict)))
    refused = _text(texts, conflict.local_hash)
    if refused is None:
        raise HubError(404, "The refused text never arrived here")
    local = refused.split("\n")
    remote = [] if conflict.remote_hash is None else texts[conflict.remote_hash].split("\n")
    blocks = diff_lines(local, remote).blocks
    changes = _changes(local, remote, blocks, body.get("contextLines") or 0)
    shown: dict[str, object] = {
        "conflictId": conflict.id,
        "relativePath": conflict.path,
        "baseHash": conflict.base,
        "localHash": conflict.local_hash,
        "remoteHash": conflict.remote_hash,
        "summary": {
            "localLines": len(local),
            "remoteLines": len(remote),
            "differentLines": sum(max(b[2] - b[1], b[4] - b[3]) for b in blocks if not b[0]),
        },
    }
    first = list(islice(changes, PIECE_LINES))
    return with_array(shown, "changes", first if len(first) < PIECE_LINES else _pieces(first, changes))


def _pieces(first: list[dict[str, object]], rest: Iterator[dict[str, object]]) -> Iterator[bytes]:
    yield orjson.dumps(first)[1:-1]
    while some := list(islice(rest, PIECE_LINES)):
        yield b"," + orjson.dumps(some)[1:-1]


def _changes(local: list[str], remote: list[str], blocks: list[DiffBlock], context: int) -> Iterator[dict[str, object]]:
    different = [i for i, block in enumerate(blocks) if not block[0]]
    if not different:
        return
    for index, (equal, a, b, c, d) in enumerate(blocks):
        for step in range(max(b - a, d - c)):
            after_change = index > different[0] and step < context
            before_change = index < different[-1] and step >= (b - a) - context
            if equal and not (after_change or before_change):
                continue
            yield {
                "line": a + step + 1,
                "local": local[a + step] if a + step < b else None,
                "remote": remote[c + step] if c + step < d else None,
            }
