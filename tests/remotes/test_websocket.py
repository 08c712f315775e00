"""The WebSocket client and the nudges of the ScaiDrive dialect, against real servers on this machine."""

from __future__ import annotations

import contextlib
import http
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from agent.core.errors import ProblemKind, RemoteError
from agent.remotes.http.client import HttpClient, Timeouts
from agent.remotes.http.failures import RemoteCallError
from agent.remotes.http.request import ApiRequest
from agent.remotes.http.websocket import MAX_TEXT, SocketClosed, WebSocket
from agent.remotes.protocol import Nudge
from agent.remotes.scaidrive import nudges
from agent.remotes.scaidrive.profile import scaidrive_profile
from support.certificates import self_signed
from support.eventually import eventually, patience

SHORT = Timeouts(connect=2.0, read=1.0, write=2.0)
Talk = Callable[[ServerConnection], None]
Answer = Callable[[ServerConnection, Request], Response | None]


@contextlib.contextmanager
def talking(talk: Talk, answer: Answer | None = None, trust: ssl.SSLContext | None = None) -> Iterator[str]:
    """A WebSocket server that does as it likes, encrypted if ``trust`` is given; its address."""

    def handle(connection: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            talk(connection)

    with serve(handle, "127.0.0.1", 0, process_request=answer, compression=None, ssl=trust) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"{'http' if trust is None else 'https'}://127.0.0.1:{server.socket.getsockname()[1]}"
        finally:
            server.shutdown()
            thread.join(patience(10))


@contextlib.contextmanager
def opened(url: str) -> Iterator[WebSocket]:
    """An open WebSocket."""
    with client(url) as made, made.websocket(ApiRequest("GET", "sync/ws/{}", ("dev",))) as found:
        yield found


def client(url: str, token: Callable[[], str] = lambda: "t") -> closing[HttpClient]:
    """A client of the dialect."""
    return closing(HttpClient(url, token, scaidrive_profile(""), timeouts=SHORT))


def failure(url: str, token: Callable[[], str] = lambda: "t") -> RemoteCallError:
    """How listening fails."""
    with client(url, token) as made, pytest.raises(RemoteCallError) as caught:
        nudges.listen(made, "dev", threading.Event(), lambda _: None)
    return caught.value


class Listening:
    """A thread that listens.

    Attributes:
        nudges: what it was told.
        ended: its failure, or None if it returned.
    """

    def __init__(self, made: HttpClient, device: str = "dev") -> None:
        self.stop = threading.Event()
        self.nudges: SimpleQueue[Nudge] = SimpleQueue()
        self.ended: SimpleQueue[RemoteError | None] = SimpleQueue()
        self._made = made
        self._device = device
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        try:
            nudges.listen(self._made, self._device, self.stop, self.nudges.put)
        except RemoteError as error:
            self.ended.put(error)
        else:
            self.ended.put(None)


def test_texts_travel_and_pings_are_answered() -> None:
    """Also a text in several frames, and frames of other kinds in between."""
    pongs: list[float] = []

    def talk(connection: ServerConnection) -> None:
        assert connection.request is not None
        assert connection.request.path == "/api/v1/sync/ws/dev"
        assert connection.request.headers["authorization"] == "Bearer t"
        connection.send(f"heard {connection.recv(decode=True)}")
        connection.send(["in ", "parts ", "é"])
        connection.send(b"bytes")
        pongs.append(connection.ping().wait(patience(5)))
        connection.send("after the ping")
        connection.close(4999, "enough")

    with talking(talk) as url, opened(url) as found:
        found.send("hello")
        assert [found.receive(5) for _ in range(3)] == ["heard hello", "in parts é", "after the ping"]
        assert found.receive(5) == SocketClosed(4999)
    assert pongs == [True]


def test_a_silent_server_is_waited_for_and_no_longer() -> None:
    """Nothing comes in time; a text that comes later is read by the next call."""
    go = threading.Event()

    def talk(connection: ServerConnection) -> None:
        go.wait(patience(10))
        connection.send("late")

    with talking(talk) as url, opened(url) as found:
        assert found.receive(0.05) is None
        assert found.receive(0) is None
        go.set()
        assert found.receive(5) == "late"


def test_a_text_that_never_ends_is_not_collected() -> None:
    """A larger text than is taken ends the WebSocket."""

    def talk(connection: ServerConnection) -> None:
        connection.send("x" * 65_536 for _ in range(MAX_TEXT // 65_536 + 2))

    with talking(talk) as url, opened(url) as found, pytest.raises(RemoteCallError) as caught:
        found.receive(10)
    assert caught.value.problem.kind is ProblemKind.GARBLED


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, ProblemKind.SIGNED_OUT),
        (403, ProblemKind.FORBIDDEN),
        (404, ProblemKind.NOT_FOUND),
        (200, ProblemKind.GARBLED),
        (302, ProblemKind.GARBLED),
        (502, ProblemKind.OFFLINE),
    ],
)
def test_a_refused_opening_handshake_has_the_status_meaning(status: int, kind: ProblemKind) -> None:
    """A proxy or a server without WebSockets."""

    def refuse(connection: ServerConnection, _request: Request) -> Response:
        return connection.respond(http.HTTPStatus(status), "no")

    with talking(lambda _: None, refuse) as url:
        assert failure(url).problem.kind is kind


