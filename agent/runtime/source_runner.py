"""Run one source: its engine on the control thread, its effects on other threads."""

from __future__ import annotations

import contextlib
import logging
import queue
import random
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Final

from agent.core.accepts import Accepts
from agent.core.errors import ProblemKind
from agent.engine import effects as e
from agent.engine import messages as m
from agent.engine.config import EngineConfig
from agent.engine.engine import Engine
from agent.engine.status import Alerts, SourceView
from agent.index import Index
from agent.runtime.activity_log import ActivityLogger
from agent.runtime.conditions import Conditions
from agent.runtime.control_loop import ControlLoop
from agent.runtime.effect_executor import EffectExecutor
from agent.runtime.large_reader import LargeReader
from agent.runtime.ports import NotCommitted
from agent.runtime.source_executors import SourceExecutors

if TYPE_CHECKING:
    from agent.disk.watch.watcher import Watcher

log = logging.getLogger(__name__)

_FOLDER_EFFECTS: Final = (
    e.ScanFolder, e.ScanPaths, e.ApplyChanges, e.Recover, e.ReleaseJournal, e.WriteToTrash, e.DiscardDownloads,
    e.KeepDownload,
)  # fmt: skip
"""Effects for the folder's thread, in order. All others get a thread each."""
_SERVER_EFFECTS_ON_FOLDER: Final = (e.Send, e.CloseConflicts, e.FetchDeletedTexts, e.Fetch)
"""Calls to the server that read the folder or write to its trash."""
_RELEASE_SECONDS: Final = 1.0
"""Seconds without work until the handles of the folder are closed."""
_MESSAGES_PER_STEP: Final = 200
_RESTART_FIRST: Final = 10.0
_RESTART_MOST: Final = 600.0
"""Seconds before a failed engine is restarted: the first delay, doubled by each failure, and the longest."""


