"""Tells the service manager how the agent stands, feeds its watchdog, and carries out the reloads it asks for."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Final

from msgspec import Struct

from agent.core.model import SourceState
from agent.daemon.sd_notify import SdNotify
from agent.engine.status import SourceView
from agent.provisioning.apply import Provisioner
from agent.provisioning.reload import reload
from agent.runtime.agent import Agent

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 1.0
"""Least time between two looks at how it stands; while nothing happens there is none."""

NAMED: Final = 4
"""Sources named one by one; of more only the count is told."""

_ORDER: Final = {state: rank for rank, state in enumerate(SourceState)}


class ReportedSource(Struct, frozen=True):
    """One source as the status tells it.

    Attributes:
        failure: why its engine stopped; None while it works.
    """

    name: str
    server: str
    view: SourceView
    failure: str | None

    @property
    def state(self) -> SourceState:
        """The one word."""
        return SourceState.ERROR if self.failure else self.view.state


class ServiceStatusReporter:
    """Speaks for an agent while it is entered.

    Args:
        reloads: an entry for every reload that was asked for; a signal handler may put one in.
    """

    def __init__(
        self,
        agent: Agent,
        provisioner: Provisioner,
        notifier: SdNotify,
        reloads: queue.SimpleQueue[bool] | None = None,
    ) -> None:
        self._agent = agent
        self._provisioner = provisioner
        self._notifier = notifier
        self._reloads: queue.SimpleQueue[bool] = queue.SimpleQueue() if reloads is None else reloads
        self._ending = threading.Event()
        self._said = ""
        self._complaint = ""
        self._speaking = threading.Lock()
        self._turned = agent.control.follow()

    def __enter__(self) -> ServiceStatusReporter:
        threading.Thread(target=self._reload_when_asked, name="reload", daemon=True).start()
        if self._notifier.feed_every is not None:
            self._agent.control.post(self._feed)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._speaking:
            self._ending.set()
            self._notifier.stopping("stopping")
        self._reloads.put(False)
        self._turned.set()

    def ready(self) -> None:
        """The agent answers and works: say so, and from now on how it stands."""
        if self._notifier.address is None:
            # Nobody listens, and how a large folder stands is dear to find out.
            return
        words, turn = self._look()
        self._notifier.ready(words)
        self._said = words
        threading.Thread(target=self._keep_telling, args=(turn,), name="standing", daemon=True).start()

    def _feed(self) -> None:
        """On the control thread, so that the watchdog starves exactly when that one hangs."""
        every = self._notifier.feed_every
        assert every is not None
        self._notifier.alive()
        self._agent.control.set_timer(self, self._agent.clock() + every, self._feed)

    def _keep_telling(self, turn: int) -> None:
        control = self._agent.control
        while not self._ending.wait(LOOK_SECONDS):
            self._turned.wait()
            self._turned.clear()
            # Our own look was a turn as well, and is none to look again for.
            if control.turns == turn or self._ending.is_set():
                continue
            words, turn = self._look()
            with self._speaking:
                if words != self._said and not self._ending.is_set():
                    self._notifier.status(words)
                    self._said = words

    def _look(self) -> tuple[str, int]:
        """The words of this moment, and the control thread's turn they are true for."""

        def read() -> tuple[list[ReportedSource], int]:
            found = []
            for source in self._agent.registry.sources:
                runner = self._agent.runner(source.key)
                if runner is not None:
                    found.append(ReportedSource(source.name, source.server, runner.view(), runner.failure))
            return found, self._agent.control.turns

        standings, turn = self._agent.control.call(read)
        return in_words(standings) + self._complaint, turn

    def _reload_when_asked(self) -> None:
        while self._reloads.get() and not self._ending.is_set():
            with self._speaking:
                self._notifier.reloading()
            done = reload(self._agent, self._provisioner)
            log.log(logging.INFO if done.ok else logging.ERROR, "reload: %s", done.message)
            self._complaint = "" if done.ok else f" ({done.message})"
            words, _ = self._look()
            with self._speaking:
                if not self._ending.is_set():
                    self._notifier.ready(words)
                    self._said = words


def in_words(standings: Sequence[ReportedSource]) -> str:
    """How all of them stand, in one line; what wants attention comes first."""
    if not standings:
        return "no folder is linked yet: raven-agent link FOLDER"
    ordered = sorted(standings, key=lambda one: _ORDER[one.state])
    calm = [one for one in ordered if one.state is SourceState.UP_TO_DATE]
    others = [one for one in ordered if one.state is not SourceState.UP_TO_DATE]
    told = [f"{one.name}: {_one(one)}" for one in others[:NAMED]]
    if len(others) > NAMED:
        told.append(f"{len(others) - NAMED} more want attention or are at work")
    if calm:
        names = ", ".join(one.name for one in calm) if len(calm) <= NAMED else f"{len(calm)} folders"
        count = sum(one.view.files for one in calm)
        told.append(f"in step: {names} ({count} {'file' if count == 1 else 'files'})")
    return "; ".join(told)


def _one(standing: ReportedSource) -> str:
    view = standing.view
    waiting = f", {view.pending_push} to send" if view.pending_push else ""
    trouble = view.trouble.message if view.trouble else ""
    match standing.state:
        case SourceState.SIGNED_OUT:
            return f"signed out of {standing.server}{waiting}; raven-agent login"
        case SourceState.HALTED:
            return f"stopped: {view.halted or f'{view.held_count} deletes are held'}"
        case SourceState.ERROR:
            return f"failing: {standing.failure or trouble or 'some files are not synced; raven-agent status'}"
        case SourceState.OFFLINE:
            return f"cannot reach {standing.server}{waiting}" + (f" ({trouble})" if trouble else "")
        case SourceState.PAUSED:
            return f"paused{waiting}"
        case SourceState.CONFLICT:
            return f"{view.conflicts} {'conflict is' if view.conflicts == 1 else 'conflicts are'} parked{waiting}"
        case _:
            coming = f", {view.pending_pull} to fetch" if view.pending_pull else ""
            return f"syncing{waiting}{coming}"
