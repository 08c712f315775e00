"""Report the status to the service manager, feed its watchdog, and run the reloads that it requests."""

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
"""Least seconds between two reads of the status. While nothing happens it is not read."""

NAMED: Final = 4
"""Sources that are named; of the others only the number is reported."""

_ORDER: Final = {state: rank for rank, state in enumerate(SourceState)}


class ReportedSource(Struct, frozen=True):
    """One source in the report.

    Attributes:
        failure: the reason why its engine stopped; None while it works.
    """

    name: str
    server: str
    view: SourceView
    failure: str | None

    @property
    def state(self) -> SourceState:
        """The state in one word."""
        return SourceState.ERROR if self.failure else self.view.state


class ServiceStatusReporter:
    """Reports for an agent while it is entered.

    Args:
        reloads: an entry for every requested reload; a signal handler may add one.
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
        self._reported = ""
        self._reload_error = ""
        self._sending = threading.Lock()
        self._turned = agent.control.follow()

    def __enter__(self) -> ServiceStatusReporter:
        threading.Thread(target=self._reload_when_asked, name="reload", daemon=True).start()
        if self._notifier.feed_every is not None:
            self._agent.control.post(self._feed)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._sending:
            self._ending.set()
            self._notifier.stopping("stopping")
        self._reloads.put(False)
        self._turned.set()

    def ready(self) -> None:
        """Report that the agent is ready, and from now on its status."""
        if self._notifier.address is None:
            # Without a manager the status of a large folder is not computed: it is expensive.
            return
        words, turn = self._read_status()
        self._notifier.ready(words)
        self._reported = words
        threading.Thread(target=self._report_changes, args=(turn,), name="reported", daemon=True).start()

    def _feed(self) -> None:
        """Feed the watchdog from the control thread, so that it fires exactly if that thread hangs."""
        every = self._notifier.feed_every
        assert every is not None
        self._notifier.alive()
        self._agent.control.set_timer(self, self._agent.clock() + every, self._feed)

    def _report_changes(self, turn: int) -> None:
        control = self._agent.control
        while not self._ending.wait(LOOK_SECONDS):
            self._turned.wait()
            self._turned.clear()
            # Reading the status was a turn too, and is no reason to read it again.
            if control.turns == turn or self._ending.is_set():
                continue
            words, turn = self._read_status()
            with self._sending:
                if words != self._reported and not self._ending.is_set():
                    self._notifier.status(words)
                    self._reported = words

    def _read_status(self) -> tuple[str, int]:
        """Return the status text, and the control thread's turn that it describes."""

        def read() -> tuple[list[ReportedSource], int]:
            found = []
            for source in self._agent.registry.sources:
                runner = self._agent.runner(source.key)
                if runner is not None:
                    found.append(ReportedSource(source.name, source.server, runner.view(), runner.failure))
            return found, self._agent.control.turns

        sources, turn = self._agent.control.call(read)
        return in_words(sources) + self._reload_error, turn

    def _reload_when_asked(self) -> None:
        while self._reloads.get() and not self._ending.is_set():
            with self._sending:
                self._notifier.reloading()
            done = reload(self._agent, self._provisioner)
            log.log(logging.INFO if done.ok else logging.ERROR, "reload: %s", done.message)
            self._reload_error = "" if done.ok else f" ({done.message})"
            words, _ = self._read_status()
            with self._sending:
                if not self._ending.is_set():
                    self._notifier.ready(words)
                    self._reported = words


def in_words(sources: Sequence[ReportedSource]) -> str:
    """Return the status of all sources in one line, the ones that need attention first."""
    if not sources:
        return "no folder is linked yet: raven-agent link FOLDER"
    ordered = sorted(sources, key=lambda one: _ORDER[one.state])
    calm = [one for one in ordered if one.state is SourceState.UP_TO_DATE]
    others = [one for one in ordered if one.state is not SourceState.UP_TO_DATE]
    parts = [f"{one.name}: {_one(one)}" for one in others[:NAMED]]
    if len(others) > NAMED:
        parts.append(f"{len(others) - NAMED} more want attention or are at work")
    if calm:
        names = ", ".join(one.name for one in calm) if len(calm) <= NAMED else f"{len(calm)} folders"
        count = sum(one.view.files for one in calm)
        parts.append(f"in step: {names} ({count} {'file' if count == 1 else 'files'})")
    return "; ".join(parts)


def _one(reported: ReportedSource) -> str:
    view = reported.view
    waiting = f", {view.pending_push} to send" if view.pending_push else ""
    trouble = view.trouble.message if view.trouble else ""
    match reported.state:
        case SourceState.SIGNED_OUT:
            return f"signed out of {reported.server}{waiting}; raven-agent login"
        case SourceState.HALTED:
            return f"stopped: {view.halted or f'{view.held_count} deletes are held'}"
        case SourceState.ERROR:
            return f"failing: {reported.failure or trouble or 'some files are not synced; raven-agent status'}"
        case SourceState.OFFLINE:
            return f"cannot reach {reported.server}{waiting}" + (f" ({trouble})" if trouble else "")
        case SourceState.PAUSED:
            return f"paused{waiting}"
        case SourceState.CONFLICT:
            return f"{view.conflicts} {'conflict is' if view.conflicts == 1 else 'conflicts are'} parked{waiting}"
        case _:
            coming = f", {view.pending_pull} to fetch" if view.pending_pull else ""
            return f"syncing{waiting}{coming}"
