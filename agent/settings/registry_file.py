"""``registry.json``: the accounts and links on disk. Kept apart from the index, so that no link is lost with it."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from agent.core.model import Mode
from agent.core.scope import SyncPreference
from agent.settings.errors import RegistryError
from agent.settings.links import DeclarationRef, Registry, ServerEntry, SourceEntry, UnlinkedSource
from agent.settings.owner_only_files import ensure_private, explain_refusal, write_atomically

SCHEMA: Final = 1

_FOREVER: Final = "until_resumed"


def load_registry(path: Path) -> Registry:
    """Read the registry; an empty one when there is no file.

    Raises:
        RegistryError: unreadable, damaged, or written by a newer release. An empty registry is never
            assumed instead: every folder would be unlinked.
    """
    try:
        document = json.loads(path.read_bytes())
        schema = document["schema"]
    except FileNotFoundError:
        return Registry()
    except OSError as error:
        raise RegistryError(*explain_refusal(path, error)) from error
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(path) from error
    if not isinstance(schema, int) or schema > SCHEMA:
        raise RegistryError(f"{path} was written by a newer release", "update raven-agent")
    try:
        return Registry(
            tuple(ServerEntry(**row) for row in document["servers"]),
            tuple(_source_from(row) for row in document["sources"]),
            int(document["next_key"]),
            tuple(_unlinked_from(row) for row in document.get("unlinked", ())),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(path) from error


def save_registry(path: Path, registry: Registry) -> None:
    """Replace the file, 0600, and make it durable before returning.

    Raises:
        RegistryError: the file system refused; the old file is unchanged.
    """
    document = {
        "schema": SCHEMA,
        "next_key": registry.next_key,
        "servers": [_server_row(s) for s in registry.servers],
        "sources": [_source_row(s) for s in registry.sources],
        # Releases before 0.2 pass over this key.
        "unlinked": [{"at": u.at, "source": _source_row(u.source)} for u in registry.unlinked],
    }
    try:
        ensure_private(path.parent)
        write_atomically(path, json.dumps(document, indent=1, allow_nan=False).encode())
    except OSError as error:
        raise RegistryError(f"cannot write {path}: {error.strerror}") from error


def _damaged(path: Path) -> RegistryError:
    return RegistryError(f"{path} is damaged", "put back a copy, or move it away and link the folders again")


def _unlinked_from(row: Mapping[str, Any]) -> UnlinkedSource:
    return UnlinkedSource(_source_from(row["source"]), float(row["at"]))


def _server_row(server: ServerEntry) -> dict[str, Any]:
    row = dataclasses.asdict(server)
    # Releases before 0.2 read no registry with a key they do not know.
    for later in ("pin", "machine_name"):
        if not row[later]:
            del row[later]
    return row


def _source_row(source: SourceEntry) -> dict[str, Any]:
    until = source.paused_until
    row = dataclasses.asdict(source)
    row["root"] = str(source.root)
    row["mode"] = source.mode.value
    row["paused_until"] = _FOREVER if until is not None and math.isinf(until) else until
    # Left out where there is none: releases that do not know it can then read the file.
    del row["preference"]
    if source.preference is not None:
        row["preference"] = msgspec.to_builtins(source.preference)
    return row


def _source_from(row: Mapping[str, Any]) -> SourceEntry:
    until = row["paused_until"]
    changed = {
        "root": Path(row["root"]),
        "mode": Mode(row["mode"]),
        "include": tuple(row["include"]),
        "exclude": tuple(row["exclude"]),
        "paused_until": math.inf if until == _FOREVER else until,
        "declared": DeclarationRef(**row["declared"]) if row.get("declared") else None,
        "preference": msgspec.convert(row["preference"], SyncPreference) if row.get("preference") else None,
    }
    return SourceEntry(**{**row, **changed})
