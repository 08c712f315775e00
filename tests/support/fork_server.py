"""Processes of the agent without an interpreter's start: forked from one that has the agent imported already.

What runs in such a process is the command from its entry point on, with a pid, an environment, a folder, streams and
signals of its own. Only the imports are shared: they are the same every time and were most of what a test cost. It ends
without freeing what it holds; the tests in ``service`` and ``cli`` that start an interpreter see the whole end. Run as
a script this module is the process that is forked from; the tests use ``Forked``.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

_IMPORTED = (
    "agent.cli.main",
    "agent.cli.commands.accounts",
    "agent.cli.client",
    "agent.cli.commands.conflicts",
    "agent.cli.commands.folders",
    "agent.cli.live",
    "agent.cli.logsetup",
    "agent.cli.commands.status",
    "agent.cli.render",
    "agent.cli.commands.run",
    "agent.cli.commands.settings",
    "agent.cli.commands.support",
    "agent.cli.commands.sync",
    "agent.cli.commands.up",
    "agent.cli.commands.history",
    "agent.settings.config_file",
    "agent.api.server",
    "agent.provisioning.apply",
    "agent.daemon.foreground",
    "agent.disk.watch.inotify", "jwt", "keyring", "sqlite_utils", "tempfile", "tomllib", "uuid",
    # Commands and the daemon load these when they are needed, and each process would compile them anew.
    "agent.cli.commands.service", "agent.cli.commands.ui", "agent.cli.examples", "agent.remotes.detect",
    "agent.remotes.raven.dialect", "agent.remotes.scaidrive.dialect", "agent.remotes.pinakes.dialect",
    "agent.service.commands", "agent.service.detect", "click._textwrap", "email.policy", "encodings.ascii",
    "encodings.idna", "anyio._backends._asyncio", "uvicorn.lifespan.off",
    "uvicorn.protocols.http.h11_impl", "uvicorn.protocols.websockets.auto",
    "uvicorn.protocols.websockets.websockets_sansio_impl",
)  # fmt: skip

_IMPORTED_FOR_HUB = (
    "agent.cli.commands.hub",
    "agent.cli.commands.hub_data",
    "agent.cli.commands.hub_invite",
    "agent.cli.commands.hub_limits",
    "agent.hub.serve",
    "agent.hub.__main__",
)
"""Imported as well once a hub or a command of the hub is forked; most tests need none of it."""

PRELUDE = "FORKED_PRELUDE"
"""Environment variable: the module of the tests that a process imports before the command begins.

Its ``main``, if it has one, is run in the command's place.
"""

FORKED_HUB = "hub.forked_hub"
"""The prelude of a process that is the hub's own program."""


class Forked:
    """A process with these words behind ``raven-agent``; used as a ``subprocess.Popen`` is.

    Attributes:
        pid: of the process.
        returncode: None while it runs; the negative number of the signal that ended it.
    """

    def __init__(self, words: Sequence[str], env: Mapping[str, str], cwd: str, streams: tuple[int, int, int]) -> None:
        self.returncode: int | None = None
        self._line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._line.connect(_address())
        wish = json.dumps({"words": list(words), "env": dict(env), "cwd": cwd, "umask": _umask()}).encode() + b"\n"
        sent = socket.send_fds(self._line, [wish[:4096]], list(streams))
        if rest := wish[sent:]:
            # To send nothing is an error as well, if the command has ended already.
            self._line.sendall(rest)
        self.pid = int(self._line.makefile("rb").readline())

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, once it has ended.

        Raises:
            subprocess.TimeoutExpired: it still runs after ``timeout`` seconds.
        """
        if self.returncode is None:
            # Not select(): a process of a long run may hold more descriptors than that can number.
            with selectors.DefaultSelector() as ready:
                ready.register(self._line, selectors.EVENT_READ)
                ended = ready.select(timeout)
            if not ended:
                raise subprocess.TimeoutExpired("raven-agent", timeout or 0)
            self.returncode = int(self._line.recv(64))
            self._line.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal; to one that has ended none."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send it SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send it SIGKILL."""
        self.send_signal(signal.SIGKILL)


_SHELL_COMMAND = """#!{python} -IS
import json, os, signal, socket, sys

forwarded = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
signal.pthread_sigmask(signal.SIG_BLOCK, forwarded)
line = socket.socket(socket.AF_UNIX)
line.connect({address!r})
mask = os.umask(0o077)
wish = json.dumps(dict(words=sys.argv[1:], env=dict(os.environ), cwd=os.getcwd(), umask=mask)).encode() + b"\\n"
sent = socket.send_fds(line, [wish[:4096]], [0, 1, 2])
if sent < len(wish):
    line.sendall(wish[sent:])
answers = line.makefile("rb")
pid = int(answers.readline())
for number in forwarded:
    signal.signal(number, lambda received, _frame: os.kill(pid, received))
signal.pthread_sigmask(signal.SIG_UNBLOCK, forwarded)
code = int(answers.read())
if code < 0:
    signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
sys.exit(code)
"""


