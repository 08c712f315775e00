"""Which live id and cursor stands for which recorded one."""

from __future__ import annotations

import json
import re
from typing import Any

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_RAVEN_OPERATION = re.compile(r"(raven-)([0-9a-f-]{36})(-)\d+")
_VERBATIM_CURSOR = 1_000_000
"""Cursors from here on are probes of the limits, not positions, and are sent and expected as recorded."""


class Names:
    """Recorded names to live ones, learnt as they appear.

    Attributes:
        ids: the live id for each recorded one; one to one.
        cursors: for each recorded source, the live cursor for each recorded one.
    """

    def __init__(self) -> None:
        self.ids: dict[str, str] = {}
        self.cursors: dict[str, dict[int, int]] = {}

    def encode(self, body: Any) -> bytes:
        """A recorded body as it goes to the live server."""
        if isinstance(body, bytes):
            return body
        if isinstance(body, str):
            return _UUID.sub(lambda match: self._live_id(match.group()), body).encode()
        return json.dumps(self._live(body, ""), ensure_ascii=False).encode()

    def _live(self, value: Any, source: str) -> Any:
        if isinstance(value, dict):
            here = value.get("sourceId") or source
            cursor = value.get("cursor")
            live = {key: self._live(item, here) for key, item in value.items()}
            if type(cursor) is int and 0 < cursor < _VERBATIM_CURSOR:
                live["cursor"] = self._live_cursor(here, cursor)
            return live
        if isinstance(value, list):
            return [self._live(item, source) for item in value]
        if isinstance(value, str):
            return _UUID.sub(lambda match: self._live_id(match.group()), value)
        return value

    def _live_id(self, recorded: str) -> str:
        """The live id for a recorded one; one never met before is the client's own and goes out, and binds, as is."""
        live = self.ids.setdefault(recorded.lower(), recorded.lower())
        return live.upper() if recorded != recorded.lower() else live

    def _live_cursor(self, source: str, recorded: int) -> int:
        """The live cursor for a recorded one, or, where it was never met, as far behind the last met one before it."""
        known = self.cursors.setdefault(source, {})
        if recorded not in known:
            before = max((cursor for cursor in known if cursor < recorded), default=0)
            known[recorded] = known.get(before, 0) + recorded - before
        return known[recorded]

    def same_text(self, expected: str, got: str) -> bool:
        """Whether the texts are equal but for their ids, and those stand for each other."""
        made = _RAVEN_OPERATION.fullmatch(expected), _RAVEN_OPERATION.fullmatch(got)
        if made[0] and made[1]:
            return self.same_text(made[0].group(2), made[1].group(2))
        if not _UUID.search(expected):
            return expected == got
        # Ids are one to one: a live id that already stands for another recorded one is a difference.
        for recorded, live in zip(_UUID.findall(expected), _UUID.findall(got), strict=False):
            if recorded.lower() not in self.ids and live.lower() not in self.ids.values():
                self.ids[recorded.lower()] = live.lower()
        return _UUID.sub(lambda match: self.ids.get(match.group().lower(), match.group()), expected) == got

    def same_cursor(self, source: str, expected: int, got: int) -> bool:
        """Whether `got` is the live cursor for `expected`; a first meeting must keep the source's order."""
        if expected == 0 or expected >= _VERBATIM_CURSOR:
            return expected == got
        known = self.cursors.setdefault(source, {})
        if expected not in known:
            if any((recorded < expected) != (live < got) for recorded, live in known.items()):
                return False
            known[expected] = got
        return known[expected] == got
