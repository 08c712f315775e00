"""Listening to an account's server: when it is tried again, and what it tells."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from queue import SimpleQueue

import pytest

from agent.core.errors import Problem, ProblemKind, RemoteError
from agent.remotes.protocol import Nudge
from agent.runtime.nudge_listener import STEADY_SECONDS, ListenRetry, NudgeListener
from support.eventually import patience

OFFLINE = Problem(ProblemKind.OFFLINE, "gone")
REFUSED = Problem(ProblemKind.SIGNED_OUT, "refused")


def delays(*ends: tuple[Problem, float]) -> list[float]:
    """The delay after each end of a connection, in turn."""
    retry, found = ListenRetry(), []
    for problem, lasted in ends:
        retry = retry.after(problem, lasted, 0.0, random.Random(1))
        found.append(retry.backoff.due)
    return found


def test_a_refused_token_is_retried_soon_once() -> None:
    """It is renewed before the next try. Another refusal waits a minute, also after other failures."""
    soon, minute, again = delays((REFUSED, 0.0), (REFUSED, 0.0), (REFUSED, 0.0))
    assert soon <= 1.0
    assert minute == again == 60.0
    assert delays((REFUSED, 0.0), (OFFLINE, 0.0), (REFUSED, 0.0))[-1] == 60.0
    assert delays((REFUSED, 0.0), (OFFLINE, STEADY_SECONDS), (REFUSED, 0.0))[-1] <= 2.0


def test_delays_grow_to_a_minute_and_begin_again() -> None:
    """Also for a server that accepts and closes at once; only a steady connection was a success."""
    for lasted in (0.0, 1.0):
        found = delays(*[(OFFLINE, lasted)] * 12)
        assert found[0] <= 1.0
        assert 30.0 <= found[-1] <= 60.0
    assert delays(*[(OFFLINE, 0.0)] * 12, (OFFLINE, STEADY_SECONDS))[-1] <= 1.0


class FakeRemote:
    """A server. ``script``: one end for each call of ``listen``; None listens until stopped."""

    def __init__(self, script: list[Problem | None], nudges: list[Nudge]) -> None:
        self.script = script
        self.nudges = nudges
        self.calls: SimpleQueue[int] = SimpleQueue()
        self.closed = threading.Event()
        self.remote = self

    def listen(self, stop: threading.Event, on_nudge: Callable[[Nudge], None]) -> None:
        """Play the next part of the script."""
        end = self.script.pop(0)
        self.calls.put(len(self.script))
        if end is None:
            for nudge in self.nudges:
                on_nudge(nudge)
            self.closed.wait(patience(10))
            assert stop.is_set()
            return
        raise RemoteError(end)


@pytest.fixture
def told() -> SimpleQueue[object]:
    """Nudges, and whether the server reports changes, in order."""
    return SimpleQueue()


def listener(remote: FakeRemote, told: SimpleQueue[object]) -> NudgeListener:
    """A listener to the fake."""
    return NudgeListener("drive", lambda: remote, told.put, told.put)  # type: ignore[arg-type, return-value]


def test_the_first_nudge_says_that_changes_are_reported(told: SimpleQueue[object]) -> None:
    """Before the nudge itself, so that its poll is followed by the long interval. It stops without a thread left."""
    remote = FakeRemote([OFFLINE, None], [Nudge(None), Nudge("s")])
    made = listener(remote, told)
    made.start()
    made.start()
    assert [told.get(timeout=patience(10)) for _ in range(3)] == [True, Nudge(None), Nudge("s")]
    assert made.listening
    made.begin_stop()
    remote.closed.set()
    made.join()
    assert told.empty()
    assert not [thread for thread in threading.enumerate() if thread.name == "nudges-drive"]
    made.start()
    assert not [thread for thread in threading.enumerate() if thread.name == "nudges-drive"]


def test_a_waking_machine_listens_at_once(told: SimpleQueue[object]) -> None:
    """The delay of a minute, after a refusal, is cut short."""
    remote = FakeRemote([REFUSED, REFUSED, None], [Nudge(None)])
    made = listener(remote, told)
    made.start()
    assert [remote.calls.get(timeout=patience(10)) for _ in range(2)] == [2, 1]
    made.wake()
    assert told.get(timeout=patience(10)) is True
    made.begin_stop()
    remote.closed.set()
    made.join()
