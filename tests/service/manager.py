"""A service manager's part: the socket it listens on, and what was said to it."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from support.eventually import eventually, patience
from support.processes import COMMAND, Home


@dataclass
class Heard:
    """Every message in the order it came, as its variables."""

    messages: list[dict[str, str]] = field(default_factory=list)

    def having(self, name: str) -> list[str]:
        """The values of one variable, in order."""
        return [message[name] for message in list(self.messages) if name in message]

    @property
    def status(self) -> str:
        """The newest words."""
        return (self.having("STATUS") or [""])[-1]

    @property
    def states(self) -> list[str]:
        """READY, RELOADING and STOPPING in the order they were said."""
        return [
            name for message in list(self.messages) for name in ("READY", "RELOADING", "STOPPING") if name in message
        ]


@contextlib.contextmanager
def listening(address: str) -> Iterator[Heard]:
    """Listen on this address; ``@`` begins an abstract one."""
    heard = Heard()
    inbox = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    inbox.bind("\0" + address[1:] if address.startswith("@") else address)

    def read() -> None:
        while message := inbox.recv(65_536):
            lines = message.decode().splitlines()
            heard.messages.append(dict(line.split("=", 1) for line in lines))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield heard
    finally:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", inbox.getsockname())
        reader.join(patience(5))
        inbox.close()


@dataclass
class Unit:
    """A running unit, as its manager has it."""

    process: subprocess.Popen[bytes]
    heard: Heard

    def wait_for(self, state: str, seconds: float = 30.0) -> None:
        """Until this was said last of READY, RELOADING and STOPPING."""
        eventually(lambda: self.heard.states[-1:] == [state] or self._over(), seconds, f"{state} is said")
        assert self.heard.states[-1:] == [state], self.heard

    def wait_for_words(self, words: str, seconds: float = 40.0) -> None:
        """Until the status has these words in it."""
        eventually(lambda: words in self.heard.status, seconds, f"{words!r} in the status; it is {self.heard.status!r}")

    def _over(self) -> bool:
        return self.process.poll() is not None


@contextlib.contextmanager
def unit(
    home: Home, folder: Path, command: Sequence[str] | None = None, watchdog_usec: int | None = None, **env: str
) -> Iterator[Unit]:
    """Run the agent as a service manager would; it is ended with the block."""
    address = str(folder / "notify")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(address)
    told = {"NOTIFY_SOCKET": address, **env}
    if watchdog_usec is not None:
        told["WATCHDOG_USEC"] = str(watchdog_usec)
    with listening(address) as heard:
        process = subprocess.Popen(
            [*(command or [*COMMAND, "run"])], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, env={**home.env, **told}, cwd="/",
        )  # fmt: skip
        try:
            yield Unit(process, heard)
        finally:
            process.terminate()
            try:
                process.wait(patience(15))
            finally:
                process.kill()
                process.wait()
