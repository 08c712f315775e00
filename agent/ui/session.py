"""Sessions of browsers: a one-time code becomes a cookie, which ends after twelve hours or with the agent."""

from __future__ import annotations

import hashlib
import math
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Struct

CODE_SECONDS: Final = 60.0
SESSION_SECONDS: Final = 12 * 3600.0
UNDO_SECONDS: Final = 30.0
_MOST_CODES: Final = 16
_MOST_SESSIONS: Final = 64


class Notice(Struct, frozen=True):
    """A message that the next page of a session shows once. With an undo, every page shows it for 30 seconds.

    Attributes:
        text: one sentence.
        kind: good, care or bad.
        undo: address of the form that takes the change back; empty if there is none.
        fields: values of that form.
    """

    text: str
    kind: str = "good"
    undo: str = ""
    fields: Mapping[str, str] = {}


class UndoOffer(Struct, frozen=True):
    """The way back from the last change of a session.

    Attributes:
        notice: the message about the change, with its undo.
        ends_at: end of the offer, on the clock of ``BrowserSessions``. The form itself stays good.
    """

    notice: Notice
    ends_at: float

    def seconds_left(self, now: float) -> int:
        """Return the whole seconds that the offer lasts, rounded up; 0 once it has ended."""
        return max(0, math.ceil(self.ends_at - now))


class BrowserSession(Struct):
    """One signed-in browser.

    Attributes:
        csrf: token that every form of this session carries.
        ends_at: end of the session, on the clock of ``BrowserSessions``.
        notices: messages that no page has shown yet.
        offer: the way back from the last change; None if that cannot be undone.
    """

    csrf: str
    ends_at: float
    notices: list[Notice] = []
    offer: UndoOffer | None = None

    def say(self, notice: Notice, now: float) -> None:
        """Keep a message for the next page. An earlier undo ends: it belongs to a change that is not the last one."""
        self.offer = UndoOffer(notice, now + UNDO_SECONDS) if notice.undo else None
        if not notice.undo:
            self.notices.append(notice)


def uptime() -> float:
    """Return seconds on a clock that no person can set back, and that goes on while the machine sleeps."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot is None else time.clock_gettime(boot)


class BrowserSessions:
    """Open codes and sessions. They are in memory only, and secrets are kept as their digests.

    Args:
        clock: seconds that only grow.
        secret: makes a secret of at least 128 bits.
    """

    def __init__(
        self, clock: Callable[[], float] = uptime, secret: Callable[[], str] = lambda: secrets.token_urlsafe(24)
    ) -> None:
        self._clock = clock
        self._secret = secret
        self._lock = threading.Lock()
        self._codes: dict[str, float] = {}
        self._sessions: dict[str, BrowserSession] = {}

    def issue_code(self) -> str:
        """Return a new code, good for one ``redeem`` within 60 seconds."""
        code = self._secret()
        with self._lock:
            self._forget_ended()
            while len(self._codes) >= _MOST_CODES:
                del self._codes[next(iter(self._codes))]
            self._codes[_digest(code)] = self._clock() + CODE_SECONDS
        return code

    def redeem(self, code: str) -> str | None:
        """Exchange a code for the cookie of a new session. Return None for a code that is unknown, used or too old."""
        with self._lock:
            ends_at = self._codes.pop(_digest(code), None)
            if ends_at is None or self._clock() >= ends_at:
                return None
            self._forget_ended()
            while len(self._sessions) >= _MOST_SESSIONS:
                del self._sessions[next(iter(self._sessions))]
            cookie = self._secret()
            self._sessions[_digest(cookie)] = BrowserSession(self._secret(), self._clock() + SESSION_SECONDS)
            return cookie

    def find(self, cookie: str) -> BrowserSession | None:
        """Return the session of a cookie; None if there is none or it has ended."""
        with self._lock:
            found = self._sessions.get(_digest(cookie))
            return found if found is not None and self._clock() < found.ends_at else None

    def end(self, cookie: str) -> None:
        """End the session of a cookie."""
        with self._lock:
            self._sessions.pop(_digest(cookie), None)

    def _forget_ended(self) -> None:
        now = self._clock()
        self._codes = {key: end for key, end in self._codes.items() if now < end}
        self._sessions = {key: one for key, one in self._sessions.items() if now < one.ends_at}


def _digest(secret: str) -> str:
    # A look-up by digest takes the same time for every wrong secret.
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