class SourceRunner:
    """Delivers messages to one engine and executes its effects. Methods run on the control thread unless stated."""

    def __init__(
        self, control: ControlLoop, index: Index, config: EngineConfig, clock: Callable[[], float], name: str
    ) -> None:
        self._control = control
        self._clock = clock
        self._index = index
        self._engine = Engine(index, config, random.SystemRandom())
        self._config = config
        self._incarnation = 0
        self._in_progress = 0
        self._failures = 0
        self._paused_until = 0.0
        self._pending: deque[m.Message] = deque()
        self._scheduled = False
        self._lock = threading.Lock()
        self._handlers: SourceExecutors | None = None
        self._watcher: Watcher | None = None
        self._folder_work: queue.SimpleQueue[tuple[int, e.Effect | None] | None] = queue.SimpleQueue()
        """Effects on the folder; None instead of an effect: a call to the server has opened handles of the folder."""
        self._handles_open = False
        self._large = LargeReader(self._read_large, lambda: self._folder_work.put((self._incarnation, None)))
        self._folder_thread = threading.Thread(target=self._work_on_folder, name=f"folder-{config.source}", daemon=True)
        self._tickets: dict[int, Future[SourceView | None]] = {}
        self._next_ticket = 1
        self._stopped = False
        self._busy_since: tuple[float, int] | None = None
        self._activity = ActivityLogger(name)
        self._conditions = Conditions()
        self.failure: str | None = None
        """The reason why the engine stopped; None while it works."""

    @property
    def engine(self) -> Engine:
        """The engine; on the control thread only."""
        return self._engine

    @property
    def accepts(self) -> Accepts:
        """The contents that the server takes, as far as it is known. From any thread."""
        return self._engine.accepts

    @property
    def degraded(self) -> str | None:
        """The reason why changes are noticed late; None if they are not."""
        return self._watcher.degraded if self._watcher else None

    @property
    def is_stopped(self) -> bool:
        """True once ``stop`` was called. From any thread."""
        return self._stopped

    def view(self) -> SourceView:
        """Return the status of the source."""
        return self._engine.view()

    def alerts(self) -> Alerts:
        """Return what needs a person's attention. From any thread."""
        return self._engine.alerts()

    def start(self, handlers: SourceExecutors) -> None:
        """Start the engine and the folder's thread."""
        self._handlers = handlers
        self._folder_thread.start()
        self.deliver(m.Started())

    def stop(self) -> None:
        """Stop. Calls in progress are abandoned; the next start finds out their outcome.

        From any thread but the control thread.
        """
        self._stopped = True
        self._control.call(self._release_passes)
        handlers = self._handlers
        if handlers is None:
            return
        self._folder_work.put(None)
        self._folder_thread.join()
        self._large.stop()
        if self._watcher is not None:
            self._watcher.stop()
        self._control.call(lambda: self._control.drop_timer(self))
        handlers.close()

    def deliver(self, message: m.Message, incarnation: int | None = None) -> None:
        """Deliver a message to the engine. From any thread.

        Args:
            incarnation: of the engine that asked for this answer. An answer to an earlier engine is dropped.
        """
        with self._lock:
            if incarnation not in (None, self._incarnation):
                return
            self._remember_pause(message)
            self._pending.append(message)
            if self._scheduled:
                return
            self._scheduled = True
        self._control.post(self._drain)

    def commit(self, message: m.Message) -> None:
        """Have the engine process a message; return once that is in the index. Not from the control thread.

        Raises:
            NotCommitted: the runner stops, or the index refused the step.
        """
        committed: Future[bool] = Future()

        def run() -> None:
            try:
                self._step(message)
            finally:
                committed.set_result(not self._stopped and self.failure is None)

        self._control.post(run)
        while not self._stopped:
            with contextlib.suppress(TimeoutError):
                if committed.result(timeout=_RELEASE_SECONDS):
                    return
                break
        raise NotCommitted

    def tell(self, message: m.Message) -> None:
        """Process a message, written to the index on return. On the control thread only."""
        self._remember_pause(message)
        self._step(message)

    def _remember_pause(self, message: m.Message) -> None:
        """Remember a person's pause or resume, so that an engine restarted after a failure keeps it."""
        if isinstance(message, m.Pause):
            self._paused_until = message.until
        elif isinstance(message, m.Resume):
            self._paused_until = 0.0

    def pass_once(self) -> Future[SourceView | None]:
        """Run one full pass. The future is done when nothing is left that can be done now. From any thread.

        It has the status of that moment: work may come in before the caller can ask. None if the runner stopped.
        """
        future: Future[SourceView | None] = Future()

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

    def when(self, condition: Callable[[], bool]) -> Future[None]:
        """Return a future that is done once ``condition`` holds, or once the runner stops or fails. From any thread.

        The condition is evaluated on the control thread, now and after every step of the engine. It must be cheap.
        """
        future: Future[None] = Future()

        def begin() -> None:
            self._conditions.add(condition, future)
            self._evaluate_conditions()

        self._control.post(begin)
        return future

    def _evaluate_conditions(self) -> None:
        self._conditions.evaluate(ended=self._stopped or self.failure is not None)

    def decide(self, decisions: Sequence[m.Resolve]) -> list[str | None]:
        """Store a person's decisions in one step. Return, for each, the reason it was refused, or None."""
        self._step(*decisions)
        return [self.failure or self._engine.refusal(decision) for decision in decisions]

    def pace(self, left: int) -> tuple[int, float]:
        """Return the files done since the source was last idle, and the seconds since then. From any thread."""
        tally = self._engine.tally
        done = tally.pushed + tally.pulled + tally.deleted_remote + tally.deleted_local
        if not left or self._busy_since is None:
            self._busy_since = (self._clock(), done)
        since, before = self._busy_since
        return done - before, self._clock() - since

    def configure(self, config: EngineConfig) -> None:
        """Change the engine's configuration."""
        if config != self._config:
            self._config = config
            self._run(lambda: self._engine.configure(self._clock(), config))

    @property
    def config(self) -> EngineConfig:
        """The engine's configuration."""
        return self._config

    def _drain(self) -> None:
        with self._lock:
            messages = [self._pending.popleft() for _ in range(min(len(self._pending), _MESSAGES_PER_STEP))]
            self._scheduled = bool(self._pending)
            again = self._scheduled
        self._step(*messages)
        if again:
            self._control.post(self._drain)

    def _step(self, *messages: m.Message) -> None:
        self._run(lambda: self._engine.step(self._clock(), *messages))

    def _run(self, step: Callable[[], list[e.Effect]]) -> None:
        """Run one step of the engine and execute its effects. A failed engine runs no step and no effect."""
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
        self._activity.log(self._engine.new_activity, self._engine.trouble)
        if self._conditions:
            self._evaluate_conditions()

    def _fail(self, text: str) -> None:
        """Discard the engine, whose memory may no longer agree with the index, and schedule a new one."""
        self.failure = text
        with self._lock:
            self._incarnation += 1
            self._pending.clear()
        self._release_passes()
        self._failures += 1
        wait = min(_RESTART_FIRST * 2 ** min(self._failures - 1, 10), _RESTART_MOST)
        self._control.set_timer(self, self._clock() + wait, self._restart_engine)

    def _restart_engine(self) -> None:
        """Start a new engine over the same index, once no effect of the old one is in progress."""
        if self._stopped:
            return
        if self._in_progress:
            self._control.set_timer(self, self._clock() + 1.0, self._restart_engine)
            return
        try:
            self._engine = Engine(self._index, self._config, random.SystemRandom())
        except sqlite3.Error as error:
            self._fail(f"the index cannot be used: {error}; it is tried again")
            return
        self.failure = None
        self._busy_since = None
        self._step(m.Started(), m.Pause(self._paused_until))

    def _release_passes(self) -> None:
        """Complete the futures of all passes."""
        for future in self._tickets.values():
            if not future.done():
                future.set_result(None)
        self._evaluate_conditions()

    def _dispatch(self, effects: list[e.Effect]) -> None:
        for effect in effects:
            if isinstance(effect, e.SetTimer):
                self._control.set_timer(self, effect.moment, lambda: self._step(m.TimePassed()))
            elif isinstance(effect, e.PassFinished):
                self._tickets.pop(effect.ticket).set_result(self.view())
            elif isinstance(effect, e.ReadLargeFiles):
                self._large.read(self._incarnation, effect)
            elif isinstance(effect, _FOLDER_EFFECTS):
                self._folder_work.put((self._incarnation, effect))
            else:
                # One thread per call: a thread that waits for the network can be abandoned when the process ends.
                arguments = (self._incarnation, effect)
                threading.Thread(target=self._work_on_server, args=arguments, name="call", daemon=True).start()

    def _work_on_folder(self) -> None:
        handlers = self._handlers
        if handlers is None:
            return
        while (work := self._next_folder_work(handlers)) is not None:
            incarnation, effect = work
            self._handles_open = True
            if effect is None:
                continue
            if isinstance(effect, e.ScanFolder):
                self._start_watcher(handlers)
            self._execute(handlers.folder, incarnation, effect)
            if self._stopped:
                return

    def _next_folder_work(self, handlers: SourceExecutors) -> tuple[int, e.Effect | None] | None:
        """Wait for the next effect. After a second without one, close the handles of the folder.

        Without open handles the file system of an idle folder can be unmounted.
        """
        while self._handles_open:
            try:
                return self._folder_work.get(timeout=_RELEASE_SECONDS)
            except queue.Empty:
                self._handles_open = not handlers.release()
        return self._folder_work.get()

    def _start_watcher(self, handlers: SourceExecutors) -> None:
        """Watch before the first scan, so that no change falls between. Retried by each scan of a missing folder."""
        if self._watcher is None and handlers.make_watcher is not None:
            self._watcher = handlers.make_watcher()
            if self._watcher is not None:
                self._watcher.start()

    def _read_large(self, incarnation: int, effect: e.ReadLargeFiles) -> None:
        if self._handlers is not None:
            self._execute(self._handlers.large, incarnation, effect)

    def _work_on_server(self, incarnation: int, effect: e.Effect) -> None:
        if self._handlers is not None:
            executor = self._handlers.transfers if _is_transfer(effect) else self._handlers.server
            self._execute(executor, incarnation, effect)
            if isinstance(effect, _SERVER_EFFECTS_ON_FOLDER):
                self._folder_work.put((incarnation, None))

    def _execute(self, executor: EffectExecutor, incarnation: int, effect: e.Effect) -> None:
        with self._lock:
            if incarnation != self._incarnation:
                return
            self._in_progress += 1
        try:
            for message in executor.carry_out(effect):
                if self._stopped:
                    return
                self.deliver(message, incarnation)
                if isinstance(effect, e.Poll) and _is_offline(message) and self._handlers is not None:
                    self._handlers.on_connection_lost()
        except Exception as error:
            text = f"{type(effect).__name__} failed: {error!r}"
            if not self._stopped:
                log.exception("%s", text)
                self._control.post(lambda: self._fail(text) if incarnation == self._incarnation else None)
        finally:
            with self._lock:
                self._in_progress -= 1


def _is_transfer(effect: e.Effect) -> bool:
    return isinstance(effect, e.Fetch | e.CancelFetch) or (isinstance(effect, e.Send) and effect.is_large)


def _is_offline(message: m.Message) -> bool:
    return isinstance(message, m.CallFailed) and message.problem.kind is ProblemKind.OFFLINE
