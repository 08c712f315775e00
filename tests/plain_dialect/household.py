"""A whole agent over the plain server, without a daemon: its effects are carried out one by one, in order."""

from __future__ import annotations

import random
from collections import deque
from pathlib import Path
from typing import Any

from agent.core.accepts import TEXT
from agent.core.model import Mode
from agent.disk.fs.posix import PosixFs
from agent.disk.selection.rules import Rules
from agent.engine import effects as e
from agent.engine import messages as m
from agent.engine.config import EngineConfig, RunMode
from agent.engine.engine import Engine
from agent.index import open_index
from agent.runtime.effect_executor import EffectExecutor
from agent.runtime.local_folder import LocalFolder
from agent.runtime.local_index_reader import LocalIndexReader
from agent.runtime.ports import ServerConnection
from agent.runtime.source_setup import with_capabilities
from remotes.suite.world import World

SOURCE = 1
MOST_EFFECTS = 1000


class Household:
    """One process after another over one folder and one index. Effects are carried out one by one, in order.

    Args:
        name: of the machine; no other one of the world has it.
    """

    def __init__(self, world: World, top: Path, name: str = "desk") -> None:
        self.world = world
        self.root = top / "notes"
        self.root.mkdir()
        self._state = top / "state"
        self._state.mkdir()
        self.index = open_index(top / "index.sqlite")
        self._reader = LocalIndexReader(top / "index.sqlite", SOURCE)
        self._remote = world.adapter(self._reader.book())  # type: ignore[arg-type]
        self._connector = self._remote.register(name, "linux", "1", f"id-of-{name}").connector_id
        self._folder: LocalFolder | None = None
        self._rng = random.Random(1)
        self.done: list[e.Effect] = []
        """Every effect that was carried out by the present process."""
        self.restart()

    def restart(self) -> None:
        """A new process; what the former one had in flight is lost."""
        if self._folder is not None:
            self._folder.close()
        self._folder = LocalFolder(PosixFs(), str(self.root), Rules(), str(self._state), "1")
        setup = with_capabilities(EngineConfig(SOURCE, Mode.BIDIRECTIONAL, RunMode.ONE_SHOT), self._remote.capabilities)
        self.engine = Engine(self.index, setup, self._rng)
        line = ServerConnection(self._remote, self._connector)
        self._executor = EffectExecutor(
            self.world.source, self._folder, self._reader, lambda: line, lambda: TEXT, self.world.clock, self
        )
        self._work: deque[e.Effect] = deque()
        self._wake: float | None = None
        self._tickets = 0
        self.done = []
        self.deliver(m.Started())

    # Reporter

    def deliver(self, message: m.Message) -> None:
        """Have the engine process a message."""
        for effect in self.engine.step(self.world.clock(), message):
            if isinstance(effect, e.SetTimer):
                self._wake = effect.moment
            else:
                self._work.append(effect)

    def commit(self, message: m.Message) -> None:
        """Have the engine process a message, durably."""
        self.deliver(message)

    # Work

    def sync(self, killed_by: type[e.Effect] | None = None) -> e.Effect:
        """One full pass, up to its end, or to the first effect of a kind: its messages are lost with the process."""
        self._tickets += 1
        self.deliver(m.SyncNow(self._tickets))
        for _ in range(MOST_EFFECTS):
            if not self._work:
                assert self._wake is not None, "the pass does not end"
                self.world.clock.now = max(self.world.clock.now, self._wake)
                self.deliver(m.TimePassed())
                continue
            effect = self._work.popleft()
            self.done.append(effect)
            if isinstance(effect, e.PassFinished):
                assert killed_by is None
                return effect
            if killed_by is not None and isinstance(effect, killed_by):
                list(self._executor.carry_out(effect))
                return effect
            for message in self._executor.carry_out(effect):
                self.deliver(message)
        raise AssertionError("the pass does not end")

    def files(self) -> dict[str, bytes]:
        """Path -> content of every file in the folder."""
        return {str(p.relative_to(self.root)): p.read_bytes() for p in self.root.rglob("*.md") if p.is_file()}

    def leftovers(self) -> list[str]:
        """Downloads that are still in the staging folder."""
        return [path.name for path in self._state.parent.rglob("*.down")]

    def kinds(self) -> list[type[Any]]:
        """The kinds of the effects that were carried out."""
        return [type(effect) for effect in self.done]

    def close(self) -> None:
        """Give everything back."""
        if self._folder is not None:
            self._folder.close()
        self._reader.close()
        self.index.close()
