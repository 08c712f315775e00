"""Records of the Raven protocol, and their translation into our types. Every field is checked for its type.

Hashes and paths are passed on as the server states them, unchecked. Content is passed on only if it matches its hash.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from agent.core.errors import Problem, ProblemKind
from agent.core.model import EMPTY_HASH, SENTINEL_BASE, Mode
from agent.core.remote_records import RemoteConflict, RemoteFile, RemoteVersion
from agent.remotes.fields import maybe_text, sha256, text, texts
from agent.remotes.http.failures import RemoteCallError, SideEffect
from agent.remotes.protocol import Capabilities, RemoteSource

NO_FILE: Final = "File not found"
NO_CONFLICT: Final = "Open conflict not found"


def matching(content: str | None, digest: str | None) -> bytes | None:
    """Return the content's bytes; None if there are none or they do not match the hash."""
    if content is None or digest is None:
        return None
    encoded = content.encode()
    return encoded if sha256(encoded) == digest else None


HEARTBEAT_BESIDE_POLLS: Final = 300.0
"""Seconds between two heartbeats where polls count as heartbeats. They still bring changed capabilities."""


def capabilities_of(answer: Mapping[str, Any]) -> Capabilities:
    """Return the features that the server states. A server that states none offers only the plain protocol."""
    offered = frozenset(texts(answer, "capabilities"))
    ordered, polls_beat = "ordered_feed" in offered, "poll_heartbeat" in offered
    return Capabilities(
        long_poll="wait_ms" in offered,
        ordered_feed=ordered,
        item_results="item_results" in offered,
        expected_hash="expected_hash" in offered,
        keeps_history=ordered,
        latest_only="latest_only" in offered,
        connector_id="connector_id" in offered,
        state_digest="state_digest" in offered,
        poll_heartbeat=polls_beat,
        rename_connector="rename_connector" in offered,
        machines="machines" in offered,
        heartbeat_seconds=HEARTBEAT_BESIDE_POLLS if polls_beat else 0.0,
    )


def source_of(value: Mapping[str, Any]) -> RemoteSource | None:
    """Return a source; None if this release does not know its mode, so that the others can still be listed."""
    mode = text(value, "mode")
    if mode not in tuple(Mode):
        return None
    return RemoteSource(
        id=text(value, "id"),
        name=text(value, "name"),
        mode=Mode(mode),
        connector_id=maybe_text(value, "connectorId"),
        # Both take no writes, until a person changes that on the server.
        paused=maybe_text(value, "status") in ("paused", "archived"),
        archived=maybe_text(value, "status") == "archived",
        include=texts(value, "includePatterns"),
        exclude=texts(value, "excludePatterns"),
    )


def file_of(value: Mapping[str, Any]) -> RemoteFile:
    """Return a file of the listing."""
    digest = text(value, "lastSyncedHash")
    return RemoteFile(text(value, "relativePath"), digest, digest)


def version_of(value: Mapping[str, Any]) -> RemoteVersion:
    """Return a version of a history."""
    digest = text(value, "hash")
    content = matching(maybe_text(value, "content"), digest)
    size = None if content is None else len(content)
    return RemoteVersion(digest, maybe_text(value, "recordedAt"), maybe_text(value, "origin"), size, content, digest)


def newest_first(versions: Sequence[RemoteVersion]) -> list[RemoteVersion]:
    """Return versions by their time, newest first. The released server sends the oldest first."""
    if len(versions) > 1 and (versions[0].recorded_at or "") > (versions[-1].recorded_at or ""):
        return list(versions)
    return list(reversed(versions))


def conflict_of(value: Mapping[str, Any]) -> RemoteConflict:
    """Return an open conflict.

    A refused delete is listed like a push of empty text. Only the operation or the ``conflict.opened`` event can
    distinguish the two. Here it is taken for the delete, which is far more frequent: ``local_hash`` is None.
    """
    base = maybe_text(value, "baseHash")
    local = maybe_text(value, "localHash") or None
    local = None if local == EMPTY_HASH else local
    remote = maybe_text(value, "remoteHash") or None
    base = None if base in ("", SENTINEL_BASE) else base
    return RemoteConflict(
        id=text(value, "id"),
        path=text(value, "relativePath"),
        base_hash=base,
        local_hash=local,
        remote_hash=remote,
        local_text=matching(maybe_text(value, "localContent"), local),
        remote_text=matching(maybe_text(value, "remoteContent"), remote),
        opened_at=maybe_text(value, "createdAt"),
        base_rev=base,
        local_rev=local,
        remote_rev=remote,
    )


def stale(sentence: str) -> RemoteCallError:
    """Return the failure of a decision on a version that has changed since."""
    return RemoteCallError(Problem(ProblemKind.STALE, sentence), SideEffect.NONE)
