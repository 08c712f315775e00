"""The agent as people run it: real processes, each with a home of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from agent.cli.client import SocketClient, daemon_of
from agent.settings.home import Home as AgentHome
from support.eventually import eventually, patience
from support.fork_server import Forked
from support.hub_ports import next_hub_port
from support.servers import Server

COMMAND = (sys.executable, "-P", "-m", "agent")
RUN_SECONDS = 120.0

POWERLESS = (
    sys.executable,
    "-c",
    "import ctypes, os, sys\n"
    "libc = ctypes.CDLL(None, use_errno=True)\n"
    "for power in (1, 2, 3):\n"
    "    libc.prctl(24, power, 0, 0, 0)\n"
    "os.execv(sys.argv[1], sys.argv[1:])",
    *COMMAND,
)
"""The agent without CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH and CAP_FOWNER, so that permissions stop it as they stop any
user, also where the tests run as root. For other users the calls fail, and nothing is needed.
"""

_OURS = ("RAVEN_", "XDG_", "NO_COLOR", "FORCE_COLOR", "EDITOR", "VISUAL", "CREDENTIALS_DIRECTORY")


@dataclass(frozen=True)
class Ran:
    """What one run of the command left behind."""

    arguments: Sequence[str]
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """stdout as exactly one JSON document."""
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, Any]:
        """The error document on stderr."""
        found = json.loads(self.err)["error"]
        assert set(found) == {"code", "message", "hint"}
        return dict(found)


Process = subprocess.Popen[bytes] | Forked


class Daemon:
    """A running ``raven-agent run``."""

    def __init__(self, process: Process, socket: SocketClient) -> None:
        self.process = process
        self._socket = socket

    def call(self, method: str, **params: Any) -> Any:
        """Ask it over its socket, as the commands do."""
        return self._socket.call(method, params)

    def source(self, index: int = 0) -> dict[str, Any]:
        """One source of its status."""
        return dict(self.call("status")["sources"][index])

    def kill(self) -> None:
        """End it with SIGKILL."""
        self.process.kill()
        self.process.wait(patience(10))

    def stop(self, seconds: float = 10.0) -> int:
        """End it with SIGTERM; its exit code, which must come in time."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(patience(seconds))


