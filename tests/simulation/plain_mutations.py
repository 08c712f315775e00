"""Mutants that only a server with large contents, moves and ids can show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from agent.core.remote_records import Operation
from agent.core.supply import Pieces
from agent.engine.large_downloads import LargeDownloads
from agent.index.operations import Operations
from agent.remotes.http.request import FilePart
from plain_dialect import push
from plain_dialect.push import Pusher
from plain_dialect.state import CHUNK
from simulation.fault_rates import Chances
from simulation.mutant import Mutant, instead

# Transfers


def _chunk_off_by_one() -> AbstractContextManager[object]:
    def late(pieces: Pieces, offset: int, length: int) -> FilePart:
        return FilePart(pieces, max(offset - 1, 0), length)

    return instead(push, "FilePart", late)


def _session_reused() -> AbstractContextManager[object]:
    careful = Pusher._send_chunks

    def reused(self: Pusher, operation: Operation, session: Mapping[str, Any], pieces: Pieces) -> None:
        known: dict[str, set[int]] = vars(self).setdefault("sent before", {})
        before = known.get(operation.path, set())
        known[operation.path] = set(range(-(-operation.size // CHUNK)))
        careful(self, operation, {**session, "received": [*session.get("received", ()), *before]}, pieces)

    return instead(Pusher, "_send_chunks", reused)


def _cancel_forgotten() -> AbstractContextManager[object]:
    return instead(LargeDownloads, "_cancel", lambda _self, _found: None)


# What the server says


def _echo_by_path() -> AbstractContextManager[object]:

    def by_path(self: Operations, source: int, path: str, *_: object) -> str | None:
        own = [entry.operation.id for entry in self.of_path(source, path)]
        return own[-1] if own else None

    return instead(Operations, "made_by_us", by_path)


_CALM = Chances(strange=0.0, clock=0.0, crash_at_disk=0.0, crash_at_network=0.0)
_SAVES = Chances(user_between_calls=0.15, strange=0.0, clock=0.0, crash_at_disk=0.0, page_edit=2.0)
_PLAIN = ("plain",)

PLAIN_MUTANTS: Sequence[Mutant] = (
    Mutant("chunk off by one", "a chunk begins one byte too early", _chunk_off_by_one, _PLAIN, chances=_CALM),
    Mutant(
        "session reused for other bytes", "chunks of a path's former content count as sent", _session_reused, _PLAIN,
        chances=_CALM, seeds=(19,),
    ),
    Mutant(
        "cancel forgotten", "a download goes on though another version is wanted", _cancel_forgotten, _PLAIN,
        chances=_SAVES, seeds=(9,),
    ),
    Mutant(
        "echo by path", "any version at a path of ours counts as our own", _echo_by_path, _PLAIN, chances=_CALM,
        seeds=(12,),
    ),
)  # fmt: skip
