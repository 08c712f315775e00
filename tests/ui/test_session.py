"""Codes and cookies of the dashboard, on a clock of the test's own."""

from __future__ import annotations

import itertools

import pytest

from agent.ui.session import CODE_SECONDS, SESSION_SECONDS, BrowserSessions
from agent.ui.visit import local_address


class Clock:
    """Seconds that the test sets."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sessions(clock: Clock) -> BrowserSessions:
    numbers = itertools.count()
    return BrowserSessions(clock, lambda: f"secret-{next(numbers)}")


def test_a_code_is_good_once(sessions: BrowserSessions) -> None:
    """The second use of a code opens no session."""
    code = sessions.issue_code()
    assert sessions.redeem(code) is not None
    assert sessions.redeem(code) is None


def test_a_code_ends_after_sixty_seconds(sessions: BrowserSessions, clock: Clock) -> None:
    """A code is good just before its end, and not at it."""
    early, late = sessions.issue_code(), sessions.issue_code()
    clock.now += CODE_SECONDS - 0.001
    assert sessions.redeem(early) is not None
    clock.now += 0.001
    assert sessions.redeem(late) is None


def test_a_session_ends_after_twelve_hours(sessions: BrowserSessions, clock: Clock) -> None:
    """Use does not lengthen a session."""
    cookie = sessions.redeem(sessions.issue_code())
    assert cookie is not None
    clock.now += SESSION_SECONDS - 1
    assert sessions.find(cookie) is not None
    clock.now += 1
    assert sessions.find(cookie) is None


def test_two_sessions_share_no_token(sessions: BrowserSessions) -> None:
    """A form of one session is no form of another, and locking one leaves the other."""
    one, two = (sessions.redeem(sessions.issue_code()) for _ in range(2))
    assert one is not None and two is not None
    first, second = sessions.find(one), sessions.find(two)
    assert first is not None and second is not None and first.csrf != second.csrf
    sessions.end(one)
    assert sessions.find(one) is None and sessions.find(two) is not None


def test_codes_cannot_fill_the_memory(sessions: BrowserSessions) -> None:
    """Of many codes the newest are kept."""
    codes = [sessions.issue_code() for _ in range(40)]
    assert sessions.redeem(codes[0]) is None
    assert sessions.redeem(codes[-1]) is not None


@pytest.mark.parametrize("address", ["//evil.example", "https://evil.example/", "evil", "/\\evil", "", "javascript:x"])
def test_a_form_leads_to_no_other_place(address: str) -> None:
    """The address after a form is one of this program."""
    assert local_address(address) == "/"
    assert local_address("/f/notes?state=ok#L3") == "/f/notes?state=ok#L3"
