"""The hub's listening socket, its remembered port, and the lock on its folder."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
from pathlib import Path

from agent.core.net import is_loopback
from agent.process.ports import listener_on

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8674
PORT_FILE = "port"
LOCK_FILE = "lock"
BACKLOG = 1024


class ServeError(Exception):
    """The hub does not start; the message is a sentence for the person who started it."""


def is_exposed(host: str) -> bool:
    """Return True if other machines can reach a listener on this address, so that it must be encrypted."""
    return not is_loopback(host)


def open_door(host: str, port: int) -> socket.socket:
    """Return the listening socket for other machines, beside the one for this machine.

    Raises:
        ServeError: the address cannot be used.
    """
    try:
        return _bind(host, port)
    except OSError as error:
        raise ServeError(
            f"The hub cannot listen on {host}:{port} for other machines: {_cause(error, port)}."
        ) from error


def open_listener(data_dir: Path, host: str, port: int | None) -> socket.socket:
    """Return a listening socket.

    Args:
        port: None for 8674 or the remembered one, and another free one if that is taken, which is remembered.

    Raises:
        ServeError: the address cannot be used.
    """
    memory = data_dir / PORT_FILE
    if port is not None:
        try:
            return _bind(host, port)
        except OSError as error:
            raise ServeError(
                f"The hub cannot listen on {host}:{port}: {_cause(error, port)}. Choose another: --listen HOST:PORT."
            ) from error
    try:
        return _bind(host, _remembered(memory))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise ServeError(f"The hub cannot listen on {host}: {error.strerror}.") from error
    listener = _bind(host, 0)
    # On a full disk the port is not remembered, but the hub still serves what it has.
    with contextlib.suppress(OSError):
        memory.write_text(f"{listener.getsockname()[1]}\n")
        memory.chmod(0o600)
    return listener


def _cause(error: OSError, port: int) -> str:
    """Return the reason in words, with the process that has the port where the system shows it."""
    if error.errno != errno.EADDRINUSE:
        return error.strerror or "it is refused"
    holder = listener_on(port)
    return "the port is in use" + (f" ({holder[0]}, pid {holder[1]})" if holder else "")


def _remembered(memory: Path) -> int:
    try:
        port = int(memory.read_text())
    except (FileNotFoundError, ValueError):
        return DEFAULT_PORT
    return port if 0 < port < 65536 else DEFAULT_PORT


def _bind(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


class FolderLock:
    """Exclusive lock on a hub's folder. Two hubs on one SQLite file would not notify each other of commits."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / LOCK_FILE
        self._descriptor = -1

    def __enter__(self) -> None:
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._descriptor, 32).decode(errors="replace").strip() or "unknown"
            os.close(self._descriptor)
            raise ServeError(
                f"Another hub serves {self._path.parent} (process {holder}); end it first: Ctrl-C there, "
                "raven-agent stop, or raven-agent service stop."
            ) from None
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, 0)
            os.write(self._descriptor, f"{os.getpid()}\n".encode())

    def __exit__(self, *_: object) -> None:
        # The file stays: deleting it could delete a lock that another process has just taken.
        os.close(self._descriptor)
