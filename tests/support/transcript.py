"""The recorded calls to a real server, and their replay against any server that claims to answer alike.

`tests/fixtures/raven-transcript.jsonl` holds one call a line. Ids, times and cursors of the recording mean nothing to
another server, so the replay maps each recorded one to the live one it met first and holds every later one to it.
Texts, hashes, counts, states, keys and types are compared as recorded. Calls the recording made without noting them
down (creating a second source, opening one more conflict) stand in `transcript_setup` and are made at their place.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import re
import string
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import MappingProxyType
from typing import Any

from support.transcript_setup import SETUP, Step

FIXTURE = Path(__file__).resolve().parent.parent / "fixtures" / "raven-transcript.jsonl"

LEFT_OUT: Mapping[str, str] = MappingProxyType(
    {"bodylimit/20MiB": "the connection was reset before an answer, so there is none to compare with"}
)
"""Recorded calls that are not replayed, by name, each with its reason."""

Send = Callable[[str, str, Mapping[str, str], bytes | None], tuple[int, Mapping[str, str], bytes]]
"""(method, path, headers, body or None) -> (status, headers, body)."""

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_RAVEN_OPERATION = re.compile(r"(raven-)([0-9a-f-]{36})(-)\d+")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_CUT = re.compile(r"…\[(\d+) (items|characters)\]$")
_CUT_PAGE = re.compile(r'\{"data": \{"sourceId": "([^"]+)", "cursor": (\d+), "nextCursor": (\d+), "events": \[')
_TIME_KEYS = frozenset(
    ["timestamp", "createdAt", "updatedAt", "lastHeartbeatAt", "lastSyncedAt", "recordedAt", "resolvedAt"]
)
_CURSOR_KEYS = frozenset(["cursor", "nextCursor", "eventCursor", "lastRemoteCursor"])
_VERBATIM_CURSOR = 1_000_000
"""Request cursors from here on are probes of the limits, not positions, and are sent as recorded."""


class Absent(Enum):
    """Stands in a `Difference` for a key or an answer that one side does not have."""

    ABSENT = "absent"

    def __repr__(self) -> str:
        return "absent"


ABSENT = Absent.ABSENT


@dataclass(frozen=True, slots=True)
class Call:
    """One recorded call.

    Attributes:
        index: its line in the recording, from 0; names are not unique.
        request: the decoded JSON body, or the body as text where it was not a JSON object, or None for no body.
        status: the recorded HTTP status, None when the connection broke.
        response: the decoded JSON answer, or its beginning as text with a marker where it was cut.
    """

    index: int
    name: str
    method: str
    path: str
    request: Any
    status: int | None
    response: Any


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


@dataclass(frozen=True, slots=True)
class Credentials:
    """Bearer tokens for one account, valid and not, in the form the server under test issues them.

    Attributes:
        good: accepted; `workspace` is its workspace.
        collab: the server's own token of a kind that is not for its HTTP interface.
        other_workspace: of a workspace its user does not belong to.
    """

    workspace: str
    good: str
    expired: str
    collab: str
    other_workspace: str
    unknown_user: str


def load() -> tuple[Call, ...]:
    """All recorded calls, in order."""
    lines = FIXTURE.read_text(encoding="utf-8").splitlines()
    return tuple(Call(index, **json.loads(line)) for index, line in enumerate(lines))


class Replay:
    """Replays the recording once against a fresh server.

    Attributes:
        cursors: for each recorded source, the live cursor met for each recorded one.
        ids: the live id met for each recorded one.
    """

    def __init__(self, send: Send, credentials: Credentials) -> None:
        self._send = send
        self._credentials = credentials
        self.ids: dict[str, str] = {}
        self.cursors: dict[str, dict[int, int]] = {}

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
        headers = _headers("", self._credentials)
        status, _, answer = self._send("POST", step.path, headers, self._encode(step.body))
        assert status == 200, f"preparation {step} was answered {status}: {answer[:300]!r}"
        decoded = json.loads(answer)
        for where, recorded in step.binds.items():
            value: Any = decoded
            for part in where.split("."):
                value = value[int(part)] if isinstance(value, list) else value[part]
            self.ids[recorded] = value

    def _replay(self, call: Call) -> Replayed:
        body = _body(call)
        encoded = None if body is None else self._encode(body)
        status, _, answer = self._send(call.method, call.path, _headers(call.name, self._credentials), encoded)
        try:
            got: Any = json.loads(answer)
        except ValueError:
            got = answer
        differences = [] if status == call.status else [Difference("status", call.status, status)]
        differences += self._differences(call.response, got)
        return Replayed(call, status, call.response, got, tuple(differences))

    # Requests: recorded names in, live names out.

    def _encode(self, body: Any) -> bytes:
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

    # Answers: recorded against live.

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
            if not self._same_text(expected, got):
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
                if not self._same_cursor(here, expected[key], got[key]):
                    yield Difference(place, expected[key], got[key])
            else:
                yield from self._compare(expected[key], got[key], place, here)

    def _compare_lists(self, expected: list[Any], got: list[Any], where: str, source: str) -> Iterator[Difference]:
        cut = _CUT.match(expected[-1]) if expected and isinstance(expected[-1], str) else None
        whole = expected[:-1] if cut else expected
        length = int(cut.group(1)) if cut else len(expected)
        if len(got) != length:
            yield Difference(f"{where}.length", length, len(got))
        for index, (one, other) in enumerate(zip(whole, got, strict=False)):
            yield from self._compare(one, other, f"{where}.{index}", source)

    def _same_text(self, expected: str, got: str) -> bool:
        made = _RAVEN_OPERATION.fullmatch(expected), _RAVEN_OPERATION.fullmatch(got)
        if made[0] and made[1]:
            return self._same_text(made[0].group(2), made[1].group(2))
        if not _UUID.search(expected):
            return expected == got
        # Ids are one to one: a live id that already stands for another recorded one is a difference.
        for recorded, live in zip(_UUID.findall(expected), _UUID.findall(got), strict=False):
            if recorded.lower() not in self.ids and live.lower() not in self.ids.values():
                self.ids[recorded.lower()] = live.lower()
        return _UUID.sub(lambda match: self.ids.get(match.group().lower(), match.group()), expected) == got

    def _same_cursor(self, source: str, expected: int, got: int) -> bool:
        """Whether `got` is the live cursor for `expected`; a first meeting must keep the source's order."""
        if expected == 0 or expected >= _VERBATIM_CURSOR:
            return expected == got
        known = self.cursors.setdefault(source, {})
        if expected not in known:
            if any((recorded < expected) != (live < got) for recorded, live in known.items()):
                return False
            known[expected] = got
        return known[expected] == got


