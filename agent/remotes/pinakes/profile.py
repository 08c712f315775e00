"""The conventions of Pinakes' HTTP API: its two spellings of each path, and the meaning of its refusals.

A refusal is ``{"error": "message"}``, so only the status and the endpoint are used. The words are for people.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Final

from agent.core.errors import ProblemKind
from agent.remotes.http.profile import ApiProfile, Refusal
from agent.remotes.pinakes.wire import PATH_FIELDS

SPELLINGS: Final = ("", "v1/")
"""Each path answers with and without its version. A server beside another API may answer to one of them only."""
DOWNLOAD: Final = "sync/download"

_CURSOR: Final = Refusal(ProblemKind.CURSOR_LOST, "{server} no longer knows our position in its changes", complete=True)
_DEVICE: Final = Refusal(ProblemKind.NOT_FOUND, "{server} does not know this device", complete=True)
_CLOSED: Final = Refusal(ProblemKind.STALE, "the conflict is no longer open on {server}")
_SESSION: Final = Refusal(ProblemKind.GONE, "{server} no longer has this unfinished upload", complete=True)
_FILE: Final = Refusal(ProblemKind.NOT_FOUND, "{server} has no file there", complete=True)

MEANINGS: Final = MappingProxyType(
    {
        (400, "sync/changes"): _CURSOR,
        (403, "sync/devices/{}"): _DEVICE,
        (404, "sync/devices/{}"): _DEVICE,
        (403, "sync/devices/{}/token"): _DEVICE,
        (404, "sync/devices/{}/token"): _DEVICE,
        (400, "sync/conflicts/{}/resolve"): _CLOSED,
        (404, "sync/conflicts/{}/resolve"): _CLOSED,
        (404, "sync/upload/{}"): _SESSION,
        (404, "sync/upload/{}/chunks/{}"): _SESSION,
        (404, "sync/upload/{}/complete"): _SESSION,
        (404, DOWNLOAD): _FILE,
    }
)
"""The refusals that mean something else than their status alone, by status and endpoint."""


def pinakes_profile(workspace: str) -> ApiProfile:
    """Return the conventions. A session belongs to one account, so the workspace is not sent."""
    return ApiProfile(
        base_path="api/",
        address_ending="/api/v1",
        path_fields=PATH_FIELDS,
        meaning=_meaning,
    )


def _meaning(status: int, endpoint: str, body: Any) -> Refusal | None:
    plain = endpoint.removeprefix(SPELLINGS[1])
    # The path of a file has any number of segments.
    return MEANINGS.get((status, DOWNLOAD if plain.startswith(f"{DOWNLOAD}/") else plain))
