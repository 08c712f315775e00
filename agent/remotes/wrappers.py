"""Wrappers of the port: every call of an adapter is observed, for the log and for counters.

An adapter itself neither logs nor counts, so that each dialect is observed alike.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set

from msgspec import Struct

from agent.core.errors import Problem, RemoteError
from agent.core.events import Page, Span
from agent.core.model import Mode, Resolution
from agent.core.remote_records import Operation, Outcome, RemoteConflict, RemoteFile, RemoteHead, RemoteVersion
from agent.core.supply import Transfer
from agent.remotes.device_admin import DeviceAdmin
from agent.remotes.machine_list import MachineList
from agent.remotes.protocol import (
    Capabilities,
    Nudge,
    OnResumable,
    Outgoing,
    PushAnswer,
    Registration,
    Remote,
    RemoteSource,
    SelectiveSync,
    Sink,
    not_resumable,
)
from agent.remotes.source_admin import SourceAdmin

log = logging.getLogger(__name__)


class CallRecord(Struct, frozen=True):
    """One finished call.

    Attributes:
        name: the method of ``Remote``.
        seconds: time until it returned; for a list, until it was iterated.
        problem: how it failed; None if it did not.
    """

    name: str
    seconds: float
    problem: Problem | None = None


Observer = Callable[[CallRecord], None]


def log_call(record: CallRecord) -> None:
    """Log a call for a person who looks for the cause of a problem."""
    if record.problem is None:
        log.debug("server call %s: %.3f s", record.name, record.seconds)
    else:
        log.debug("server call %s failed after %.3f s: %s", record.name, record.seconds, record.problem.message)


CallCounts = Mapping[tuple[str, str], int]
"""Number of calls by method and kind of failure; the kind is "" for a success."""


class CallCounter:
    """Counts calls by method and kind of failure. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: Counter[tuple[str, str]] = Counter()

    def __call__(self, record: CallRecord) -> None:
        """Count one call."""
        kind = "" if record.problem is None else record.problem.kind.value
        with self._lock:
            self._calls[record.name, kind] += 1

    def counts(self) -> CallCounts:
        """Return the number of calls so far."""
        with self._lock:
            return dict(self._calls)


