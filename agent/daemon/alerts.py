"""What a person is told without having asked: new conflicts, a halt, a sign-out, a token that ends soon.

One thousand conflicts are one notification. What is told once is not told again while it lasts.
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

EVERY_SECONDS: Final = 2.0
SETTLED_SECONDS: Final = 4.0
"""Something is told when it has lasted, or no more of it has come, for so long."""
GATHERED_SECONDS: Final = 60.0
"""Conflicts that keep coming are told of after this."""
QUIET_SECONDS: Final = 600.0
"""Between two notifications about conflicts; those that come meanwhile are told of together."""
EXPIRY_SECONDS: Final = 3600.0
"""Between two looks at how long the tokens last."""
WARNED_DAYS: Final = (1, 7)

log = logging.getLogger(__name__)
Key = tuple[str, int]
"""A source's name and a conflict's number."""


class AlertSituation(Struct, frozen=True):
    """What may need a person, as it is now.

    Attributes:
        conflicts: those nobody has decided.
        halted: source to why it stands still.
        signed_out: servers that refuse the token.
        expiring: server to the days its token still lasts, where these are few (the least of ``WARNED_DAYS`` that
            holds).
    """

    conflicts: frozenset[Key] = frozenset()
    halted: Mapping[str, str] = field(default_factory=dict)
    signed_out: frozenset[str] = frozenset()
    expiring: Mapping[str, int] = field(default_factory=dict)


class Notification(Struct, frozen=True):
    """One notification: names and counts, never what stands in a file."""

    title: str
    body: str


class AlertPolicy:
    """Decides what is told, and when.

    Args:
        known: conflicts that were there before; they are not new.
    """

    def __init__(self, known: frozenset[Key]) -> None:
        self._known = known
        self._fresh: frozenset[Key] = frozenset()
        self._first = self._last = 0.0
        self._told_at = float("-inf")
        self._since: dict[tuple[str, str], float] = {}
        self._told: set[tuple[str, str]] = set()

    def consider(self, seen: AlertSituation, now: float) -> list[Notification]:
        """What to tell now. ``now``: seconds that only ever go forward."""
        return [*self._conflicts(seen.conflicts, now), *self._lasting(seen, now)]

    @property
    def undecided(self) -> bool:
        """Whether something may have to be told that was too young when it was considered last."""
        return bool(self._fresh) or not self._since.keys() <= self._told

    def _conflicts(self, there: frozenset[Key], now: float) -> list[Notification]:
        fresh = there - self._known
        if fresh - self._fresh:
            self._last = now
            self._first = self._first if self._fresh else now
        self._fresh = fresh
        self._known &= there
        settled = now - self._last >= SETTLED_SECONDS or now - self._first >= GATHERED_SECONDS
        if not fresh or not settled or now - self._told_at < QUIET_SECONDS:
            return []
        self._known |= fresh
        self._fresh = frozenset()
        self._told_at = now
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
        self._told &= there.keys()
        due = [key for key in there if key not in self._told and now - self._since[key] >= SETTLED_SECONDS]
        self._told.update(due)
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
    """Looks at the agent every now and then and tells a person.

    Args:
        tell: shows one notification.
    """

    def __init__(self, agent: Agent, tell: Callable[[str, str], object] = show_notification) -> None:
        self._agent = agent
        self._tell = tell
        self._expiring: Mapping[str, int] = {}
        self._expiry_due = float("-inf")
        self._notices = AlertPolicy(self._conflicts_known())

    def keep_on(self, stop: threading.Event) -> None:
        """Until told to stop: at most every ``EVERY_SECONDS``, and not while nothing happens."""
        turned = self._agent.control.follow()
        while not stop.wait(EVERY_SECONDS):
            if self._agent.settings.notifications:
                self._consider()
                if self._notices.undecided:
                    continue
            turned.wait(EXPIRY_SECONDS)
            turned.clear()

    def _consider(self) -> None:
        try:
            for notice in self._notices.consider(self._look(), time.monotonic()):
                self._tell(notice.title, notice.body)
        except Exception:
            # Telling is a courtesy: whatever goes wrong with it, syncing goes on, and the next thing is told.
            log.exception("a notification failed")

    def _conflicts_known(self) -> frozenset[Key]:
        """As they stand in the index before any source is at work."""
        agent = self._agent

        def read() -> frozenset[Key]:
            live = ((source.name, agent.index.conflicts.live(source.key)) for source in agent.registry.sources)
            return frozenset((name, conflict.id) for name, conflicts in live for conflict in conflicts)

        return agent.control.call(read)

    def _look(self) -> AlertSituation:
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
        """Tokens are read seldom: a keyring takes its time."""
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
                    days = next((days for days in WARNED_DAYS if 0 < left <= days * 86400), None)
                    if days is not None:
                        found[entry.name] = days
            self._expiring = found
        return self._expiring
