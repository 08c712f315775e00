"""A whole agent over the plain server: large contents both ways, interrupted and continued in another process."""

from __future__ import annotations

import contextlib
import random
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from agent.core.accepts import TEXT
from agent.core.errors import Problem, ProblemKind, RemoteError
from agent.core.model import Mode
from agent.core.supply import Transfer
from agent.disk.fs.posix import PosixFs
from agent.disk.selection.rules import Rules
from agent.engine import effects as e
from agent.engine import messages as m
from agent.engine.config import EngineConfig, RunMode
from agent.engine.engine import Engine
from agent.index import open_index
from agent.remotes.protocol import Sink
from agent.runtime.effect_executor import EffectExecutor
from agent.runtime.local_folder import LocalFolder
from agent.runtime.local_index_reader import LocalIndexReader
from agent.runtime.ports import ServerConnection
from agent.runtime.source_setup import with_capabilities
from plain_dialect.adapter import PlainRemote
from plain_dialect.state import CHUNK
from plain_dialect.world import PlainWorld

SOURCE = 1
LARGE = "a large content of forty bytes, or so it is"
OTHER = LARGE.upper()
MOST_EFFECTS = 1000


class Household:
    """One process after another over one folder and one index. Effects are carried out one by one, in order."""

    def __init__(self, world: PlainWorld, top: Path) -> None:
        self.world = world
        self.root = top / "notes"
        self.root.mkdir()
        self._state = top / "state"
        self._state.mkdir()
        self.index = open_index(top / "index.sqlite")
        self._reader = LocalIndexReader(top / "index.sqlite", SOURCE)
        self._remote = world.adapter(self._reader.book)  # type: ignore[arg-type]
        self._connector = self._remote.register("desk", "linux", "1", "id-of-desk").connector_id
        self._folder: LocalFolder | None = None
        self.done: list[e.Effect] = []
        """Every effect that was carried out by the present process."""
        self.restart()

    def restart(self) -> None:
        """A new process; what the former one had in flight is lost."""
        if self._folder is not None:
            self._folder.close()
        self._folder = LocalFolder(PosixFs(), str(self.root), Rules(), str(self._state), "1")
        setup = with_capabilities(EngineConfig(SOURCE, Mode.BIDIRECTIONAL, RunMode.ONE_SHOT), self._remote.capabilities)
        self.engine = Engine(self.index, setup, random.Random(1))
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


@pytest.fixture
def home(world: PlainWorld, tmp_path: Path) -> Iterator[Household]:
    with contextlib.closing(Household(world, tmp_path)) as made:
        yield made


def test_large_contents_travel_both_ways(home: Household, world: PlainWorld) -> None:
    """Beside small ones, and changed on either side."""
    world.put("deep/down.md", LARGE)
    world.put("small.md", "small")
    (home.root / "up.md").write_text(OTHER)
    home.sync()
    both = {"deep/down.md": LARGE.encode(), "small.md": b"small", "up.md": OTHER.encode()}
    assert home.files() == both and world.held() == both
    assert e.Fetch in home.kinds()
    assert any(isinstance(effect, e.Send) and effect.is_large for effect in home.done)
    (home.root / "deep/down.md").write_text(LARGE * 2)
    world.put("up.md", OTHER * 2)
    home.sync()
    both = {"deep/down.md": (LARGE * 2).encode(), "small.md": b"small", "up.md": (OTHER * 2).encode()}
    assert home.files() == both and world.held() == both
    assert not home.leftovers() and not home.index.transfers.all(SOURCE)


def test_an_interrupted_upload_continues_in_another_process(home: Household, world: PlainWorld) -> None:
    """No chunk is sent twice but the one that was lost."""
    (home.root / "up.md").write_text(OTHER)
    world.interrupt_chunks(3)
    sent = home.sync(killed_by=e.Send)
    assert isinstance(sent, e.Send) and sent.is_large and world.held() == {}
    home.restart()
    home.sync()
    again = next(effect for effect in home.done if isinstance(effect, e.Send))
    assert again.parcels[0].operation == sent.parcels[0].operation and again.parcels[0].resume is not None
    assert world.held() == home.files() == {"up.md": OTHER.encode()}
    assert sum(request.method == "PUT" for request in world.requests) == -(-len(OTHER) // CHUNK)
    assert e.Recall in home.kinds()


def test_a_download_continues_in_another_process(
    home: Household, world: PlainWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bytes on the disk are checked, and not requested again."""
    offsets: list[int] = []
    fetch = PlainRemote.fetch

    def cut(remote: PlainRemote, source: str, transfer: Transfer, offset: int, sink: Sink) -> None:
        offsets.append(offset)
        if offset:
            fetch(remote, source, transfer, offset, sink)
        else:
            sink(0, LARGE[:20].encode())
            raise RemoteError(Problem(ProblemKind.OFFLINE, "the connection broke"))

    monkeypatch.setattr(PlainRemote, "fetch", cut)
    world.put("down.md", LARGE)
    begun = home.sync(killed_by=e.Fetch)
    assert home.leftovers() and home.files() == {}
    home.restart()
    home.sync()
    assert [effect for effect in home.done if isinstance(effect, e.Fetch)] == [begun]
    assert offsets == [0, 20]
    assert home.files() == {"down.md": LARGE.encode()} and not home.leftovers()


def test_a_large_file_may_be_replaced_by_a_small_one(home: Household, world: PlainWorld) -> None:
    """And be deleted on either side."""
    world.put("a.md", LARGE)
    (home.root / "b.md").write_text(LARGE)
    home.sync()
    world.put("a.md", "tiny")
    (home.root / "b.md").unlink()
    home.sync()
    assert home.files() == {"a.md": b"tiny"} and world.held() == {"a.md": b"tiny"}


def test_the_capabilities_reach_the_engine(home: Household) -> None:
    """Without a limit nothing would be large."""
    setup = home.engine._ctx.setup
    assert setup.inline_limit == 16 and setup.resumable_uploads
    assert not replace(setup, inline_limit=None).is_large(1 << 40)
