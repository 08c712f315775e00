"""Sentences about servers that cannot be reached, and about sources that are gone."""

from __future__ import annotations

import errno
import socket
import ssl

import httpx
import pytest

from agent.core.errors import ProblemKind, RemoteError
from agent.core.remote_records import Result
from agent.remotes.dialects import open_remote
from agent.remotes.http.failures import EXCEPTIONS, of_exception, of_status
from remotes.fixtures import World, edit


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_fs4_an_unreachable_server_has_name_address_and_cause() -> None:
    """FS4: over a real socket, a refused connection."""
    url = f"http://127.0.0.1:{free_port()}"
    remote = open_remote("raven", url, lambda: "token", "w", name="office")
    with pytest.raises(RemoteError) as error:
        remote.sources()
    assert error.value.message == f"office ({url}) cannot be reached: connection refused"
    remote.close()


def test_fs4_a_name_that_cannot_be_looked_up_says_so() -> None:
    """FS4: the resolver's own reason is the cause."""
    failure = httpx.ConnectError("x")
    failure.__cause__ = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    problem = of_exception(failure, 0, 1, "office (https://r.test)").problem
    assert problem.message == (
        "office (https://r.test) cannot be reached: its name cannot be looked up (name or service not known)"
    )


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (OSError(errno.EHOSTUNREACH, "No route to host"), "no route to the host"),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), "no network"),
        (OSError(errno.ETIMEDOUT, "Connection timed out"), "the connection timed out"),
        (OSError(errno.EMFILE, "Too many open files"), "too many open files"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"), "the encryption failed"),
    ],
)
def test_fs4_the_cause_is_the_operating_systems(cause: OSError, words: str) -> None:
    """FS4: whatever lies between the socket's error and httpx's."""
    middle, failure = RuntimeError("between"), httpx.ConnectError("x")
    middle.__cause__, failure.__cause__ = cause, middle
    assert of_exception(failure, 0, 1, "office").problem.message == f"office cannot be reached: {words}"


@pytest.mark.parametrize("kind", [cls for cls, (kind, *_) in EXCEPTIONS.items() if kind is ProblemKind.OFFLINE])
def test_fs4_every_offline_sentence_names_the_server(kind: type[Exception]) -> None:
    """FS4: none says "the server" and leaves the person to guess which."""
    message = of_exception(kind("x"), 0, 1, "office (https://r.test)").problem.message
    assert "office (https://r.test)" in message


@pytest.mark.parametrize("status", [408, 502, 504])
def test_fs4_every_offline_status_names_the_server(status: int) -> None:
    """FS4: a gateway that answers for a dead server included."""
    message = of_status(status, httpx.Headers(), b"", "", 0.0, "office (https://r.test)").problem.message
    assert "office (https://r.test)" in message


def test_fs6_a_deleted_source_is_a_sentence_with_two_remedies(world: World) -> None:
    """FS6: both servers, every call that names the source."""
    gone = "11111111-1111-4111-8111-111111111111"
    for call in (
        lambda: world.remote.pull(gone, None, 0.0, 0.0),
        lambda: list(world.remote.conflicts(gone)),
        lambda: list(world.remote.listing(gone)),
    ):
        with pytest.raises(RemoteError) as error:
            call()
        assert error.value.problem.kind is ProblemKind.NOT_FOUND
        assert "the source was deleted" in error.value.message
        assert "raven-agent link FOLDER" in error.value.message
        assert "to stop syncing it: raven-agent unlink FOLDER" in error.value.message


def test_fs5_the_size_as_sent_is_stated(world: World) -> None:
    """FS5: 600,000 bytes of which every second is a line end are too large for 1 MiB, as each counts double."""
    (outcome,) = world.push(edit("a.md", 'a\n"' * 300_000)).outcomes
    assert outcome.result is Result.TOO_LARGE
    assert "1,500,000 bytes as sent (900,000 in the file; quotes, backslashes and line ends count double)" in (
        outcome.detail or ""
    )
