"""A machine whose agent dies as planned, and comes back."""

from __future__ import annotations

import os
import random
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.fork_server import PRELUDE, Forked
from support.processes import Home, Process
from support.servers import Server

_TEMPORARY = {".part", ".new", ".old", ".made", ".void", ".tmp"}


@dataclass(frozen=True)
class Death:
    """How one life ends.

    Attributes:
        at_call: the file system call it dies in, counted from 1; None for a kill from outside.
        counted: which calls are counted, ``changing`` or ``all``.
        after_seconds: when it is killed from outside.
    """

    at_call: int | None = None
    counted: str = "changing"
    after_seconds: float = 0.0

    @classmethod
    def drawn(cls, chance: random.Random) -> Death:
        """Mostly in a call that changes something, sometimes in any call, sometimes whenever."""
        draw = chance.random()
        if draw < 0.65:
            return cls(at_call=chance.randint(1, 60))
        if draw < 0.8:
            return cls(at_call=chance.randint(1, 400), counted="all")
        return cls(after_seconds=chance.uniform(0.05, 2.0))

    @property
    def flags(self) -> tuple[str, ...]:
        """What the agent is told."""
        return () if self.at_call is None else ("--die-at", str(self.at_call), "--count", self.counted)


class MortalHome(Home):
    """A home whose daemon is ``fault_agent.py``; its account is in the environment, so nobody need log in.

    Attributes:
        flags: for the next life.
    """

    def __init__(self, top: Path, name: str, server: Server) -> None:
        super().__init__(top, name)
        self.flags: tuple[str, ...] = ()
        self.extra = {
            "RAVEN_SERVER_URL": server.url,
            "RAVEN_WORKSPACE": server.workspace,
            "RAVEN_TOKEN": server.token,
        }

    def start(self) -> Process:
        """Start the next life and do not wait for it."""
        with open(os.devnull, "r+b") as null, (self.path.parent / "last-words").open("ab") as words:
            env = {**self.env, PRELUDE: "crashes.fault_agent"}
            return Forked(self.flags, env, "/", (null.fileno(), null.fileno(), words.fileno()))

    def last_words(self) -> str:
        """What the dead said they were doing."""
        return (self.path.parent / "last-words").read_text("utf-8", "replace")

    def leftovers(self) -> list[str]:
        """Temporary and slot files, wherever they may stand."""
        found = [file for file in (self.path / "slots").rglob("*") if file.is_file()]
        for place in (self.path / "trash", self.folder):
            found += [file for file in place.rglob("*") if file.suffix in _TEMPORARY or file.name.startswith(".raven")]
        return [str(file) for file in found]


def arm(process: Process) -> None:
    """From now on the calls of this life count."""
    process.send_signal(signal.SIGUSR1)


def gone_within(process: Process, seconds: float) -> bool:
    """Whether it ends in that time."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def link_params(home: Home, source: str | None = None) -> dict[str, Any]:
    """What ``link`` is asked for."""
    return {"folder": str(home.folder), **({} if source is None else {"source": source})}