def shell_command() -> str:
    """Return a program that a shell can call as ``raven-agent``: a fork does its work, with its streams and signals."""
    return _SHELL_COMMAND.format(python=sys.executable, address=_address())


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


@functools.cache
def _address() -> str:
    """Where the process to fork from listens; it is started with the first question and ends with this process."""
    folder = tempfile.mkdtemp(prefix="fork-server-")
    address = f"{folder}/socket"
    mother = subprocess.Popen(
        [sys.executable, "-P", __file__, address], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/"
    )
    assert mother.stdin is not None and mother.stdout is not None
    assert mother.stdout.readline() == b"ready\n"

    def end() -> None:
        assert mother.stdin is not None and mother.stdout is not None
        mother.stdin.close()
        mother.stdout.close()
        mother.wait()
        with contextlib.suppress(FileNotFoundError):
            Path(address).unlink()
        Path(folder).rmdir()

    atexit.register(end)
    return address


# From here on: the process that is forked from.


class _Nursery:
    """Forks for whoever asks, and tells them how their process ended."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._lines: dict[int, socket.socket] = {}
        self._woken, self._waker = socket.socketpair()
        self._woken.setblocking(False)
        self._waker.setblocking(False)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)

    def serve(self) -> list[str] | None:
        """Fork until stdin is closed. Comes back in every process that was forked, with its words."""
        with selectors.DefaultSelector() as ready:
            for source in (self._listener, self._woken, sys.stdin):
                ready.register(source, selectors.EVENT_READ)
            while True:
                for key, _ in ready.select():
                    if key.fileobj is sys.stdin:
                        return None
                    if key.fileobj is self._listener:
                        words = self._fork()
                        if words is not None:
                            return words
                    else:
                        self._woken.recv(4096)
                        self._reap()

    def _fork(self) -> list[str] | None:
        line, _ = self._listener.accept()
        message, streams, _, _ = socket.recv_fds(line, 1 << 16, 3)
        while not message.endswith(b"\n"):
            message += line.recv(1 << 16)
        wish = json.loads(message)
        if wish["words"][:1] == ["hub"] or wish["env"].get(PRELUDE) == FORKED_HUB:
            _import_all(_IMPORTED_FOR_HUB)
        pid = os.fork()
        if pid:
            self._lines[pid] = line
            for stream in streams:
                os.close(stream)
            line.sendall(b"%d\n" % pid)
            return None
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for own in (line, self._listener, self._woken, self._waker, *self._lines.values()):
            own.close()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
            if os.isatty(number):
                # The stream of this process was made for a file or a pipe.
                setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))
        os.environ.clear()
        os.environ.update(wish["env"])
        os.umask(wish["umask"])
        os.chdir(wish["cwd"])
        return list(wish["words"])

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG)) != (0, 0):
                line = self._lines.pop(ended[0])
                with contextlib.suppress(BrokenPipeError):
                    line.sendall(b"%d" % os.waitstatus_to_exitcode(ended[1]))
                line.close()


def _import_all(names: Sequence[str]) -> None:
    import gc
    import importlib

    for name in names:
        importlib.import_module(name)
    # What is here now is never freed by a child, nor looked through for it.
    gc.freeze()


def _main(address: str) -> None:
    _import_all(_IMPORTED)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(address)
        listener.listen(64)
        os.write(1, b"ready\n")
        words = _Nursery(listener).serve()
    if words is None:
        return
    import importlib

    from agent.cli.main import main

    sys.argv = ["raven-agent", *words]
    command = main
    if PRELUDE in os.environ:
        sys.path.append(str(Path(__file__).parents[1]))
        command = getattr(importlib.import_module(os.environ[PRELUDE]), "main", main)
    try:
        command()
    except SystemExit as end:
        if isinstance(end.code, int):
            _leave(end.code)
        raise


def _leave(code: int) -> None:
    """End this process as the interpreter does, but free nothing: that was half of what a command cost.

    Comes back if the last words cannot be written; the interpreter's own end then says so.
    """
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except (OSError, ValueError):
        return
    os._exit(code)


if __name__ == "__main__":
    _main(sys.argv[1])
