"""One way to ask the agent: over the socket of the daemon that holds the home, else in this process.

Both answer the same methods with the same documents and raise ``AgentError``.
"""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, cast

from agent.api.followed import FOLLOWED
from agent.cli.unix_http import OK, UnixHttpResponse, post
from agent.core.errors import AgentError, HomeLocked, NotRunning, UsageError
from agent.process.imports import quick_imports

if TYPE_CHECKING:
    from agent.daemon.foreground import CommandSession
    from agent.settings.home import Home
    from agent.settings.settings import Settings

CONNECT_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 120.0
"""The daemon answers within this or is stuck; calls that wait for a whole pass have no limit."""

HOME_SECONDS: Final = 10.0
"""How long a command waits for a home that another one holds without answering: most of them are done before."""

HOME_LOOK_SECONDS: Final = 0.05

BUSY_SECONDS: Final = 0.01
"""Between two tries to get into a full queue."""

UNBOUNDED: Final = frozenset(
    {"sync", "link", "unlink", "move", "rules", "restore", "resolve", "retry", "doctor", "drill"}
)


class AnsweredError(AgentError):
    """The agent answered with an error; its code is the one the agent gave."""

    def __init__(self, code: str, message: str, hint: str | None) -> None:
        super().__init__(message, hint)
        self._code = code

    @property
    def code(self) -> str:  # type: ignore[override]
        """The agent's own code."""
        return self._code


class Client(Protocol):
    """The agent that answers: a running daemon, or this process."""

    @property
    def is_daemon(self) -> bool:
        """True if a running daemon answers; it goes on when the command ends."""

    def call(self, method: str, params: Mapping[str, Any]) -> Any:
        """The method's document.

        Raises:
            AgentError: what the agent refused, and why.
        """


_PATHS: Final = frozenset({"path", "folder", "old", "new"})


def _require_utf8(params: Mapping[str, Any]) -> None:
    """Refuse a parameter that an answer could not quote. A path is also sent as its bytes, so it may have any name.

    Raises:
        UsageError: an argument is not valid UTF-8.
    """
    for name, value in params.items():
        if name in _PATHS:
            continue
        for text in value if isinstance(value, list | tuple) else (value,):
            if isinstance(text, str) and not text.isascii():
                try:
                    text.encode()
                except UnicodeEncodeError as error:
                    raise UsageError(
                        f"the argument for {name.replace('_', ' ')} is not valid UTF-8: {text!a}",
                        "type it in UTF-8, or use an id in its place",
                    ) from error


class SocketClient(NamedTuple):
    """Asks a running daemon. Every call opens its own connection, so threads may share this."""

    path: Path

    @property
    def is_daemon(self) -> bool:
        """Always."""
        return True

    def call(self, method: str, params: Mapping[str, Any]) -> Any:
        """One answer over the socket."""
        _require_utf8(params)
        seconds = None if method in UNBOUNDED else ANSWER_SECONDS
        with self._asked(method, params, seconds) as answer, _daemon_trouble():
            return json.loads(answer.read())["result"]

    def follow(self, method: str, params: Mapping[str, Any]) -> Iterator[Any]:
        """Document after document until the daemon ends."""
        _require_utf8(params)
        with self._asked(method, params, None) as answer:
            while True:
                with _daemon_trouble():
                    line = answer.line()
                    if not line:
                        return
                    document = json.loads(line)
                if isinstance(document, dict) and set(document) == {"error"}:
                    raise _answered(document)
                yield document

    @contextlib.contextmanager
    def _asked(self, method: str, params: Mapping[str, Any], seconds: float | None) -> Iterator[UnixHttpResponse]:
        """An answer that is no refusal; the connection ends with the block."""
        with contextlib.ExitStack() as stack:
            with _daemon_trouble():
                connection = stack.enter_context(contextlib.closing(_open(self.path)))
                answer = post(connection, f"/v1/{method}", json.dumps(params).encode(), seconds)
                stack.callback(answer.close)
                refusal = None if answer.status == OK else json.loads(answer.read())
            if refusal is not None:
                raise _answered(refusal)
            yield answer


