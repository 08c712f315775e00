"""Answers no server should give: nothing changes, nothing crashes, memory and time are bounded, and it goes on."""

from __future__ import annotations

import contextlib
import functools
import gzip
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest

from agent.core.errors import ProblemKind, RemoteError
from agent.remotes.http.client import HttpClient, Timeouts
from agent.remotes.raven.profile import raven_profile
from security.hostile_server import Chunks, WildServer, head, repeated, whole
from strict_raven import Response
from support.eventually import patience
from support.processes import Home
from support.resources import MEMORY_LIMIT, needs_proc, peak_memory

MEBIBYTE = 1 << 20
ENVELOPE = b'{"data":%s,"success":true,"status":200}'


@functools.cache
def _packed() -> bytes:
    """200 MB in 1 MB, packed when it is first sent: each process of a test run imports this module."""
    return gzip.compress(b"[" + b" " * 200_000_000 + b"]", 1)


def zip_bomb() -> Iterator[bytes]:
    """A small answer that is large once it is unpacked."""
    return whole(_packed(), content_encoding="gzip")()


ANSWERS: dict[str, Chunks] = {
    "100 MB": repeated(b'{"data":"', b"x" * MEBIBYTE, 100, b'"}'),
    "a million deep": whole(b"[" * 1_000_000 + b"]" * 1_000_000),
    "a million deep objects": whole(b'{"a":' * 1_000_000 + b"1" + b"}" * 1_000_000),
    "not UTF-8": whole(b'{"data":{"events":[{"id":"\xff\xfe"}]},"success":true}'),
    "surrogates": whole(b'{"data":"\\ud800","success":true}'),
    "shorter than its length": lambda: iter([head(content_length=1000), b'{"data":[]']),
    "longer than its length": lambda: iter([head(content_length=2), b'[]{"data":[],"success":true}']),
    "two lengths": lambda: iter([head(content_length=2) + b"", b"[]"]),
    "negative length": lambda: iter([head(content_length=-5), b"[]"]),
    "broken chunks": lambda: iter([head(transfer_encoding="chunked"), b"zz\r\n[]\r\n"]),
    "huge head": lambda: iter([b"HTTP/1.1 200 OK\r\nx: " + b"a" * MEBIBYTE + b"\r\n\r\n[]"]),
    "wrong shapes": whole(ENVELOPE % b'{"events":{"a":1},"applied":"x","id":5,"files":null}'),
    "events of nothing": whole(ENVELOPE % b'{"events":[null,5,"x",{},[]],"cursor":-1,"nextCursor":"x"}'),
    "huge numbers": whole(ENVELOPE % (b'{"events":[{"id":"a","cursor":%s,"type":"x"}]}' % (b"9" * 4000))),
    "a number beyond all": whole(ENVELOPE % b'{"events":[{"id":"a","cursor":1e300,"type":"file.upsert"}]}'),
    "not a number": whole(ENVELOPE % b'{"events":[{"id":"a","cursor":NaN,"type":"x"}]}'),
    "a cut zip": whole(b"\x1f\x8b\x08\x00", content_encoding="gzip"),
    "zip bomb": zip_bomb,
    "seven million objects": repeated(b'{"data":{"events":[', b"{}," * 349_525, 20, b'{}]},"success":true}'),
    "thirty million numbers": repeated(b'{"data":{"events":[', b"0," * 524_288, 60, b'0]},"success":true}'),
}
ENDPOINTS = ("deltas", "sources/files", "push-batch", "sources/file", "heartbeat", "sources/conflicts")


