"""The conventions of ScaiDrive's HTTP API: its path, its envelope and its refusals.

Its errors carry no machine code, so only the status and the endpoint are used. The words are for people.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Final

from agent.core.errors import ProblemKind
from agent.remotes.http.profile import ApiProfile, Refusal, words_of

_ENVELOPE: Final = frozenset({"data", "status", "success", "meta", "error"})

_SHARE: Final = Refusal(
    ProblemKind.NOT_FOUND,
    "the share was deleted on {server}, or the account may not see it any more; nothing is deleted here. To stop "
    "syncing the folder: raven-agent unlink FOLDER",
    complete=True,
)
_CURSOR: Final = Refusal(ProblemKind.CURSOR_LOST, "{server} no longer knows our position in its changes", complete=True)
_DEVICE: Final = Refusal(ProblemKind.NOT_FOUND, "{server} does not know this device", complete=True)
_CLOSED: Final = Refusal(ProblemKind.STALE, "the conflict is no longer open on {server}")
_SESSION: Final = Refusal(ProblemKind.GONE, "{server} no longer has this unfinished upload", complete=True)
_NAME: Final = Refusal(ProblemKind.STALE, "{server} has something of this name already")
_VERSION: Final = Refusal(ProblemKind.STALE, "{server} has a newer version")
_DELETED: Final = Refusal(ProblemKind.GONE, "it was deleted on {server}", complete=True)

MEANINGS: Final = MappingProxyType(
    {
        (400, "sync/changes"): _CURSOR,
        (404, "sync/changes"): _SHARE,
        (404, "sync/status"): _SHARE,
        (404, "sync/devices/{}/heartbeat"): _DEVICE,
        (404, "sync/devices/{}"): _DEVICE,
        (404, "sync/conflicts/{}/resolve"): _CLOSED,
        (409, "sync/conflicts/{}/resolve"): _CLOSED,
        (409, "sync/apply"): _VERSION,
        (409, "files"): _NAME,
        (409, "folders"): _NAME,
        (409, "uploads"): _NAME,
        (409, "uploads/{}/complete"): _NAME,
        (404, "uploads/{}"): _SESSION,
        (410, "uploads/{}"): _SESSION,
        (404, "uploads/{}/chunks/{}"): _SESSION,
        (410, "uploads/{}/chunks/{}"): _SESSION,
        (404, "uploads/{}/complete"): _SESSION,
        (410, "uploads/{}/complete"): _SESSION,
        (410, "files/{}"): _DELETED,
        (410, "files/{}/versions"): _DELETED,
        (410, "sync/download/{}"): _DELETED,
        (410, "folders/{}/children"): _DELETED,
    }
)
"""The refusals that mean something else than their status alone, by status and endpoint."""


def scaidrive_profile(workspace: str) -> ApiProfile:
    """Return the conventions. A token belongs to one tenant, so the workspace is not sent."""
    return ApiProfile(
        base_path="api/v1/",
        address_ending="/api/v1",
        unwrap=unwrap,
        path_fields=frozenset({"path", "old_path", "new_path", "name"}),
        meaning=_meaning,
        words=_words,
        rate_limited=True,
    )


def unwrap(value: Any) -> Any:
    """Take off the envelope that a part of the documentation shows; other answers have none."""
    if isinstance(value, dict) and "data" in value and value.keys() <= _ENVELOPE:
        return value["data"]
    return value


def _meaning(status: int, endpoint: str, body: Any) -> Refusal | None:
    return MEANINGS.get((status, endpoint))


def _words(body: Any) -> str | None:
    return words_of(unwrap(body))