class Home:
    """One machine: a home for the agent and a folder to sync.

    Attributes:
        path: RAVEN_AGENT_HOME.
        folder: the synced folder, not linked yet.
        etc: the administrator's folder of that machine; not there yet.
        command: what the agent is started with; None for a fork of one that is imported already.
        hub_port: the port that its embedded hub prefers; no other home of a test has it.
    """

    def __init__(self, top: Path, name: str = "one") -> None:
        self.name = name
        self.path = top / name / "home"
        self.folder = top / name / "notes"
        self.etc = top / name / "etc"
        self.folder.mkdir(parents=True)
        self.command: Sequence[str] | None = None
        self.hub_port = next_hub_port()
        self.extra: dict[str, str] = {}

    @property
    def env(self) -> dict[str, str]:
        """The environment of every process of this home."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
        own = {"RAVEN_AGENT_HOME": str(self.path), "RAVEN_AGENT_ETC": str(self.etc)}
        own["RAVEN_AGENT_HUB_PORT"] = str(self.hub_port)
        return {**kept, **own, "RAVEN_AGENT_NOTIFICATIONS": "off", "COLUMNS": "200", **self.extra}

    def run(self, *arguments: str | Path, stdin: str = "", seconds: float = RUN_SECONDS) -> Ran:
        """Run one command to its end."""
        words = [str(word) for word in arguments]
        with contextlib.ExitStack() as stack:
            into, out, err = (stack.enter_context(tempfile.TemporaryFile()) for _ in range(3))
            into.write(stdin.encode())
            into.seek(0)
            cwd = self.folder if self.folder.is_dir() else self.path
            process = self._process(words, cwd, (into.fileno(), out.fileno(), err.fileno()))
            try:
                code = process.wait(patience(seconds))
            except BaseException:
                process.kill()
                process.wait()
                raise
            return Ran(words, code, _text(out), _text(err))

    def _process(self, words: list[str], cwd: Path, streams: tuple[int, int, int]) -> Process:
        if self.command is None:
            return Forked(words, self.env, str(cwd), streams)
        stdin, stdout, stderr = streams
        return subprocess.Popen(
            [*self.command, *words], stdin=stdin, stdout=stdout, stderr=stderr, env=self.env, cwd=cwd
        )

    def json(self, *arguments: str | Path, code: int = 0, stdin: str = "") -> Any:
        """The document of a command that must end with this exit code."""
        ran = self.run(*arguments, "--json", stdin=stdin)
        assert ran.code == code, ran
        return ran.document

    def start(self) -> Process:
        """Start the daemon and do not wait for it."""
        with open(os.devnull, "r+b") as null:
            return self._process(["run"], Path("/"), (null.fileno(), null.fileno(), null.fileno()))

    @contextlib.contextmanager
    def daemon(self) -> Iterator[Daemon]:
        """A daemon that answers; it is ended with the block."""
        process = self.start()
        home = AgentHome.from_environment(self.env)
        try:
            found = eventually(lambda: self._answering(process, home), 30, "the daemon answers on its socket")
            yield Daemon(process, found)
        finally:
            if process.poll() is None:
                process.terminate()
            try:
                process.wait(patience(30))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise

    def _answering(self, process: Process, home: AgentHome) -> SocketClient | None:
        assert process.poll() is None, f"the daemon ended with {process.returncode}: {self.log()}"
        return daemon_of(home)

    def log(self) -> str:
        """The end of the program's log."""
        file = self.path / "logs" / "agent.log"
        return file.read_text("utf-8", "replace")[-4000:] if file.exists() else ""

    def login(self, server: Server) -> None:
        """Store the account ``raven`` on this server."""
        ran = self.run(
            "login", server.url, "--workspace", server.workspace, "--name", "raven", "--token-stdin", stdin=server.token
        )
        assert ran.code == 0, ran

    def link(self, *flags: str, codes: tuple[int, ...] = (0,)) -> str:
        """Link the folder, wait for the first pass; the source's id."""
        ran = self.run("link", self.folder, "--yes", "--wait", *flags, "--json")
        assert ran.code in codes, ran
        return str(ran.document["source_id"])

    def sync(self, *flags: str, code: int | None = None) -> dict[str, Any]:
        """One full pass; what it did to the one source."""
        ran = self.run("sync", *flags, "--json")
        assert code is None or ran.code == code, ran
        return dict(ran.document["sources"][0])

    def write(self, path: str, text: str | bytes) -> Path:
        """Put a file into the folder, in place."""
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(text.encode() if isinstance(text, str) else text)
        return target

    def files(self) -> dict[str, bytes]:
        """Every file of the folder by its path; links are not followed."""
        found = {}
        for where, _, names in os.walk(self.folder):
            for name in names:
                file = Path(where) / name
                # An agent at work may remove a file between the listing and the reading.
                with contextlib.suppress(FileNotFoundError):
                    if not file.is_symlink():
                        found[file.relative_to(self.folder).as_posix()] = file.read_bytes()
        return found

    def texts(self) -> dict[str, str]:
        """The same as texts."""
        return {path: content.decode("utf-8", "replace") for path, content in self.files().items()}

    def trashed(self) -> set[bytes]:
        """The bytes of every file in the agent's trash, and of what is on its way through it."""
        found = set()
        for file in (self.path / "trash").rglob("*") if (self.path / "trash").exists() else ():
            if file.is_file():
                found.add(file.read_bytes())
        return found


def _text(stream: IO[bytes]) -> str:
    stream.seek(0)
    return stream.read().decode()
