"""Documents as the agent answers them, for tests to change."""

from __future__ import annotations

from typing import Any


def source(**changes: Any) -> dict[str, Any]:
    """A source that is in step."""
    base = {
        "id": "s-1",
        "name": "notes",
        "root": "/notes",
        "server": "work",
        "dialect": "raven",
        "mode": "bidirectional",
        "state": "up_to_date",
        "files": 3,
        "bytes": 4096,
        "pending_push": 0,
        "pending_pull": 0,
        "conflicts": 0,
        "skipped": 0,
        "held_deletes": None,
        "progress": None,
        "paused_until": None,
        "cursor": "7",
        "last_sync_at": "2026-03-01T12:00:00Z",
        "degraded": [],
        "error": None,
    }
    return {**base, **changes}


def status(*sources: dict[str, Any]) -> dict[str, Any]:
    """A status with these sources, taken a minute after ``last_sync_at``."""
    return {
        "schema": 1,
        "version": "0.1.0",
        "checked_at": "2026-03-01T12:01:00Z",
        "daemon": {"running": True, "pid": 7, "since": "2026-03-01T11:00:00Z"},
        "servers": [
            {
                "name": "work",
                "url": "https://r.example",
                "workspace": "w-1",
                "dialect": "raven",
                "connector_id": "c-1",
                "state": "ok",
                "token_expires_at": None,
            }
        ],
        "sources": list(sources),
    }


def passed(**changes: Any) -> dict[str, Any]:
    """A pass over one source."""
    base = {
        "id": "s-1",
        "root": "/notes",
        "state": "up_to_date",
        "pushed": 1,
        "pulled": 2,
        "deleted_remote": 0,
        "deleted_local": 0,
        "conflicts_opened": 0,
        "conflicts": 0,
        "skipped": [],
        "errors": [],
        "seconds": 0.5,
    }
    return {"sources": [{**base, **changes}]}


def conflict(**changes: Any) -> dict[str, Any]:
    """A parked conflict as ``diff`` shows it."""
    base = {
        "id": "7.2",
        "source_id": "s-1",
        "root": "/notes",
        "path": "a.md",
        "kind": "edit_edit",
        "base_hash": "a" * 64,
        "local_hash": "b" * 64,
        "remote_hash": "c" * 64,
        "opened_at": "2026-03-01T12:00:00Z",
        "state": "open",
        "mine": True,
        "base": "one\n",
        "local": "one\r\nlocal\r\n",
        "remote": "one\nremote\n",
        "merged": "one\r\nlocal\r\nremote\r\n",
        "merge_clean": True,
    }
    return {**base, **changes}


def plan(**changes: int) -> dict[str, Any]:
    """What a link would do, as ``link`` answers."""
    counts = {"upload": 0, "download": 0, "adopt": 0, "park": 0, "skip": 0, **changes}
    return {
        "changed": True,
        "source_id": "s-1",
        "connector_id": "c-1",
        "root": "/notes",
        "server": "work",
        "mode": "bidirectional",
        "plan": counts,
    }


def resolved(state: str = "resolved") -> dict[str, Any]:
    """One resolution."""
    row = {"id": "7.2", "path": "a.md", "choice": "keep_local", "state": state, "message": None}
    return {"resolved": [row]}
