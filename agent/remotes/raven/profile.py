"""The conventions of Raven's local-sync API: its path, its workspace header, its envelope and its refusals."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Final

from agent.core.errors import ProblemKind
from agent.remotes.http.failures import malformed
from agent.remotes.http.profile import ApiProfile, Refusal

LARGE_BODY: Final = 1024 * 1024
"""Bytes; a reset under a larger body means that the server refused its size."""

UPSTREAM_SENTENCE: Final = "this Raven server's local sync is broken (known upstream fault)"
OTHER_USER: Final = "The connector belongs to another user"
"""The reason of a hub that refuses a connector registered by another user of the workspace."""
NO_SOURCE: Final = "Local sync source not found"
"""The reason of a Raven server for a source that was deleted, or belongs to another workspace."""

_BROKEN: Final = Refusal(ProblemKind.UPSTREAM_FAULT, UPSTREAM_SENTENCE, complete=True)
_PAUSED: Final = Refusal(ProblemKind.PAUSED, "the source is paused on the server", complete=True)
_ARCHIVED: Final = Refusal(
    ProblemKind.PAUSED,
    "the source is archived on {server}, so nothing is sent; to go on: raven-agent sources archive NAME --undo",
    complete=True,
)
_GONE: Final = Refusal(
    ProblemKind.NOT_FOUND,
    "the source was deleted on {server}, or the account cannot see it; to sync the folder to a new source: "
    "raven-agent unlink FOLDER, then raven-agent link FOLDER; to stop syncing it: raven-agent unlink FOLDER "
    "(no file is deleted)",
    complete=True,
)
# No fault of one file: the queue is kept until another token is there.
_TAKEN: Final = Refusal(
    ProblemKind.SIGNED_OUT,
    "this connector belongs to another user of {server} than the token does: everything stays queued until you sign in "
    "again as the user who linked the folder: raven-agent login",
    complete=True,
)
_REFUSED: Final = Refusal(ProblemKind.BAD_REQUEST, "{server} refused the request")
# No fault of one file: to try the files of a batch one by one would only load a full server.
_FULL: Final = Refusal(
    ProblemKind.BUSY, "the disk of {server} is full: what is to be sent stays queued and is tried again by itself"
)


def raven_profile(workspace: str) -> ApiProfile:
    """Return the conventions for one workspace."""
    return ApiProfile(
        base_path="api/local-sync/",
        address_ending="/api",
        headers=MappingProxyType({"x-workspace-id": workspace}),
        unwrap=_unwrap,
        content_fields=frozenset({"content", "localContent", "remoteContent"}),
        path_fields=frozenset({"relativePath"}),
        meaning=_meaning,
        words=_words,
        hangs_up_above=LARGE_BODY,
    )


def _unwrap(value: Any) -> Any:
    """Take off ``{"data", "success", "status"}``, if the answer has it."""
    if isinstance(value, dict) and "success" in value and "data" in value:
        if value["success"] is not True:
            raise malformed("the server's answer contradicts itself: data, and no success")
        return value["data"]
    return value


def _words(body: Any) -> str | None:
    message = body.get("message") if isinstance(body, dict) else None
    if isinstance(message, list):
        message = "; ".join(part for part in message if isinstance(part, str))
    return message if isinstance(message, str) and message else None


def _meaning(status: int, endpoint: str, body: Any) -> Refusal | None:
    reason = _words(body) or ""
    if status >= 500 and "toISOString" in reason:
        return _BROKEN
    match status:
        case 400 if reason == "Source is paused":
            return _PAUSED
        case 400 if reason == "Source is archived":
            return _ARCHIVED
        case 403:
            return _TAKEN if reason == OTHER_USER else _REFUSED
        case 404 if reason == NO_SOURCE:
            return _GONE
        case 410:
            return _REFUSED
        case 507:
            return _FULL
    return None
