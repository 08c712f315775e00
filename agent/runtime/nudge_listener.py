"""Listen to one account's server on a thread of its own, and connect again when the connection ends."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from agent.core.backoff import CALM, Backoff
from agent.core.errors import Problem, ProblemKind, RemoteError
from agent.remotes.protocol import Nudge
from agent.runtime.effect_executor import ServerConnection

log = logging.getLogger(__name__)

STEADY_SECONDS: Final = 60.0
"""A connection that lasted this long was a success: the next failure counts as the first."""
_END_SECONDS: Final = 2.0
"""Seconds to wait for the thread's end. Only the opening of a TCP connection can take longer; it is abandoned."""


class ListenRetry(Struct, frozen=True):
    """The next try to listen.

    Attributes:
        refused: the server refused the token, and has not taken one since.
    """

    backoff: Backoff = CALM
    refused: bool = False

    def after(self, problem: Problem, lasted: float, now: float, rng: random.Random) -> ListenRetry:
        """Return the state after a connection ended.

        The first refusal of a token is retried soon: the token is renewed before the next call. Another one waits a
        minute, like every failure that a retry cannot mend.

        Args:
            lasted: seconds for which changes were reported.
            now: the time, in the seconds of ``Backoff.due``.
        """
        signed_out = problem.kind is ProblemKind.SIGNED_OUT
        steady = lasted >= STEADY_SECONDS
        begun = ListenRetry() if steady else self
        if signed_out and not begun.refused:
            problem = problem._replace(kind=ProblemKind.OFFLINE)
        refused = signed_out or (begun.refused and lasted <= 0)
        return replace(begun, backoff=begun.backoff.after(problem, now, rng), refused=refused)


class NudgeListener:
    """Listens while the account is used.

    Args:
        name: the account's name.
        connect: returns the connection, with this machine registered. Raises RemoteError.
        on_nudge: takes each nudge, on the listener's thread.
        on_listening: called with True when changes are reported from now on, with False when no longer.
        ticks: monotonic seconds.
    """

    def __init__(
        self,
        name: str,
        connect: Callable[[], ServerConnection],
        on_nudge: Callable[[Nudge], None],
        on_listening: Callable[[bool], None],
        rng: random.Random | None = None,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._connect = connect
        self._on_nudge = on_nudge
        self._on_listening = on_listening
        self._rng = random.SystemRandom() if rng is None else rng
        self._ticks = ticks
        self._stop = threading.Event()
        self._woken = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._since: float | None = None

    @property
    def listening(self) -> bool:
        """True while the server reports changes. From any thread."""
        return self._since is not None

    def start(self) -> None:
        """Start the thread, unless it runs or was stopped. From any thread."""
        with self._lock:
            if self._thread is None and not self._stop.is_set():
                self._thread = threading.Thread(target=self._run, name=f"nudges-{self._name}", daemon=True)
                self._thread.start()

    def wake(self) -> None:
        """Try again at once: the machine woke up, or its network changed. From any thread."""
        self._woken.set()

    def begin_stop(self) -> None:
        """Have the thread end as soon as the adapter is closed. From any thread."""
        self._stop.set()
        self._woken.set()

    def join(self) -> None:
        """Wait for the thread's end. From any thread but its own."""
        with self._lock:
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(_END_SECONDS)

    def _run(self) -> None:
        retry = ListenRetry()
        while not self._stop.is_set():
            lasted = 0.0
            try:
                self._connect().remote.listen(self._stop, self._take)
                # It returned without a failure: the adapter was closed, and another one may take its place.
                problem = Problem(ProblemKind.OFFLINE, "the connection was closed")
            except RemoteError as error:
                problem = error.problem
            finally:
                lasted = self._ended()
            if self._stop.is_set():
                return
            log.debug("%s does not report changes now: %s", self._name, problem.message)
            retry = retry.after(problem, lasted, self._ticks(), self._rng)
            self._woken.wait(max(retry.backoff.due - self._ticks(), 0.0))
            self._woken.clear()

    def _take(self, nudge: Nudge) -> None:
        if self._since is None:
            self._since = self._ticks()
            log.info("%s reports changes as they happen", self._name)
            self._on_listening(True)
        self._on_nudge(nudge)

    def _ended(self) -> float:
        """Return the seconds for which changes were reported."""
        since, self._since = self._since, None
        if since is None:
            return 0.0
        if not self._stop.is_set():
            self._on_listening(False)
        return self._ticks() - since
