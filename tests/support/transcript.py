"""The recorded calls to a real server, and their replay against any server that claims to answer alike.

`tests/fixtures/raven-transcript.jsonl` holds one call a line. Ids, times and cursors of the recording mean nothing to
another server, so the replay maps each recorded one to the live one it met first and holds every later one to it.
Texts, hashes, counts, states, keys and types are compared as recorded. Calls the recording made without noting them
down (creating a second source, opening one more conflict) stand in `transcript_setup` and are made at their place.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Any

from support.transcript_names import Names
from support.transcript_requests import CUT, Call, Credentials, body_of, headers_of, load
from support.transcript_setup import SETUP, Step

__all__ = ["ABSENT", "LEFT_OUT", "Call", "Credentials", "Difference", "Replay", "Replayed", "Send", "load", "replay"]

LEFT_OUT: Mapping[str, str] = MappingProxyType(
    {"bodylimit/20MiB": "the connection was reset before an answer, so there is none to compare with"}
)
"""Recorded calls that are not replayed, by name, each with its reason."""

Send = Callable[[str, str, Mapping[str, str], bytes | None], tuple[int, Mapping[str, str], bytes]]
"""(method, path, headers, body or None) -> (status, headers, body)."""

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_CUT_PAGE = re.compile(r'\{"data": \{"sourceId": "([^"]+)", "cursor": (\d+), "nextCursor": (\d+), "events": \[')
_TIME_KEYS = frozenset(
    ["timestamp", "createdAt", "updatedAt", "lastHeartbeatAt", "lastSyncedAt", "recordedAt", "resolvedAt"]
)
_CURSOR_KEYS = frozenset(["cursor", "nextCursor", "eventCursor", "lastRemoteCursor"])


class Absent(Enum):
    """Stands in a `Difference` for a key or an answer that one side does not have."""

    ABSENT = "absent"

    def __repr__(self) -> str:
        return "absent"


ABSENT = Absent.ABSENT


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where the live answer is not the recorded one. `where` is a dotted path, such as `data.items`."""

    where: str
    expected: object
    got: object


@dataclass(frozen=True, slots=True)
class Replayed:
    """One call as replayed. `expected` and `got` are the decoded answers, `status` the live status."""

    call: Call
    status: int
    expected: Any
    got: Any
    differences: tuple[Difference, ...]


class Replay:
    """Replays the recording once against a fresh server.

    Attributes:
        names: the live id and cursor met for each recorded one.
    """

    def __init__(self, send: Send, credentials: Credentials) -> None:
        self._send = send
        self._credentials = credentials
        self.names = Names()

    def run(self) -> Iterator[Replayed]:
        """Send every call that is not left out, each after its unrecorded preparations, and compare the answers.

        Raises:
            AssertionError: a preparation was not answered with 200.
        """
        for call in load():
            for step in SETUP.get(call.index, ()):
                self._prepare(step)
            if call.name not in LEFT_OUT:
                yield self._replay(call)

    def _prepare(self, step: Step) -> None:
        headers = headers_of("", self._credentials)
        status, _, answer = self._send("POST", step.path, headers, self.names.encode(step.body))
        assert status == 200, f"preparation {step} was answered {status}: {answer[:300]!r}"
        decoded = json.loads(answer)
        for where, recorded in step.binds.items():
            value: Any = decoded
            for part in where.split("."):
                value = value[int(part)] if isinstance(value, list) else value[part]
            self.names.ids[recorded] = value

    def _replay(self, call: Call) -> Replayed:
        body = body_of(call)
        encoded = None if body is None else self.names.encode(body)
        status, _, answer = self._send(call.method, call.path, headers_of(call.name, self._credentials), encoded)
        try:
            got: Any = json.loads(answer)
        except ValueError:
            got = answer
        differences = [] if status == call.status else [Difference("status", call.status, status)]
        differences += self._differences(call.response, got)
        return Replayed(call, status, call.response, got, tuple(differences))

    def _differences(self, expected: Any, got: Any) -> Iterator[Difference]:
        if not isinstance(expected, str):
            yield from self._compare(expected, got, "", "")
            return
        page = _CUT_PAGE.match(expected)
        assert page is not None, expected
        source, cursor, next_cursor = page.group(1), int(page.group(2)), int(page.group(3))
        data = got.get("data") if isinstance(got, dict) else None
        beginning = {"sourceId": source, "cursor": cursor, "nextCursor": next_cursor}
        kept = {key: data[key] for key in beginning if key in data} if isinstance(data, dict) else data
        yield from self._compare(beginning, kept, "data", "")

    def _compare(self, expected: Any, got: Any, where: str, source: str) -> Iterator[Difference]:
        if type(expected) is not type(got):
            yield Difference(where, expected, got)
        elif isinstance(expected, dict):
            yield from self._compare_objects(expected, got, where, source)
        elif isinstance(expected, list):
            yield from self._compare_lists(expected, got, where, source)
        elif isinstance(expected, str):
            if not self.names.same_text(expected, got):
                yield Difference(where, expected, got)
        elif expected != got:
            yield Difference(where, expected, got)

    def _compare_objects(
        self, expected: dict[str, Any], got: dict[str, Any], where: str, source: str
    ) -> Iterator[Difference]:
        here = expected.get("sourceId") or (expected["id"] if "lastRemoteCursor" in expected else source)
        for key in sorted(expected.keys() | got.keys()):
            place = f"{where}.{key}".lstrip(".")
            if key not in expected or key not in got:
                yield Difference(place, expected.get(key, ABSENT), got.get(key, ABSENT))
            elif key in _TIME_KEYS:
                if not (isinstance(got[key], str) and _TIME.fullmatch(got[key])):
                    yield Difference(place, expected[key], got[key])
            elif key in _CURSOR_KEYS and type(got[key]) is int:
                if not self.names.same_cursor(here, expected[key], got[key]):
                    yield Difference(place, expected[key], got[key])
            else:
                yield from self._compare(expected[key], got[key], place, here)

    def _compare_lists(self, expected: list[Any], got: list[Any], where: str, source: str) -> Iterator[Difference]:
        cut = CUT.match(expected[-1]) if expected and isinstance(expected[-1], str) else None
        whole = expected[:-1] if cut else expected
        length = int(cut.group(1)) if cut else len(expected)
        if len(got) != length:
            yield Difference(f"{where}.length", length, len(got))
        for index, (one, other) in enumerate(zip(whole, got, strict=False)):
            yield from self._compare(one, other, f"{where}.{index}", source)


def replay(send: Send, credentials: Credentials) -> Iterator[Replayed]:
    """Replay the recording once against a fresh server reached through `send`."""
    return Replay(send, credentials).run()