class ObservedRemote:
    """An adapter whose calls are passed to observers when they end.

    Args:
        ticks: monotonic seconds.
    """

    def __init__(self, inner: Remote, *observers: Observer, ticks: Callable[[], float] = time.monotonic) -> None:
        self._inner = inner
        self._observers = observers
        self._ticks = ticks

    @contextlib.contextmanager
    def _observed(self, name: str) -> Iterator[None]:
        began, problem = self._ticks(), None
        try:
            yield
        except RemoteError as error:
            problem = error.problem
            raise
        finally:
            self._report(CallRecord(name, self._ticks() - began, problem))

    def _report(self, record: CallRecord) -> None:
        for observer in self._observers:
            observer(record)

    @property
    def capabilities(self) -> Capabilities:
        """See ``Remote``."""
        return self._inner.capabilities

    @property
    def selective_sync(self) -> SelectiveSync | None:
        """See ``Remote``. Its calls are not observed."""
        return self._inner.selective_sync

    @property
    def source_admin(self) -> SourceAdmin | None:
        """See ``Remote``. Its calls are not observed."""
        return self._inner.source_admin

    @property
    def machine_list(self) -> MachineList | None:
        """See ``Remote``. Its calls are not observed."""
        return self._inner.machine_list

    @property
    def device_admin(self) -> DeviceAdmin | None:
        """See ``Remote``. Its calls are not observed."""
        return self._inner.device_admin

    def register(self, name: str, platform: str, version: str, wanted_id: str | None = None) -> Registration:
        """See ``Remote``."""
        with self._observed("register"):
            return self._inner.register(name, platform, version, wanted_id)

    def heartbeat(self, connector_id: str) -> Registration:
        """See ``Remote``."""
        with self._observed("heartbeat"):
            return self._inner.heartbeat(connector_id)

    def rename_connector(self, connector_id: str, name: str) -> bool:
        """See ``Remote``."""
        with self._observed("rename_connector"):
            return self._inner.rename_connector(connector_id, name)

    def sources(self) -> list[RemoteSource]:
        """See ``Remote``."""
        with self._observed("sources"):
            return self._inner.sources()

    def create_source(
        self, name: str, mode: Mode, connector_id: str, include: Sequence[str], exclude: Sequence[str]
    ) -> RemoteSource:
        """See ``Remote``."""
        with self._observed("create_source"):
            return self._inner.create_source(name, mode, connector_id, include, exclude)

    def pause(self, source_id: str) -> None:
        """See ``Remote``."""
        with self._observed("pause"):
            self._inner.pause(source_id)

    def resume(self, source_id: str) -> None:
        """See ``Remote``."""
        with self._observed("resume"):
            self._inner.resume(source_id)

    def pull(
        self,
        source_id: str,
        state: str | None,
        wait_seconds: float,
        now: float,
        known: Sequence[Span] = (),
        *,
        applied: bool = True,
    ) -> Page:
        """See ``Remote``."""
        with self._observed("pull"):
            return self._inner.pull(source_id, state, wait_seconds, now, known, applied=applied)

    def push(
        self,
        source_id: str,
        connector_id: str | None,
        batch: Sequence[Outgoing],
        on_resumable: OnResumable = not_resumable,
    ) -> PushAnswer:
        """See ``Remote``."""
        began = self._ticks()
        answer = self._inner.push(source_id, connector_id, batch, on_resumable)
        self._report(CallRecord("push", self._ticks() - began, answer.problem))
        return answer

    def cancel(self, operation_id: str) -> None:
        """See ``Remote``."""
        self._inner.cancel(operation_id)

    def recall(self, source_id: str, operation: Operation, resume: str | None) -> Outcome:
        """See ``Remote``."""
        with self._observed("recall"):
            return self._inner.recall(source_id, operation, resume)

    def fetch(self, source_id: str, transfer: Transfer, offset: int, sink: Sink) -> None:
        """See ``Remote``."""
        with self._observed("fetch"):
            self._inner.fetch(source_id, transfer, offset, sink)

    def was_restored_from_older_copy(self, source_id: str, state: str | None) -> bool:
        """See ``Remote``."""
        with self._observed("was_restored_from_older_copy"):
            return self._inner.was_restored_from_older_copy(source_id, state)

    def is_paused(self, source_id: str) -> bool:
        """See ``Remote``."""
        with self._observed("is_paused"):
            return self._inner.is_paused(source_id)

    def listing(self, source_id: str) -> Iterator[list[RemoteFile]]:
        """See ``Remote``."""
        with self._observed("listing"):
            yield from self._inner.listing(source_id)

    def state_digest(self, source_id: str) -> str:
        """See ``Remote``."""
        with self._observed("state_digest"):
            return self._inner.state_digest(source_id)

    def is_gone(self, source_id: str, path: str, remote_id: str) -> bool:
        """See ``Remote``."""
        with self._observed("is_gone"):
            return self._inner.is_gone(source_id, path, remote_id)

    def head(self, source_id: str, path: str) -> RemoteHead | None:
        """See ``Remote``."""
        with self._observed("head"):
            return self._inner.head(source_id, path)

    def history(self, source_id: str, path: str, limit: int | None = None) -> list[RemoteVersion]:
        """See ``Remote``."""
        with self._observed("history"):
            return self._inner.history(source_id, path, limit)

    def conflicts(
        self, source_id: str, paths: Set[str] | None = None, with_texts: Set[str] | None = None
    ) -> Iterator[RemoteConflict]:
        """See ``Remote``."""
        with self._observed("conflicts"):
            yield from self._inner.conflicts(source_id, paths, with_texts)

    def resolve(
        self, source_id: str, conflict_id: str, choice: Resolution, content: bytes | None, expected_head: str | None
    ) -> None:
        """See ``Remote``."""
        with self._observed("resolve"):
            self._inner.resolve(source_id, conflict_id, choice, content, expected_head)

    def listen(self, stop: threading.Event, on_nudge: Callable[[Nudge], None]) -> None:
        """See ``Remote``."""
        with self._observed("listen"):
            self._inner.listen(stop, on_nudge)

    def abort_connections(self) -> None:
        """See ``Remote``."""
        self._inner.abort_connections()

    def close(self) -> None:
        """See ``Remote``."""
        self._inner.close()
