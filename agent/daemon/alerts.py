"""Notify a person about new conflicts, a halt, a sign-out, and a token that ends soon.

A thousand conflicts make one notification. A condition is notified once while it lasts.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Struct, field

from agent.daemon.desktop import show_notification
from agent.runtime.agent import Agent
from agent.runtime.server_session import WARN_DAYS

EVERY_SECONDS: Final = 2.0
SETTLED_SECONDS: Final = 4.0
"""Seconds that a condition must last, or that no new conflict must appear, before the notification."""
GATHERED_SECONDS: Final = 60.0
"""Seconds after which conflicts that keep appearing are notified."""
QUIET_SECONDS: Final = 600.0
"""Seconds between two notifications about conflicts; those in between share the next one."""
EXPIRY_SECONDS: Final = 3600.0
"""Seconds between two checks of the tokens' expiry."""

log = logging.getLogger(__name__)
Key = tuple[str, int]
"""A source's name and a conflict's number."""


class AlertSituation(Struct, frozen=True):
    """The present conditions that may need a person.

    Attributes:
        conflicts: those without a decision.
        halted: source to the reason of its halt.
        signed_out: servers that refuse the token.
        expiring: server to the least of ``WARN_DAYS`` within which its token ends.
    """

    conflicts: frozenset[Key] = frozenset()
    halted: Mapping[str, str] = field(default_factory=dict)
    signed_out: frozenset[str] = frozenset()
    expiring: Mapping[str, int] = field(default_factory=dict)


class Notification(Struct, frozen=True):
    """One notification: names and counts, never the text of a file."""

    title: str
    body: str


class AlertPolicy:
    """Decides which notifications are due.

    Args:
        known: conflicts that existed before; they are not new.
    """

    def __init__(self, known: frozenset[Key]) -> None:
        self._known = known
        self._fresh: frozenset[Key] = frozenset()
        self._first = self._last = 0.0
        self._notified_at = float("-inf")
        self._since: dict[tuple[str, str], float] = {}
        self._notified: set[tuple[str, str]] = set()

    def consider(self, seen: AlertSituation, now: float) -> list[Notification]:
        """Return the notifications that are due. ``now`` is monotonic seconds."""
        return [*self._conflicts(seen.conflicts, now), *self._lasting(seen, now)]

    @property
    def undecided(self) -> bool:
        """True if a condition was too recent for a notification at the last call."""
        return bool(self._fresh) or not self._since.keys() <= self._notified

    def _conflicts(self, there: frozenset[Key], now: float) -> list[Notification]:
        fresh = there - self._known
        if fresh - self._fresh:
            self._last = now
            self._first = self._first if self._fresh else now
        self._fresh = fresh
        self._known &= there
        settled = now - self._last >= SETTLED_SECONDS or now - self._first >= GATHERED_SECONDS
        if not fresh or not settled or now - self._notified_at < QUIET_SECONDS:
            return []
        self._known |= fresh
        self._fresh = frozenset()
        self._notified_at = now
        names = sorted({name for name, _ in fresh})
        title = f"{len(fresh):,} new conflicts" if len(fresh) > 1 else "A new conflict"
        return [Notification(title, f"In {', '.join(names)}. Both versions are kept: raven-agent conflicts")]

    def _lasting(self, seen: AlertSituation, now: float) -> list[Notification]:
        there = {
            **{("halt", name): why for name, why in seen.halted.items()},
            **{("sign-out", name): "" for name in seen.signed_out},
            **{(f"expiry {days}", name): str(days) for name, days in seen.expiring.items()},
        }
        self._since = {key: self._since.get(key, now) for key in there}
        self._notified &= there.keys()
        due = [key for key in there if key not in self._notified and now - self._since[key] >= SETTLED_SECONDS]
        self._notified.update(due)
        halts = [name for what, name in due if what == "halt"]
        notices = []
        if halts:
            more = f" (and {len(halts) - 1} more)" if len(halts) > 1 else ""
            notices.append(Notification(f"Stopped: {halts[0]}{more}", there["halt", halts[0]]))
        for what, name in due:
            if what == "sign-out":
                text = "Changes are kept and sent once you have logged in: raven-agent login"
                notices.append(Notification(f"Signed out of {name}", text))
            elif what != "halt":
                text = f"In less than {there[what, name]} days: raven-agent login".replace("1 days", "a day")
                notices.append(Notification(f"The token for {name} ends soon", text))
        return notices


class AlertMonitor:
    """Checks the agent at intervals and shows notifications.

    Args:
        show: shows one notification.
    """

    def __init__(self, agent: Agent, show: Callable[[str, str], object] = show_notification) -> None:
        self._agent = agent
        self._show = show
        self._expiring: Mapping[str, int] = {}
        self._expiry_due = float("-inf")
        self._notices = AlertPolicy(self._conflicts_known())

    def run_forever(self, stop: threading.Event) -> None:
        """Run until ``stop`` is set: at most every ``EVERY_SECONDS``, and not while nothing happens."""
        changed = self._agent.control.follow()
        while not stop.wait(EVERY_SECONDS):
            if self._agent.settings.notifications:
                self._consider()
                if self._notices.undecided:
                    continue
            changed.wait(EXPIRY_SECONDS)
            changed.clear()

    def _consider(self) -> None:
        try:
            for notice in self._notices.consider(self._situation(), time.monotonic()):
                self._show(notice.title, notice.body)
        except Exception:
            # A failed notification must stop neither the sync nor the next notification.
            log.exception("a notification failed")

    def _conflicts_known(self) -> frozenset[Key]:
        """Return the conflicts of the index before any source runs."""
        agent = self._agent

        def read() -> frozenset[Key]:
            live = ((source.name, agent.index.conflicts.live(source.key)) for source in agent.registry.sources)
            return frozenset((name, conflict.id) for name, conflicts in live for conflict in conflicts)

        return agent.control.call(read)

    def _situation(self) -> AlertSituation:
        agent = self._agent
        conflicts: set[Key] = set()
        halted: dict[str, str] = {}
        signed_out = set()
        for source in agent.registry.sources:
            runner = agent.runner(source.key)
            if runner is None:
                continue
            concerns = runner.alerts()
            conflicts.update((source.name, number) for number in concerns.conflicts)
            if concerns.halted is not None:
                halted[source.name] = concerns.halted
            if concerns.signed_out:
                signed_out.add(source.server)
        return AlertSituation(frozenset(conflicts), halted, frozenset(signed_out), self._ends_soon())

    def _ends_soon(self) -> Mapping[str, int]:
        """Return the tokens that end soon. They are read once an hour, as a keyring is slow."""
        now = time.monotonic()
        if now >= self._expiry_due:
            self._expiry_due = now + EXPIRY_SECONDS
            found = {}
            for entry in self._agent.registry.servers:
                if self._agent.server(entry.name).is_local_hub:
                    continue
                token = self._agent.credentials.token_for(entry)
                if token is not None and token.expires_at is not None:
                    left = token.expires_at - self._agent.clock()
                    days = next((days for days in sorted(WARN_DAYS) if 0 < left <= days * 86400), None)
                    if days is not None:
                        found[entry.name] = days
            self._expiring = found
        return self._expiring
