"""One source at work: its engine on the control thread, its effects on threads of their own."""

from __future__ import annotations

import contextlib
import logging
import queue
import random
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from agent.core.errors import ProblemKind
from agent.core.model import IndexedFile, IndexedFileRow
from agent.engine import effects as e
from agent.engine import messages as m
from agent.engine.config import EngineConfig
from agent.engine.engine import Engine
from agent.engine.status import Alerts, SourceView
from agent.index import Index, open_reader
from agent.runtime.activity_log import ActivityLogger
from agent.runtime.control_loop import ControlLoop
from agent.runtime.effect_executor import EffectExecutor

if TYPE_CHECKING:
    from agent.disk.watch.watcher import Watcher

log = logging.getLogger(__name__)

_FOLDER_EFFECTS = (e.ScanFolder, e.ScanPaths, e.ApplyChanges, e.Recover, e.ReleaseJournal, e.WriteToTrash)
_MESSAGES_AT_ONCE = 200
_REVIVE_FIRST = 10.0
_REVIVE_MOST = 600.0
"""Seconds before an engine that failed is begun anew; doubled with every failure."""


class LocalIndexReader:
    """Reads the local side beside the index's writer. From any thread."""

    def __init__(self, path: Path, source: int) -> None:
        self._path = path
        self._source = source
        self._lock = threading.Lock()
        self._reader: Index | None = None

    def close(self) -> None:
        """Let go of the index; whoever asks again has it opened again."""
        with self._lock:
            if self._reader is not None:
                self._reader.close()
                self._reader = None

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Index]:
        """The index, opened once for all the short questions of single looks."""
        with self._lock:
            if self._reader is None:
                self._reader = open_reader(self._path)
            yield self._reader

    def known(self) -> Iterator[IndexedFileRow]:
        """Every path, sorted; the reader is closed with the iterator."""
        with contextlib.closing(open_reader(self._path)) as index:
            yield from index.trees.known(self._source)

    def known_at(self, paths: Sequence[str]) -> dict[str, IndexedFile]:
        """These paths, as far as anything is known of them."""
        with self._reading() as index:
            return index.trees.known_at(self._source, paths)

    def mounts(self) -> frozenset[str]:
        """Folders that were file systems of their own."""
        with self._reading() as index:
            return index.sources.get(self._source).mounts


class EffectHandlers(Struct, frozen=True):
    """What carries a source's effects out.

    Attributes:
        at_folder: effects on the folder, one after another.
        at_server: effects on the server, each on a thread of its own; it has its own handle of the folder.
        watch: makes what points at changes, or None while the folder is away; itself None where nobody stays to hear.
        close: lets go of the folder.
        lost: told when a question for the feed ended for want of a connection; from any thread.
    """

    at_folder: EffectExecutor
    at_server: EffectExecutor
    watch: Callable[[], Watcher | None] | None
    close: Callable[[], None]
    lost: Callable[[], None]


