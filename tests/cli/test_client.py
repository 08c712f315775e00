"""Asking a daemon over its socket, and what happens when it is not there."""

from __future__ import annotations

import itertools
import json
import os
import socket
import threading
from collections.abc import Callable

import pytest

from agent.cli.client import AnsweredError, SocketClient, connect, daemon_of, read_lock
from agent.core.errors import NotRunning
from agent.settings.home import Home
from agent.settings.settings import Settings
from cli.conftest import Ran
from cli.documents import source, status
from cli.fake_agent import FakeAgent, Raw, Refusal


def test_a_question_and_its_answer_pass_unchanged(home: Home, fake: FakeAgent) -> None:
    document = {"text": "ü\u2028\n", "list": [1, None, {"deep": True}]}
    fake.answers["explain"] = document
    with connect(home, Settings()) as client:
        assert client.is_daemon
        assert client.call("explain", {"path": "/a\ud800"}) == document
    assert fake.calls == [("explain", {"path": "/a\ud800"})]


def test_a_refusal_keeps_its_code_message_and_hint(home: Home, fake: FakeAgent) -> None:
    fake.answers["sync"] = Refusal("signed_out", "token refused", "log in")
    with connect(home, Settings()) as client, pytest.raises(AnsweredError) as refused:
        client.call("sync", {})
    assert (refused.value.code, refused.value.message, refused.value.hint) == ("signed_out", "token refused", "log in")


@pytest.mark.parametrize("body", [b"<html>", b"", b"[]", b'{"result"', b'{"other": 1}'])
def test_an_unreadable_answer_is_an_error(home: Home, fake: FakeAgent, body: bytes) -> None:
    """An answer that makes no sense is an error and not a result."""
    fake.answers["status"] = Raw(body)
    with connect(home, Settings()) as client, pytest.raises(NotRunning):
        client.call("status", {})


def test_a_refusal_that_makes_no_sense_is_still_an_error(home: Home, fake: FakeAgent) -> None:
    fake.answers["status"] = Raw(b"[]", status=500)
    with connect(home, Settings()) as client, pytest.raises(AnsweredError, match="refused"):
        client.call("status", {})


def test_a_stream_yields_document_after_document(home: Home, fake: FakeAgent) -> None:
    fake.answers["status_watch"] = [status(source(files=n)) for n in range(3)]
    daemon = daemon_of(home)
    assert daemon is not None
    assert [d["sources"][0]["files"] for d in daemon.follow("status_watch", {})] == [0, 1, 2]


def test_a_stream_that_ends_in_an_error_raises_it(home: Home, fake: FakeAgent) -> None:
    fake.answers["status_watch"] = [status(), {"error": {"code": "offline", "message": "gone", "hint": None}}]
    daemon = daemon_of(home)
    assert daemon is not None
    stream = daemon.follow("status_watch", {})
    next(stream)
    with pytest.raises(AnsweredError, match="gone"):
        next(stream)


def test_threads_may_share_a_client(home: Home, fake: FakeAgent) -> None:
    fake.answers["progress"] = lambda params: params
    daemon = daemon_of(home)
    assert daemon is not None
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda n=n: found.append(daemon.call("progress", {"n": n})["n"])) for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == list(range(8))


@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"pid": 1, "socket": null}', '{"socket": "/nowhere.sock"}'])
def test_a_lock_file_that_names_no_live_socket_names_no_daemon(home: Home, text: str | None) -> None:
    home.create()
    if text is not None:
        home.lock_file.write_text(text)
    assert daemon_of(home) is None


def test_a_socket_left_by_a_killed_agent_names_no_daemon(home: Home) -> None:
    home.create()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(home.socket))
    home.lock_file.write_text(json.dumps({"pid": os.getpid(), "socket": str(home.socket)}))
    assert read_lock(home)["pid"] == os.getpid()
    assert daemon_of(home) is None


def test_a_daemon_that_hangs_up_is_not_running(home: Home) -> None:
    home.create()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(home.socket))
        listener.listen()

        def hang_up() -> None:
            listener.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(NotRunning):
            SocketClient(home.socket).call("status", {})
        thread.join()


def test_an_agent_that_went_away_exits_7(raven: Callable[..., Ran], fake: FakeAgent) -> None:
    fake.answers["status"] = Raw(b"")
    ran = raven("status", "--json")
    assert ran.code == 7
    assert json.loads(ran.err)["error"]["code"] == "not_running"


def test_a_watch_writes_one_document_a_line(
    raven: Callable[..., Ran], fake: FakeAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = itertools.chain([status(source(files=n)) for n in range(2)])

    def interrupted(_seconds: float) -> None:
        raise KeyboardInterrupt

    fake.answers["status_watch"] = list(documents)
    monkeypatch.setattr("agent.cli.client.time.sleep", interrupted)
    ran = raven("status", "--watch", "--json")
    assert ran.code == 130
    assert [json.loads(line)["sources"][0]["files"] for line in ran.out.splitlines()] == [0, 1]
