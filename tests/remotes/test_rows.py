"""Lists that are read row by row."""

from __future__ import annotations

import hashlib
import random
import tracemalloc
from collections.abc import Iterator
from typing import Any

import httpx
import orjson
import pytest

from agent.core.errors import ProblemKind
from agent.remotes.http.client import HttpClient
from agent.remotes.http.decode import MAX_ROW, RowReader
from agent.remotes.http.failures import RemoteCallError
from agent.remotes.raven.adapter import CONFLICTS_PAGE, RavenRemote
from agent.remotes.raven.profile import raven_profile

TOKEN = "rvn_secret"
MIB = 1 << 20


def read(body: bytes, size: int) -> list[Any]:
    """The rows of an answer that arrives in chunks of this size."""
    reader = RowReader("application/json", TOKEN, raven_profile("w"))
    rows = [row for at in range(0, len(body), size) for row in reader.feed(body[at : at + size])]
    reader.finish()
    return rows


def value(rng: random.Random, depth: int = 0) -> Any:
    """Some JSON value, rich in characters that have a meaning in JSON."""
    kind = rng.randrange(6 if depth < 3 else 4)
    if kind == 4:
        return [value(rng, depth + 1) for _ in range(rng.randrange(4))]
    if kind == 5:
        return {f"k{number}": value(rng, depth + 1) for number in range(rng.randrange(4))}
    return [None, rng.random(), True, "".join(rng.choice('ab"\\{}[],:\n/é') for _ in range(12))][kind]


@pytest.mark.parametrize("seed", range(20))
def test_rows_are_those_of_the_whole_document(seed: int) -> None:
    """Bare or in an envelope, indented or not, wherever the chunks end."""
    rng = random.Random(seed)
    for _ in range(20):
        rows = [{"a": value(rng), "data": value(rng)} for _ in range(rng.randrange(5))]
        envelope = {"success": True, "x": {"data": [1, {"q": 2}]}, "data": rows, "status": 200}
        body = orjson.dumps(rng.choice([rows, envelope]), option=rng.choice([0, orjson.OPT_INDENT_2]))
        for size in (1, 2, 3, 7, 1000):
            assert read(body, size) == rows


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[1]", b"[{}{}]", b"[{},]", b"[,{}]", b'{"data":[{}],"success":false}', b'{"a":[{}]}', b"[{}", b'[{"a":"',
        b"<html>{}}}", b"[{}]]", b"[[{}]]", b"nul", b'[{"a":tru}]', b'{"data":[{}}', b'[{"a":[1}]}]', b"[" * 5000,
        b'[{"relativePath":"rvn_secret"}]',
    ],
)  # fmt: skip
@pytest.mark.parametrize("size", [1, 100])
def test_what_is_no_list_of_records_is_garbled(body: bytes, size: int) -> None:
    """Cut, nested, of other values, or a failure: never a shorter list."""
    with pytest.raises(RemoteCallError) as error:
        read(body, size)
    assert error.value.problem.kind is ProblemKind.GARBLED


def test_a_row_without_end_is_refused() -> None:
    """Before it fills the memory."""
    reader = RowReader("application/json", TOKEN, raven_profile("w"))
    with pytest.raises(RemoteCallError, match="larger than"):
        for _ in range(MAX_ROW // MIB + 2):
            list(reader.feed(b'[{"a":"' + b"x" * MIB))


def conflict(number: int, text: str) -> dict[str, Any]:
    """A conflict as the released server lists it."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    return {
        "id": f"c{number}", "relativePath": f"{number}.md", "baseHash": None, "localHash": digest,
        "remoteHash": digest, "localContent": text, "remoteContent": text, "status": "open", "createdAt": None,
    }  # fmt: skip


def remote_answering(handler: Any) -> RavenRemote:
    """An adapter to a server that is one function."""
    return RavenRemote(
        HttpClient("https://r.test", lambda: TOKEN, raven_profile("w"), transport=httpx.MockTransport(handler))
    )


def test_fc7_75_conflicts_of_1_mb_are_read_in_bounded_memory() -> None:
    """FC7: a server that does not page sends 150 MB of texts; at most two rows are in memory at a time."""
    text = "a line of text\n" * (MIB // 15)
    encoded = orjson.dumps(conflict(1, text))

    def body() -> Iterator[bytes]:
        yield b'{"data":['
        for number in range(75):
            yield (b"," if number else b"") + encoded.replace(b'"c1"', b'"c%d"' % number)
        yield b'],"success":true,"status":200}'

    remote = remote_answering(lambda _: httpx.Response(200, content=body()))
    tracemalloc.start()
    try:
        count = sum(1 for found in remote.conflicts("s") if found.local_text == text.encode())
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 75
    assert most < 48 * MIB


@pytest.mark.parametrize("total", [0, 1, CONFLICTS_PAGE - 1, CONFLICTS_PAGE, CONFLICTS_PAGE + 1, 3 * CONFLICTS_PAGE])
@pytest.mark.parametrize("pages", [True, False])
def test_fc7_conflicts_are_paged_where_the_server_pages(total: int, pages: bool) -> None:
    """FC7: each conflict once, whether the server honours ``limit`` and ``after`` or drops them."""
    rows = [conflict(number, "x") for number in range(total)]

    def handler(request: httpx.Request) -> httpx.Response:
        asked = orjson.loads(request.content)
        begin = 0
        if pages and "after" in asked:
            begin = next(i for i, found in enumerate(rows) if found["id"] == asked["after"]) + 1
        return httpx.Response(200, json=rows[begin : begin + asked["limit"]] if pages else rows)

    assert [found.id for found in remote_answering(handler).conflicts("s")] == [row["id"] for row in rows]
