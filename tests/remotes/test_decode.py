"""An answer is small in memory too, and shows no token."""

from __future__ import annotations

import tracemalloc
from typing import Any

import orjson
import pytest

from agent.core.errors import ProblemKind
from agent.remotes.http.decode import MAX_ANSWER, DecodeLimits, decode_answer
from agent.remotes.http.failures import RemoteCallError
from agent.remotes.raven.profile import raven_profile

TOKEN = 'rvn_op/aque"token\\0123'


def understood(body: bytes, bounds: DecodeLimits = DecodeLimits.PAGE) -> Any:
    """The data of an answer to somebody with the token."""
    return decode_answer(body, "application/json", bounds, TOKEN, raven_profile("w"))


@pytest.mark.parametrize(
    "part",
    [b"{},", b"[],", b'{"a":1},', b"0,", b'"",', b'"ab",', b'{"\\"":[1.5]},', b'"\\\\",', b'"\\"",', b"[[]],"],
)
def test_many_small_values_are_refused_before_they_are_made(part: bytes) -> None:
    """A thirty-second part of the largest answer, which would take up to a hundred times the memory allowed here."""
    body = b"[" + part * ((MAX_ANSWER // 32) // len(part)) + b"0]"
    tracemalloc.start()
    try:
        with pytest.raises(RemoteCallError, match="more than 200000 values"):
            understood(body)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 6 * len(body)


@pytest.mark.parametrize("text", ["{[,:" * 300_000, '{"a":[1,2]},\\' * 100_000, '\\",' * 200_000, "\\" * 500_001 + ","])
def test_what_stands_in_a_text_counts_for_nothing(text: str) -> None:
    """A file of braces and commas, quotes and backslashes is one value."""
    assert understood(orjson.dumps({"data": [text, {"content": text}], "success": True})) == [text, {"content": text}]


def test_a_listing_of_the_largest_size_is_not_too_many_values() -> None:
    """The real server does not page, and sends some 297 bytes a file."""
    row = orjson.dumps(
        {"id": "x" * 36, "sourceId": "x" * 36, "relativePath": "notes/2026/paper.md", "contentType": "text/markdown",
         "lastSyncedHash": "a" * 64, "lastSyncedAt": "2026-03-20T10:00:00.000Z", "state": "ok"}
    )  # fmt: skip
    rows = 100_000
    assert len(understood(b"[" + b",".join([row] * rows) + b"]", DecodeLimits.WHOLE)) == rows
    with pytest.raises(RemoteCallError, match="more than 200000 values"):
        understood(b"[" + b",".join([row] * rows) + b"]", DecodeLimits.PAGE)
    structure = row.count(b",") + 1 + row.count(b'":') + 8
    assert structure * (MAX_ANSWER // len(row)) < DecodeLimits.WHOLE.values


def spelled(text: str) -> bytes:
    """JSON in which every character of a text is an escape."""
    return b'"' + b"".join(b"\\u%04x" % ord(char) for char in text) + b'"'


@pytest.mark.parametrize("written", [orjson.dumps(TOKEN), spelled(TOKEN), orjson.dumps(TOKEN).replace(b"/", b"\\/")])
def test_a_token_in_an_answer_is_replaced_however_it_is_written(written: bytes) -> None:
    """In a reason, a name, an id, at any depth; the text of a file stays what its hash says."""
    body = b'{"items":[{"reason":%s,"content":%s}],"name":%s}' % (written, written, written)
    assert understood(body) == {"items": [{"reason": "[token]", "content": TOKEN}], "name": "[token]"}


def test_a_token_within_a_path_makes_the_answer_none() -> None:
    """Under another name a file would look deleted, under its own the token would be shown."""
    with pytest.raises(RemoteCallError, match="repeats the token within a path") as error:
        understood(orjson.dumps([{"relativePath": f"a/{TOKEN}.md"}]))
    assert error.value.problem.kind is ProblemKind.GARBLED
    assert TOKEN not in str(error.value)


@pytest.mark.parametrize("nesting", [(b"[", b"]"), (b'{"a":', b"}")])
def test_an_answer_nested_without_end_is_garbled(nesting: tuple[bytes, bytes]) -> None:
    """And ends neither the process nor its memory."""
    begin, end = nesting
    with pytest.raises(RemoteCallError):
        understood(begin * 10_000 + b"1" + end * 10_000, DecodeLimits.WHOLE)
