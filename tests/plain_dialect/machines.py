"""Real processes over the plain dialect: a server with its contents in files, and machines that sync with it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from agent.settings import links as reg
from agent.settings.credentials import CredentialStore
from agent.settings.home import Home as AgentHome
from agent.settings.registry_file import save_registry
from agent.settings.settings import Settings
from plain_dialect.api import TOKEN
from plain_dialect.durable import Meter, read_journal
from plain_dialect.state import Sizes
from support.eventually import eventually, patience
from support.fork_server import PRELUDE
from support.processes import Home

_HERE = Path(__file__).parent
_BLOCK = 1 << 20
ACCOUNT = "plain"


class PlainProcess:
    """The plain server as a process, which is killed and started again at the same address.

    Args:
        chunk_seconds: least time in which a chunk arrives: the speed of a link.

    Attributes:
        meter: counts bytes through all lives.
        peak: KiB of the largest resident set of all lives that have ended.
    """

    def __init__(self, top: Path, sizes: Sizes, chunk_seconds: float = 0.0) -> None:
        top.mkdir()
        self._chunk_seconds = chunk_seconds
        self._top = top
        self._sizes = sizes
        self._port = _free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self.meter = Meter(top / "meter")
        self.peak = 0
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        sizes = self._sizes
        bounds = (
            "--inline", str(sizes.inline), "--chunk", str(sizes.chunk), "--most", str(sizes.most),
            "--chunk-seconds", str(self._chunk_seconds),
        )  # fmt: skip
        with (self._top / "errors").open("ab") as errors:
            process = subprocess.Popen(
                [sys.executable, "-P", str(_HERE / "server_process.py"), str(self._top), str(self._port), *bounds],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors,
            )  # fmt: skip
        eventually(self._answers, 30, "the server answers")
        return process

    def _answers(self) -> bool:
        with contextlib.suppress(ConnectionError), socket.create_connection(("127.0.0.1", self._port), 1):
            return True
        return False

    def errors(self) -> str:
        """The end of what it wrote to stderr."""
        return (self._top / "errors").read_text()[-2000:]

    def kill(self) -> None:
        """End it with SIGKILL."""
        assert self.process.poll() is None, self.errors()
        self.peak = max(self.peak, peak_memory(self.process.pid))
        self.process.kill()
        self.process.wait(patience(10))

    def kill_and_restart(self) -> None:
        """End it with SIGKILL, and start it again."""
        self.kill()
        self.process = self._start()

    def arrivals(self) -> dict[str, float]:
        """The time at which each small content was committed, by its sha256."""
        found: dict[str, float] = {}
        for entry in read_journal(self._top / "journal"):
            if entry.path.endswith("/commits"):
                for item in json.loads(entry.body)["items"]:
                    found.setdefault(item.get("hash"), entry.at)
        return found

    def starts(self) -> list[int]:
        """The offset of every request for a large content, in order."""
        path = self._top / "starts"
        return [int(line) for line in path.read_text().split()] if path.exists() else []


class PlainHome(Home):
    """A machine with an account on the plain server.

    Attributes:
        peak: KiB of the largest resident set of all lives that were killed.
    """

    def __init__(self, top: Path, name: str, server: PlainProcess) -> None:
        super().__init__(top, name)
        self.extra = {PRELUDE: "plain_dialect.known"}
        self.peak = 0
        home = AgentHome.from_environment(self.env)
        home.create()
        entry = reg.ServerEntry(ACCOUNT, server.url, "w", dialect=ACCOUNT)
        save_registry(home.registry_file, reg.with_server(reg.Registry(), entry))
        CredentialStore(home, Settings(), self.env).store(entry, TOKEN)

    @contextlib.contextmanager
    def linked(self, source: str | None = None) -> Iterator[str]:
        """A first life, in which the folder is linked; gives the source's id."""
        with self.daemon() as daemon:
            extra = {} if source is None else {"source": source}
            link = daemon.call("link", folder=str(self.folder), server=ACCOUNT, include=["**"], **extra)
            yield str(link["source_id"])

    def present(self) -> int:
        """Bytes of the one download that has begun."""
        found = [file.stat().st_size for file in (self.path / "slots").rglob("*.down")]
        return found[0] if found else 0


def peak_memory(pid: int) -> int:
    """KiB of the largest resident set that a process had so far."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))


def write_large(path: Path, size: int, seed: int) -> str:
    """Write a file in which no two blocks of 1 MiB are equal; its sha256."""
    digest = hashlib.sha256()
    block = hashlib.shake_256(str(seed).encode()).digest(_BLOCK)
    with path.open("wb") as file:
        for number in range(-(-size // _BLOCK)):
            piece = (number.to_bytes(8, "big") + block[8:])[: size - number * _BLOCK]
            file.write(piece)
            digest.update(piece)
    return digest.hexdigest()


def hash_of(path: Path) -> str | None:
    """The sha256 of a file; None if there is none."""
    if not path.exists():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
