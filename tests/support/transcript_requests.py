"""The recorded calls, and each as it was sent: with the headers the recording lacks and the texts it cut."""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import re
import string
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FIXTURE = Path(__file__).resolve().parent.parent / "fixtures" / "raven-transcript.jsonl"

CUT = re.compile(r"…\[(\d+) (items|characters)\]$")
"""The recording's marker at the end of a cut text, or as the last item of a cut list: the whole length."""


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


_BODY_SIZES = {
    "bodylimit/1048576": 1_048_576,
    "bodylimit/1048577": 1_048_577,
    "bodylimit/1.2MiB": 1_258_291,
    "bodylimit/file-update-over": 1_048_577,
    "bodylimit/noauth-over": 1_048_577,
}


def body_of(call: Call) -> Any:
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
    cut = CUT.search(item["relativePath"]) if isinstance(item, dict) and "relativePath" in item else None
    if cut is None:
        return item
    beginning, length = item["relativePath"][: cut.start()], int(cut.group(1))
    letters = string.ascii_letters + string.digits if len(set(beginning)) > 1 else beginning[0]
    filler = "".join(random.Random(length).choices(letters, k=length - len(beginning)))
    return {**item, "relativePath": beginning + filler}


def headers_of(name: str, who: Credentials) -> dict[str, str]:
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