@pytest.fixture
def linked(home: Home, wild: WildServer) -> str:
    """A source of two files, in step; its id."""
    home.login(wild)
    home.write("a.md", "a\n")
    home.write("b.md", "b\n")
    return home.link()


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(["zip bomb", "seven million objects", "events of nothing"], id="some"),
        pytest.param(list(ANSWERS), id="all", marks=pytest.mark.long),
    ],
)
@needs_proc
def test_pr6_no_answer_changes_the_folder_or_ends_the_daemon(
    home: Home, wild: WildServer, linked: str, names: list[str]
) -> None:
    """Each to the feed, while the folder is in step: the state is never up to date, no file changes, memory stays
    bounded; then the server behaves, and what was saved and sent meanwhile arrives.
    """
    home.run("config", "set", "poll_max_seconds", "1")
    with home.daemon() as daemon:
        for name in names:
            wild.answer("deltas", ANSWERS[name])
            report = daemon.call("sync")["sources"][0]
            assert report["state"] != "up_to_date", (name, report)
            assert home.texts() == {"a.md": "a\n", "b.md": "b\n"}, name
        assert daemon.process.poll() is None
        assert peak_memory(daemon.process.pid) <= MEMORY_LIMIT
        home.write("a.md", "mine\n")
        wild.behave()
        wild.put(linked, "c.md", "theirs\n")
        daemon.call("sync")
        assert daemon.call("sync")["sources"][0]["state"] == "up_to_date"
    assert home.texts() == {"a.md": "mine\n", "b.md": "b\n", "c.md": "theirs\n"}
    assert wild.text(linked, "a.md") == "mine\n"


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_malformed_answers_are_failed_calls_at_every_endpoint(wild: WildServer, endpoint: str) -> None:
    """Never another exception, and never data."""
    with contextlib.closing(
        HttpClient(wild.url, lambda: wild.token, raven_profile(wild.workspace), timeouts=Timeouts(read=5.0))
    ) as http:
        for name, chunks in ANSWERS.items():
            if name in ("wrong shapes", "events of nothing", "a number beyond all"):
                continue
            wild.answer(endpoint, chunks)
            try:
                answer = http.call(endpoint if "/" in endpoint else f"x/{endpoint}", {})
            except RemoteError as error:
                assert error.problem.kind in (ProblemKind.GARBLED, ProblemKind.OFFLINE), name
            else:
                assert name in ("longer than its length", "two lengths", "huge numbers"), name
                assert answer.size < MEBIBYTE


@pytest.mark.parametrize("status", [200, 500])
def test_an_answer_that_trickles_for_ever_ends_the_call(wild: WildServer, status: int) -> None:
    """A byte now and then keeps every single read alive; the whole is still given up."""

    def trickle() -> Iterator[bytes]:
        yield head(status, connection="close") + b'{"data":"'
        while not wild.ending.wait(0.05):
            yield b"x"

    wild.answer("deltas", trickle)
    began = time.monotonic()
    http = HttpClient(wild.url, lambda: wild.token, raven_profile(wild.workspace), timeouts=Timeouts(read=0.5))
    with contextlib.closing(http), pytest.raises(RemoteError) as error:
        http.call("sources/deltas", {})
    assert error.value.problem.kind in (ProblemKind.OFFLINE, ProblemKind.SERVER_FAULT)
    assert time.monotonic() - began < patience(5)


def test_one_malformed_event_is_one_bad_event(home: Home, wild: WildServer, linked: str) -> None:
    """Law 6: the events around it apply, its path is named in the activity, and what it told is learned otherwise; the
    feed is read on behind it.
    """
    spoil(wild, "bad.md")
    for name in ("c.md", "bad.md", "d.md"):
        wild.put(linked, name, f"text of {name}\n")
    report = home.sync(code=0)
    assert report["state"] == "up_to_date"
    texts = {"a.md": "a\n", "b.md": "b\n", **{name: f"text of {name}\n" for name in ("c.md", "bad.md", "d.md")}}
    assert home.texts() == texts
    assert [line["path"] for line in home.json("activity") if line["what"] == "event_refused"] == ["bad.md"]
    wild.put(linked, "e.md", "later\n")
    assert home.sync(code=0)["pulled"] == 1


def spoil(wild: WildServer, path: str) -> None:
    """From now on the server's events of this path lack what they tell."""
    honest = wild.raven.handle

    def handle(method: str, asked: str, headers: Mapping[str, str], body: bytes) -> Response:
        response = honest(method, asked, headers, body)
        if not asked.endswith("deltas"):
            return response
        answer = json.loads(response.body)
        for event in answer["data"]["events"]:
            if event.get("relativePath") == path:
                event["payload"] = ["spoiled"]
        return replace(response, body=json.dumps(answer).encode())

    wild.raven.handle = handle  # type: ignore[method-assign,assignment]