class LocalClient(NamedTuple):
    """Asks a session in this process, for as long as the command lasts."""

    session: CommandSession

    @property
    def is_daemon(self) -> bool:
        """Never."""
        return False

    def call(self, method: str, params: Mapping[str, Any]) -> Any:
        """The same documents, made here."""
        _require_utf8(params)
        return self.session.call(method, dict(params))


@contextlib.contextmanager
def connect(home: Home, settings: Settings) -> Iterator[Client]:
    """The daemon of this home if one answers, else a session in this process.

    Raises:
        HomeLocked: another process holds this home and does not answer, and still did after ``HOME_SECONDS``.
        AgentError: what opening the session found.
    """
    taken = _take(home, settings)
    if isinstance(taken, SocketClient):
        yield taken
        return
    from agent.cli.logsetup import log_beside_an_answer
    from agent.runtime.activity_log import not_reported

    log_beside_an_answer(not_reported)
    with taken as session:
        yield LocalClient(session)


def _take(home: Home, settings: Settings) -> SocketClient | CommandSession:
    """A daemon that answers, or the home itself: another command lets it go soon, and a daemon that starts answers
    soon.
    """
    deadline = time.monotonic() + HOME_SECONDS
    while True:
        running = daemon_of(home)
        if running is not None:
            return running
        with quick_imports():
            from agent.daemon.foreground import CommandSession

        home.create()
        try:
            return CommandSession.open(home, settings)
        except HomeLocked:
            if time.monotonic() > deadline:
                raise
        time.sleep(HOME_LOOK_SECONDS)


def follow(home: Home, settings: Settings, method: str, params: Mapping[str, Any], every: float) -> Iterator[Any]:
    """Yield documents without end: streamed by a daemon, else read every ``every`` seconds.

    Without a daemon the home is released between two reads, so that a daemon can start meanwhile.
    """
    while True:
        running = daemon_of(home)
        if running is not None:
            yield from running.follow(method, params)
        else:
            with connect(home, settings) as client:
                document = client.call(FOLLOWED[method].method, params)
            yield document
        time.sleep(every)


def daemon_of(home: Home) -> SocketClient | None:
    """The daemon the lock file names, if its socket takes a connection.

    A lock file alone proves nothing: it outlives a killed agent, and a single pass holds it without a
    socket.
    """
    path = read_lock(home).get("socket")
    if not isinstance(path, str):
        return None
    try:
        _open(Path(path)).close()
    except OSError:
        return None
    return SocketClient(Path(path))


def read_lock(home: Home) -> dict[str, Any]:
    """Read the lock file of the agent that holds this home; empty if it has no details."""
    try:
        said = json.loads(home.lock_file.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def _open(path: Path) -> socket.socket:
    """A connection to the socket at ``path``.

    Raises:
        OSError: no process listens there, or none accepted the connection in time.
    """
    deadline = time.monotonic() + CONNECT_SECONDS
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    opened.settimeout(CONNECT_SECONDS)
    while True:
        try:
            opened.connect(str(path))
        except BlockingIOError:
            # Unlike TCP, a full queue of connections is an error at once, also on a socket with a timeout.
            if time.monotonic() > deadline:
                opened.close()
                raise
            time.sleep(BUSY_SECONDS)
        except OSError:
            opened.close()
            raise
        else:
            return opened


@contextlib.contextmanager
def _daemon_trouble() -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise NotRunning("the running agent does not answer", "raven-agent logs, then restart it") from error
    except OSError as error:
        raise NotRunning("the running agent went away", "start it again, or repeat the command without it") from error
    except (ValueError, KeyError, TypeError) as error:
        raise NotRunning(
            "the running agent gave an answer that makes no sense", "restart it after an update"
        ) from error


def _answered(document: Any) -> AnsweredError:
    error = document.get("error") if isinstance(document, dict) else None
    said = cast("Mapping[str, Any]", error if isinstance(error, dict) else {})
    hint = said.get("hint")
    return AnsweredError(
        str(said.get("code", "error")),
        str(said.get("message", "the agent refused")),
        None if hint is None else str(hint),
    )
