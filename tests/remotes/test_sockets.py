"""The adapter over real connections: a strict server in a thread, and a hub in a process of its own."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from agent.core.errors import ProblemKind, RemoteError
from agent.core.events import Upsert
from agent.core.model import Mode
from agent.core.remote_records import Result
from agent.remotes.http.client import HttpClient, Timeouts
from agent.remotes.raven.adapter import RavenRemote
from agent.remotes.raven.profile import raven_profile
from hub.fixtures import WORKSPACE as HUB_WORKSPACE
from hub.fixtures import running_hub
from hub.fixtures import token as hub_token
from remotes.fixtures import edit, results
from strict_raven import WORKSPACE, StrictRaven, token
from strict_raven.faults import Faulty, drop_answer
from strict_raven.serve import serving
from support.eventually import patience

ORDINARY = Timeouts()
SHORT = Timeouts(connect=2.0, read=0.3, write=2.0)


def adapter(url: str, bearer: str, workspace: str, timeouts: Timeouts = ORDINARY) -> RavenRemote:
    """An adapter over a real connection."""
    return RavenRemote(HttpClient(url, lambda: bearer, raven_profile(workspace), timeouts=timeouts))


def linked(remote: RavenRemote) -> tuple[str, str]:
    """A new connector and a new source of its own."""
    connector = remote.register("laptop", "linux", "1.0").connector_id
    return connector, remote.create_source("notes", Mode.BIDIRECTIONAL, connector, [], []).id


@pytest.fixture(params=["strict", "hub"])
def remote(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RavenRemote]:
    """Either server, over TCP."""
    if request.param == "strict":
        with serving(StrictRaven().handle) as url, closing(adapter(url, token(), WORKSPACE)) as made:
            yield made
        return
    with running_hub(tmp_path / "hub", "--port", "0") as running:
        bearer = hub_token(secret=(running.data / "secret").read_bytes())
        with closing(adapter(running.url, bearer, HUB_WORKSPACE)) as made:
            yield made


def test_files_go_up_and_come_down(remote: RavenRemote) -> None:
    """Also the largest the server takes, and many at once."""
    connector, source = linked(remote)
    batch = [edit(f"{n}.md", "x" * 50_000) for n in range(60)]
    assert set(results(remote.push(source, connector, batch), batch)) == {Result.APPLIED}
    huge = [edit("huge.md", "y" * 1_048_000)]
    assert results(remote.push(source, connector, huge), huge) == [Result.APPLIED]
    state: str | None = None
    texts: dict[str, bytes | None] = {}
    more = True
    while more:
        page = remote.pull(source, state, 0.0, time.time())
        state, more = page.state, page.more
        texts |= {event.path: event.content for event in page.events if isinstance(event, Upsert)}
    assert texts["huge.md"] == b"y" * 1_048_000
    assert len(texts) == 61


def test_a_waiting_pull_ends_when_something_happens(tmp_path: Path) -> None:
    """The hub's long poll: told at once, not after the wait."""
    with running_hub(tmp_path / "hub", "--port", "0") as running:
        bearer = hub_token(secret=(running.data / "secret").read_bytes())
        with closing(adapter(running.url, bearer, HUB_WORKSPACE, SHORT)) as made:
            connector, source = linked(made)
            state = made.pull(source, None, 0.0, time.time()).state
            told: list[Upsert] = []

            def wait() -> None:
                page = made.pull(source, state, 20.0, time.time())
                told.extend(event for event in page.events if isinstance(event, Upsert))

            started = time.monotonic()
            waiter = threading.Thread(target=wait)
            waiter.start()
            batch = [edit("a.md", "A")]
            assert results(made.push(source, connector, batch), batch) == [Result.APPLIED]
            waiter.join(patience(15))
            assert [event.path for event in told] == ["a.md"]
            assert time.monotonic() - started < patience(10)


def test_a_poll_longer_than_the_answer_timeout_is_no_timeout(tmp_path: Path) -> None:
    """The wait on the server is added to the time an answer may take."""
    with running_hub(tmp_path / "hub", "--port", "0") as running:
        bearer = hub_token(secret=(running.data / "secret").read_bytes())
        with closing(adapter(running.url, bearer, HUB_WORKSPACE, SHORT)) as made:
            _, source = linked(made)
            page = made.pull(source, None, 1.0, time.time())
            assert (page.events, page.more) == ((), False)


def test_an_answer_lost_with_its_connection_is_uncertain() -> None:
    """CR4: the server applied it, and the adapter does not claim otherwise."""
    server = StrictRaven()
    faults = Faulty(server.handle)
    with serving(faults.handle) as url, closing(adapter(url, token(), WORKSPACE)) as made:
        connector, source = linked(made)
        batch = [edit("a.md", "A")]
        faults.inject(drop_answer(), on="push-batch")
        assert results(made.push(source, connector, batch), batch) == [Result.UNCERTAIN]
        assert server.heads(source) == {"a.md": "A"}


def test_a_server_that_is_not_there_was_sent_nothing() -> None:
    """A refused connection leaves every operation unsent."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with closing(adapter(f"http://127.0.0.1:{port}", token(), WORKSPACE)) as made:
        batch = [edit("a.md", "A")]
        answer = made.push("s", None, batch)
        assert results(answer, batch) == [Result.NOT_SENT]
        assert answer.problem is not None
        assert answer.problem.kind is ProblemKind.OFFLINE


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (b"", ProblemKind.OFFLINE),
        (b'HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"data":', ProblemKind.GARBLED),
        (b"SSH-2.0-OpenSSH_9.6\r\n", ProblemKind.OFFLINE),
        (b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\nabc", ProblemKind.GARBLED),
    ],
)
def test_broken_answers_are_problems_and_never_other_exceptions(reply: bytes, kind: ProblemKind) -> None:
    """PR6: nothing, a body cut short of its length, another protocol, bytes that cannot be unpacked."""
    with OneReply(lambda: reply) as url, closing(adapter(url, token(), WORKSPACE, SHORT)) as made:
        with pytest.raises(RemoteError) as error:
            made.sources()
        assert error.value.problem.kind is kind


def test_a_silent_server_is_offline_in_time() -> None:
    """OP2: a black-holed connection ends with the read timeout; what was sent is uncertain."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with closing(adapter(url, token(), WORKSPACE, SHORT)) as made:
            batch = [edit("a.md", "A")]
            answer = made.push("s", None, batch)
            assert results(answer, batch) == [Result.UNCERTAIN]
            assert answer.problem is not None
            assert answer.problem.kind is ProblemKind.OFFLINE


class OneReply:
    """A socket that reads a request's beginning, sends some bytes and hangs up."""

    def __init__(self, reply: Callable[[], bytes]) -> None:
        self._reply = reply
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            connection.settimeout(5)
            received = b""
            while not received.endswith(b"{}"):
                received += connection.recv(65_536)
            connection.sendall(self._reply())

    def __enter__(self) -> str:
        self._thread.start()
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __exit__(self, *_: object) -> None:
        self._thread.join(patience(10))
        self._listener.close()