RAW = {
    "a wrong key": b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
    "no upgrade": b"HTTP/1.1 101 x\r\nConnection: close\r\n\r\n",
    "no HTTP": b"hello\r\n\r\n",
    "nothing": b"",
}


@pytest.mark.parametrize("said", RAW)
def test_an_answer_that_opens_no_websocket_is_a_failure(said: str) -> None:
    """Whatever the server says, it is one failure of a call."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(RAW[said])

        thread = threading.Thread(target=answer)
        thread.start()
        found = failure(f"http://127.0.0.1:{listener.getsockname()[1]}")
        thread.join(patience(10))
    assert found.problem.kind in (ProblemKind.GARBLED, ProblemKind.OFFLINE)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (4401, ProblemKind.SIGNED_OUT),
        (4404, ProblemKind.NOT_FOUND),
        (4429, ProblemKind.BUSY),
        (1001, ProblemKind.OFFLINE),
        (4000, ProblemKind.OFFLINE),
    ],
)
def test_the_code_of_a_close_has_a_meaning(code: int, kind: ProblemKind) -> None:
    """A token that is refused is renewed; most others are only the end of a connection."""
    with talking(lambda connection: connection.close(code)) as url:
        assert failure(url).problem.kind is kind


def test_a_token_that_was_replaced_meanwhile_is_not_refused() -> None:
    """Otherwise the new token, which nobody refused, would be renewed."""
    tokens = iter(["old", "new"])
    with talking(lambda connection: connection.close(4401)) as url:
        assert failure(url, lambda: next(tokens)).problem.kind is ProblemKind.OFFLINE


FRAMES: list[tuple[Any, Nudge | None]] = [
    ({"type": "subscribed"}, Nudge(None)),
    ({"event_type": "change", "share_id": "s", "data": {}}, Nudge("s")),
    ({"type": "change", "event_type": "change", "share_id": "s"}, Nudge("s")),
    ({"event_type": "change"}, Nudge(None)),
    ({"event_type": "sync_preference_updated", "share_id": "s", "device_id": "d"}, Nudge("s", preferences=True)),
    ({"event_type": "force_sync", "share_id": "s"}, Nudge("s", full=True)),
    ({"type": "pong"}, None),
    ({"event_type": ["change"]}, None),
    ({"event_type": "change", "share_id": 7}, Nudge(None)),
    ([], None),
    (None, None),
]


@pytest.mark.parametrize(("frame", "nudge"), FRAMES)
def test_frames_are_nudges_or_nothing(frame: Any, nudge: Nudge | None) -> None:
    """A frame that is not known is ignored."""
    assert nudges.nudge_of(json.dumps(frame)) == nudge
    assert nudges.nudge_of("{") is None


def test_a_subscribed_client_reports_changes_until_stopped() -> None:
    """The first nudge is of every share; ``stop`` and ``close`` end it without a failure."""

    def talk(connection: ServerConnection) -> None:
        assert json.loads(connection.recv()) == {"type": "subscribe"}
        connection.send('{"type":"subscribed"}')
        connection.send('{"event_type":"change","share_id":"s"}')
        connection.recv()

    with talking(talk) as url, client(url) as made:
        listening = Listening(made)
        assert [listening.nudges.get(timeout=patience(5)) for _ in range(2)] == [Nudge(None), Nudge("s")]
        listening.stop.set()
        made.close()
        assert listening.ended.get(timeout=patience(5)) is None
        listening.thread.join(patience(5))


def test_aborted_connections_end_the_listening() -> None:
    """After a sleep or in another network it ends at once, and a new one opens."""

    def talk(connection: ServerConnection) -> None:
        connection.send('{"type":"subscribed"}')
        connection.recv()
        connection.recv()

    with talking(talk) as url, client(url) as made:
        listening = Listening(made)
        assert listening.nudges.get(timeout=patience(5)) == Nudge(None)
        made.abort_connections()
        ended = listening.ended.get(timeout=patience(5))
        assert ended is not None
        assert ended.problem.kind is ProblemKind.OFFLINE
        again = Listening(made)
        assert again.nudges.get(timeout=patience(5)) == Nudge(None)
        again.stop.set()
        made.close()
        assert again.ended.get(timeout=patience(5)) is None


@contextlib.contextmanager
def tunnel(server: str) -> Iterator[str]:
    """A proxy whose tunnels all lead to this server; its address."""
    port = int(server.rpartition(":")[2])

    def pipe(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def serve_one(near: socket.socket) -> None:
        with near, socket.create_connection(("127.0.0.1", port)) as far:
            assert near.recv(65_536).startswith(b"CONNECT 192.0.2.1:443 ")
            near.sendall(b"HTTP/1.1 200 ok\r\n\r\n")
            back = threading.Thread(target=pipe, args=(far, near))
            back.start()
            pipe(near, far)
            back.join(patience(10))

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    serve_one(listener.accept()[0])

        thread = threading.Thread(target=accept)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(patience(10))


@pytest.mark.parametrize("by_proxy", [False, True])
def test_an_encrypted_websocket_reports_and_is_aborted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_proxy: bool
) -> None:
    """With an own certificate, and through the tunnel of a proxy; it ends at once when connections are given up."""

    def talk(connection: ServerConnection) -> None:
        connection.send('{"type":"subscribed"}')
        connection.recv()
        connection.recv()

    made = self_signed(tmp_path, "192.0.2.1" if by_proxy else "127.0.0.1")
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(talking(talk, trust=made.server_context()))
        if by_proxy:
            for name in ("no_proxy", "NO_PROXY"):
                monkeypatch.delenv(name, raising=False)
            monkeypatch.setenv("https_proxy", stack.enter_context(tunnel(url)))
            url = "https://192.0.2.1"
        http_client = HttpClient(url, lambda: "t", scaidrive_profile(""), timeouts=SHORT, ca_file=made.certificate)
        stack.enter_context(closing(http_client))
        listening = Listening(http_client)
        assert listening.nudges.get(timeout=patience(5)) == Nudge(None)
        http_client.abort_connections()
        ended = listening.ended.get(timeout=patience(5))
        assert ended is not None
        assert ended.problem.kind is ProblemKind.OFFLINE


def test_an_opening_handshake_in_progress_can_be_stopped() -> None:
    """A server that accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        slow = HttpClient(f"http://127.0.0.1:{listener.getsockname()[1]}", lambda: "t", scaidrive_profile(""))
        with closing(slow):
            listening = Listening(slow)
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                listening.stop.set()
                began = time.monotonic()
                slow.close()
                assert listening.ended.get(timeout=patience(10)) is None
                assert time.monotonic() < began + 5


