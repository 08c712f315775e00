"""The life of a source's engine after its index refused a step."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from agent.core.model import Mode
from agent.core.supply import Transfer
from agent.engine import effects as e
from agent.engine import messages as m
from agent.engine.config import EngineConfig
from agent.index import Index, open_index
from agent.runtime.control_loop import ControlLoop
from agent.runtime.ports import NotCommitted
from agent.runtime.source_executors import SourceExecutors
from agent.runtime.source_runner import SourceRunner
from support.eventually import eventually, patience

START = 1_800_000_000.0
FOREVER = float("inf")


@dataclass
class Stage:
    """A runner without hands over an index that can be made to refuse writes."""

    index: Index
    control: ControlLoop
    runner: SourceRunner
    now: float = START

    def refuse(self) -> None:
        """From now on the index takes nothing."""
        self.control.call(lambda: self.index.connection.execute("PRAGMA query_only=ON"))

    def revive(self) -> None:
        """The index takes writes again, and the moment of the next try comes."""
        self.control.call(lambda: self.index.connection.execute("PRAGMA query_only=OFF"))
        self.now += 3600
        # Timers are looked at behind each piece of work; the second one is behind the first one's timers.
        self.control.call(lambda: None)
        self.control.call(lambda: None)

    def paused(self) -> bool:
        """Whether the source is shown as paused."""
        return self.control.call(self.runner.view).paused_until is not None


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with contextlib.closing(open_index(tmp_path / "index.sqlite")) as index:

        def clock() -> float:
            return made.now

        control = ControlLoop(clock)
        made: Stage = Stage(
            index, control, SourceRunner(control, index, EngineConfig(1, Mode.BIDIRECTIONAL), clock, "notes")
        )
        control.start()
        yield made
        made.runner.stop()
        control.stop()


def test_a_pause_of_a_failing_engine_holds_for_the_next_engine(stage: Stage) -> None:
    """Told before its first step, or while it waits to be begun anew."""
    stage.refuse()
    stage.runner.deliver(m.Pause(FOREVER))
    stage.runner.deliver(m.Started())
    stage.control.call(lambda: None)
    assert stage.runner.failure is not None
    stage.revive()
    assert stage.runner.failure is None and stage.paused()


def test_what_is_said_of_pausing_while_nothing_works_counts(stage: Stage) -> None:
    stage.refuse()
    stage.runner.deliver(m.Started())
    stage.control.call(lambda: stage.runner.tell(m.Pause(FOREVER)))
    stage.revive()
    assert stage.paused()
    stage.refuse()
    stage.runner.deliver(m.RescanRequested())
    stage.runner.deliver(m.PathsChanged(frozenset({"a.md"})))
    stage.control.call(lambda: stage.runner.tell(m.Resume()))
    assert stage.runner.failure is not None
    stage.revive()
    assert not stage.paused()


def test_a_setup_the_index_refuses_is_a_failure_like_any_other(stage: Stage) -> None:
    """The engine is begun anew with it; none is left half configured, and none that failed takes a step."""
    stage.runner.deliver(m.Started())
    stage.refuse()
    one_way = structs.replace(stage.runner.config, mode=Mode.LOCAL_TO_CLOUD)
    stage.control.call(lambda: stage.runner.configure(one_way))
    assert stage.runner.failure is not None
    stage.control.call(lambda: stage.runner.configure(structs.replace(one_way, long_poll=True)))
    stage.revive()
    assert stage.runner.failure is None and stage.runner.config.long_poll


class Blocked:
    """An executor that is busy until its runner is stopped, as one that reads a large file."""

    def __init__(self, runner: SourceRunner) -> None:
        self._runner = runner
        self.began = threading.Event()

    def carry_out(self, _effect: e.Effect) -> Iterator[m.Message]:
        self.began.set()
        eventually(lambda: self._runner.is_stopped, 60)
        yield from ()


class Recording:
    """An executor that does nothing but remember its effects."""

    def __init__(self) -> None:
        self.effects: queue.SimpleQueue[e.Effect] = queue.SimpleQueue()

    def carry_out(self, effect: e.Effect) -> Iterator[m.Message]:
        self.effects.put(effect)
        if isinstance(effect, e.Recover):
            yield m.ChangesApplied(())
        if isinstance(effect, e.ScanFolder):
            yield m.ScanResults((), large=frozenset({"large.md"}))
            yield m.ScanFinished()


def test_fd8_a_large_file_delays_neither_scans_nor_the_end(stage: Stage) -> None:
    """FD8: while it is read the folder's thread goes on, handles at rest are closed, and a stop ends the read."""
    large, folder, server, released = Blocked(stage.runner), Recording(), Recording(), threading.Event()

    def release() -> bool:
        released.set()
        return True

    handlers: Any = SourceExecutors(folder, server, large, Recording(), None, lambda: None, release, lambda: None)  # type: ignore[arg-type]
    stage.runner.start(handlers)
    assert large.began.wait(patience(10))
    assert released.wait(patience(10))
    stage.runner.deliver(m.PathsChanged(frozenset({"small.md"}), rescan=True))
    while not isinstance(folder.effects.get(timeout=patience(10)), e.ScanFolder):
        pass
    began = time.monotonic()
    stage.runner.stop()
    assert time.monotonic() - began < patience(5)


def test_a_committed_message_is_processed_on_return(stage: Stage) -> None:
    """The sender of a large upload goes on only once its state is in the index."""
    stage.runner.deliver(m.Started())
    stage.runner.commit(m.Pause(FOREVER))
    assert stage.paused()
    stage.refuse()
    with pytest.raises(NotCommitted):
        stage.runner.commit(m.RescanRequested())
    stage.revive()
    stage.runner.stop()
    with pytest.raises(NotCommitted):
        stage.runner.commit(m.Resume())


def test_a_pass_has_the_status_of_its_end(stage: Stage) -> None:
    """Also if new work comes in before anybody asks."""
    done = stage.runner.pass_once()
    stage.control.call(lambda: stage.runner._dispatch([e.PassFinished(1)]))
    stage.runner.deliver(m.Pause(FOREVER))
    assert stage.paused()
    view = done.result(patience(10))
    assert view is not None and view.paused_until is None


def test_a_transfer_delays_neither_small_calls_nor_the_end(stage: Stage) -> None:
    """While it runs, a small batch reaches the server, and a stop does not wait for it."""
    folder: Any = Recording()
    server: Any = Recording()
    large: Any = Recording()
    transfers: Any = Blocked(stage.runner)
    handlers = SourceExecutors(folder, server, large, transfers, None, lambda: None, lambda: True, lambda: None)
    stage.runner.start(handlers)
    fetch, send = e.Fetch(Transfer("0" * 16, "a.mp4", None, None, "0" * 64, 1 << 40)), e.Send(1, ())
    stage.control.call(lambda: stage.runner._dispatch([fetch]))
    assert transfers.began.wait(patience(10))
    stage.control.call(lambda: stage.runner._dispatch([send]))
    while server.effects.get(timeout=patience(10)) is not send:
        pass
    began = time.monotonic()
    stage.runner.stop()
    assert time.monotonic() - began < patience(5)