class SourceRunner:
    """Feeds one engine and carries out what it asks for. Its methods run on the control thread unless they say so."""

    def __init__(
        self, control: ControlLoop, index: Index, setup: EngineConfig, clock: Callable[[], float], name: str
    ) -> None:
        self._control = control
        self._clock = clock
        self._index = index
        self._engine = Engine(index, setup, random.SystemRandom())
        self._setup = setup
        self._incarnation = 0
        self._under_way = 0
        self._failures = 0
        self._paused_until = 0.0
        self._pending: deque[m.Message] = deque()
        self._scheduled = False
        self._lock = threading.Lock()
        self._hands: EffectHandlers | None = None
        self._watcher: Watcher | None = None
        self._folder_work: queue.SimpleQueue[tuple[int, e.Effect] | None] = queue.SimpleQueue()
        self._folder_thread = threading.Thread(target=self._work_on_folder, name=f"folder-{setup.source}", daemon=True)
        self._tickets: dict[int, Future[None]] = {}
        self._next_ticket = 1
        self._stopped = False
        self._busy_since: tuple[float, int] | None = None
        self._teller = ActivityLogger(name)
        self.failure: str | None = None

    @property
    def engine(self) -> Engine:
        """The engine; on the control thread only."""
        return self._engine

    @property
    def max_bytes(self) -> int | None:
        """The largest content the server takes, as far as learned. From any thread."""
        return self._engine.max_bytes

    @property
    def degraded(self) -> str | None:
        """Why changes may be noticed late, if so."""
        return self._watcher.degraded if self._watcher else None

    def view(self) -> SourceView:
        """The source as people see it."""
        return self._engine.view()

    def alerts(self) -> Alerts:
        """What of the source a person is to be told of. From any thread."""
        return self._engine.alerts()

    def start(self, hands: EffectHandlers) -> None:
        """Begin."""
        self._hands = hands
        self._folder_thread.start()
        self.deliver(m.Started())

    def stop(self) -> None:
        """End: what is under way on the server is abandoned and settled by the next start. From any thread but
        the control thread.
        """
        self._stopped = True
        self._control.call(self._release)
        hands = self._hands
        if hands is None:
            return
        self._folder_work.put(None)
        self._folder_thread.join()
        if self._watcher is not None:
            self._watcher.stop()
        self._control.call(lambda: self._control.drop_timer(self))
        hands.close()

    def deliver(self, message: m.Message, life: int | None = None) -> None:
        """Tell the engine something, unless it answers what an earlier ``life`` of it asked. From any thread."""
        with self._lock:
            if life not in (None, self._incarnation):
                return
            self._remember_pause(message)
            self._pending.append(message)
            if self._scheduled:
                return
            self._scheduled = True
        self._control.post(self._drain)

    def tell(self, message: m.Message) -> None:
        """Tell the engine something and have it written before this returns. On the control thread only."""
        self._remember_pause(message)
        self._step(message)

    def _remember_pause(self, message: m.Message) -> None:
        """What a person said of pausing outlives an engine that failed, and one that failed before it could hear."""
        if isinstance(message, m.Pause):
            self._paused_until = message.until
        elif isinstance(message, m.Resume):
            self._paused_until = 0.0

    def pass_once(self) -> Future[None]:
        """One full pass; the future is done when nothing is left that could be done now. From any thread."""
        future: Future[None] = Future()

        def begin() -> None:
            ticket = self._next_ticket
            self._next_ticket += 1
            self._tickets[ticket] = future
            if self.failure is not None or self._stopped:
                future.set_result(None)
            else:
                self._step(m.SyncNow(ticket))

        self._control.post(begin)
        return future

    def decide(self, decision: m.Resolve) -> str | None:
        """Take a person's decision in; why it was refused, if it was."""
        self._step(decision)
        return self.failure or self._engine.refusal(decision)

    def pace(self, left: int) -> tuple[int, float]:
        """Files done since there was nothing to do, and for how many seconds that lasts. From any thread."""
        tally = self._engine.tally
        done = tally.pushed + tally.pulled + tally.deleted_remote + tally.deleted_local
        if not left or self._busy_since is None:
            self._busy_since = (self._clock(), done)
        since, before = self._busy_since
        return done - before, self._clock() - since

    def configure(self, setup: EngineConfig) -> None:
        """Go on with another setup."""
        if setup != self._setup:
            self._setup = setup
            self._work(lambda: self._engine.configure(self._clock(), setup))

    @property
    def setup(self) -> EngineConfig:
        """What the engine is configured with."""
        return self._setup

    def _drain(self) -> None:
        with self._lock:
            messages = [self._pending.popleft() for _ in range(min(len(self._pending), _MESSAGES_AT_ONCE))]
            self._scheduled = bool(self._pending)
            again = self._scheduled
        self._step(*messages)
        if again:
            self._control.post(self._drain)

    def _step(self, *messages: m.Message) -> None:
        self._work(lambda: self._engine.step(self._clock(), *messages))

    def _work(self, step: Callable[[], list[e.Effect]]) -> None:
        """Have the engine take a step; nothing is carried out for one that failed, or was left by a failure."""
        if self._stopped or self.failure is not None:
            return
        try:
            effects = step()
        except sqlite3.Error as error:
            log.error("the index cannot be used: %s", error)
            self._fail(f"the index cannot be used: {error}; it is tried again")
            return
        except Exception as error:
            self._fail(f"internal error: {error!r}; it is tried again")
            raise
        self._dispatch(effects)
        self._teller.tell(self._engine.new_activity, self._engine.trouble)

    def _fail(self, text: str) -> None:
        """The engine's memory is not what the index says any more: it is thrown away, as at the end of a process."""
        self.failure = text
        with self._lock:
            self._incarnation += 1
            self._pending.clear()
        self._release()
        self._failures += 1
        wait = min(_REVIVE_FIRST * 2 ** min(self._failures - 1, 10), _REVIVE_MOST)
        self._control.set_timer(self, self._clock() + wait, self._restart_engine)

    def _restart_engine(self) -> None:
        """A new engine over the same index, as at the start of a process, once nothing of the old one is under way."""
        if self._stopped:
            return
        if self._under_way:
            self._control.set_timer(self, self._clock() + 1.0, self._restart_engine)
            return
        try:
            self._engine = Engine(self._index, self._setup, random.SystemRandom())
        except sqlite3.Error as error:
            self._fail(f"the index cannot be used: {error}; it is tried again")
            return
        self.failure = None
        self._busy_since = None
        self._step(m.Started(), m.Pause(self._paused_until))

    def _release(self) -> None:
        """Nobody need wait for a pass any longer."""
        for future in self._tickets.values():
            if not future.done():
                future.set_result(None)

    def _dispatch(self, effects: list[e.Effect]) -> None:
        for effect in effects:
            if isinstance(effect, e.SetTimer):
                self._control.set_timer(self, effect.moment, lambda: self._step(m.TimePassed()))
            elif isinstance(effect, e.PassFinished):
                self._tickets.pop(effect.ticket).set_result(None)
            elif isinstance(effect, _FOLDER_EFFECTS):
                self._folder_work.put((self._incarnation, effect))
            else:
                # A thread for each call: one that waits on a network can be left behind when the process ends.
                arguments = (self._incarnation, effect)
                threading.Thread(target=self._work_on_server, args=arguments, name="call", daemon=True).start()

    def _work_on_folder(self) -> None:
        hands = self._hands
        if hands is None:
            return
        while (work := self._folder_work.get()) is not None:
            life, effect = work
            if isinstance(effect, e.ScanFolder):
                self._watch(hands)
            self._carry_out(hands.at_folder, life, effect)
            if self._stopped:
                return

    def _watch(self, hands: EffectHandlers) -> None:
        """Watch from before the first look on, so that nothing falls between; a folder that was away is watched from
        the look that finds it again.
        """
        if self._watcher is None and hands.watch is not None:
            self._watcher = hands.watch()
            if self._watcher is not None:
                self._watcher.start()

    def _work_on_server(self, life: int, effect: e.Effect) -> None:
        if self._hands is not None:
            self._carry_out(self._hands.at_server, life, effect)

    def _carry_out(self, carrier: EffectExecutor, life: int, effect: e.Effect) -> None:
        with self._lock:
            if life != self._incarnation:
                return
            self._under_way += 1
        try:
            for message in carrier.carry_out(effect):
                if self._stopped:
                    return
                self.deliver(message, life)
                if isinstance(effect, e.Poll) and _is_offline(message) and self._hands is not None:
                    self._hands.lost()
        except Exception as error:
            text = f"{type(effect).__name__} failed: {error!r}"
            if not self._stopped:
                log.exception("%s", text)
                self._control.post(lambda: self._fail(text) if life == self._incarnation else None)
        finally:
            with self._lock:
                self._under_way -= 1


def _is_offline(message: m.Message) -> bool:
    return isinstance(message, m.CallFailed) and message.problem.kind is ProblemKind.OFFLINE