class FakeSocket:
    """A WebSocket whose time passes at once. ``answers``: what it receives after each text."""

    def __init__(self, answers: list[str | None]) -> None:
        self.now = 0.0
        self.sent: list[tuple[float, str]] = []
        self._answers = answers

    def ticks(self) -> float:
        """The time."""
        return self.now

    def send(self, text: str) -> None:
        """Record a text."""
        self.sent.append((self.now, text))

    def receive(self, seconds: float) -> str | SocketClosed | None:
        """The next answer, after the whole wait if there is none."""
        found = self._answers.pop(0)
        self.now += seconds if found is None else min(seconds, 1.0)
        return found


@pytest.mark.parametrize(
    ("answers", "sent"),
    [
        ([None, None], [30.0]),
        ([None, '{"type":"pong"}', None, None], [30.0, 60.0]),
        (['{"type":"x"}'] * 30 + [None], [30.0]),
    ],
)
def test_pings_are_sent_and_their_answer_is_due(answers: list[str | None], sent: list[float]) -> None:
    """Every 30 s, also between texts; a server that is silent 15 s after one is gone."""
    fake = FakeSocket([*answers])
    made = contextlib.nullcontext(fake)

    class Client:
        """Opens the fake."""

        def websocket(self, _request: ApiRequest) -> contextlib.nullcontext[FakeSocket]:
            """The fake."""
            return made

    with pytest.raises(Exception, match="no answer to a ping"):
        nudges.listen(Client(), "d", threading.Event(), lambda _: None, fake.ticks)  # type: ignore[arg-type]
    assert [moment for moment, text in fake.sent if "ping" in text] == sent
    assert fake.now == sent[-1] + nudges.ANSWER_SECONDS


def test_no_thread_is_left_when_the_server_vanishes() -> None:
    """The end of the connection is the end of the listening."""
    gone = threading.Event()

    def talk(_connection: ServerConnection) -> None:
        gone.wait(patience(10))

    with talking(talk) as url, client(url) as made:
        listening = Listening(made)
        gone.set()
        assert listening.ended.get(timeout=patience(5)) is not None
        eventually(lambda: not listening.thread.is_alive(), 5, "the thread ends")