def replay(send: Send, credentials: Credentials) -> Iterator[Replayed]:
    """Replay the recording once against a fresh server reached through `send`."""
    return Replay(send, credentials).run()


_BODY_SIZES = {
    "bodylimit/1048576": 1_048_576,
    "bodylimit/1048577": 1_048_577,
    "bodylimit/1.2MiB": 1_258_291,
    "bodylimit/file-update-over": 1_048_577,
    "bodylimit/noauth-over": 1_048_577,
}


def _body(call: Call) -> Any:
    """The call's body as it was sent, with what the recording cut or could not hold as text put back."""
    if call.name == "http/gzip-request":
        return gzip.compress(b"{}", mtime=0)
    if call.name in _BODY_SIZES:
        return _padded(call, _BODY_SIZES[call.name])
    if call.name == "bodylimit/600k-newlines":
        return call.request[: call.request.index("\\n")] + "\\n" * 600_000 + '"}]}'
    if call.name in ("push/items-100", "push/items-101"):
        count = int(call.name[-3:])
        whole = call.request["items"][:-1]
        return {**call.request, "items": whole + [_counted_item(index) for index in range(len(whole), count)]}
    if isinstance(call.request, dict) and isinstance(call.request.get("items"), list):
        return {**call.request, "items": [_whole_item(item) for item in call.request["items"]]}
    return call.request


def _padded(call: Call, size: int) -> str:
    marker = '"content":"'
    start = call.request.index(marker) + len(marker)
    end = '"}]}' if call.path.endswith("push-batch") else '"}'
    return str(call.request[:start] + call.request[start] * (size - start - len(end)) + end)


def _counted_item(index: int) -> dict[str, str]:
    content = str(index)
    digest = hashlib.sha256(content.encode()).hexdigest()
    return {"operationId": f"more-{index}", "relativePath": f"h/{index}.md", "content": content, "contentHash": digest}


def _whole_item(item: Any) -> Any:
    cut = _CUT.search(item["relativePath"]) if isinstance(item, dict) and "relativePath" in item else None
    if cut is None:
        return item
    beginning, length = item["relativePath"][: cut.start()], int(cut.group(1))
    letters = string.ascii_letters + string.digits if len(set(beginning)) > 1 else beginning[0]
    filler = "".join(random.Random(length).choices(letters, k=length - len(beginning)))
    return {**item, "relativePath": beginning + filler}


def _headers(name: str, who: Credentials) -> dict[str, str]:
    """The headers the call of that name was sent with; the recording does not hold them."""
    headers = {
        "authorization": f"Bearer {who.good}",
        "x-workspace-id": who.workspace,
        "content-type": "application/json",
    }
    changes: dict[str, dict[str, str | None]] = {
        "auth/missing": {"authorization": None},
        "auth/garbage-token": {"authorization": "Bearer garbage"},
        "auth/basic-scheme": {"authorization": "Basic dXNlcjpwYXNz"},
        "auth/expired": {"authorization": f"Bearer {who.expired}"},
        "auth/type-collab": {"authorization": f"Bearer {who.collab}"},
        "auth/jwt-other-workspace": {"authorization": f"Bearer {who.other_workspace}"},
        "auth/jwt-unknown-user": {"authorization": f"Bearer {who.unknown_user}"},
        "auth/x-workspace-id-missing": {"x-workspace-id": None},
        "auth/x-workspace-id-other": {"x-workspace-id": "33333333-3333-4333-8333-333333333333"},
        "auth/cookie-authToken-only": {"authorization": None, "cookie": f"authToken={who.good}"},
        "auth/bad-cookie-good-bearer": {"cookie": "authToken=garbage"},
        "http/GET": {"content-type": None},
        "x/health": {"content-type": None},
        "http/no-body-no-ct": {"content-type": None},
        "http/text-plain": {"content-type": "text/plain"},
        "http/gzip-request": {"content-encoding": "gzip"},
        "http/accept-gzip": {"accept-encoding": "gzip"},
        "bodylimit/noauth-over": {"authorization": None},
    }
    changed = {**headers, **changes.get(name, {})}
    return {key: value for key, value in changed.items() if value is not None}
