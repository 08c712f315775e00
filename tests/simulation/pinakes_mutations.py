"""Mutants that only a server with hashes as revisions, uploads in sessions and no history can show."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

from msgspec.structs import replace

from agent.core.remote_records import Operation
from agent.core.supply import Pieces
from agent.engine.large_downloads import LargeDownloads
from agent.remotes.http.request import FilePart
from agent.remotes.pinakes import conflicts, feed, report, upload
from agent.remotes.pinakes.scope import AccountScope
from agent.remotes.pinakes.upload import PinakesUploads
from agent.remotes.pinakes.wire import UploadLine
from simulation.fault_rates import Chances
from simulation.mutant import Mutant, instead

# Uploads


def _chunk_off_by_one() -> AbstractContextManager[object]:
    def late(pieces: Pieces, offset: int, length: int) -> FilePart:
        return FilePart(pieces, max(offset - 1, 0), length)

    return instead(upload, "FilePart", late)


def _session_reused() -> AbstractContextManager[object]:
    careful = PinakesUploads.send

    def reused(self: PinakesUploads, operation: Operation, session: UploadLine, pieces: Pieces) -> None:
        known: dict[str, set[int]] = vars(self).setdefault("sent before", {})
        before = known.get(operation.path, set())
        known[operation.path] = set(range(session.chunks))
        careful(self, operation, replace(session, received=session.received | before), pieces)

    return instead(PinakesUploads, "send", reused)


# Bases and answers


def _base_of_the_head() -> AbstractContextManager[object]:
    def newest(self: Any, operation: Operation) -> str | None:
        head = self._parts.contents.head(self._scope.full(operation.path), self._book, operation.path)
        return None if head is None else str(head.rev)

    return instead(report._Push, "_base", newest)


def _left_out_is_applied() -> AbstractContextManager[object]:
    return instead(report._Push, "_left_out", report._Push._applied)


def _servers_cursor() -> AbstractContextManager[object]:
    def without(cursor: int, limit: int) -> dict[str, str | int]:
        return {"limit": limit} if cursor else {"cursor": 0, "limit": limit}

    return instead(feed, "changes_query", without)


def _prefix_ignored() -> AbstractContextManager[object]:
    return instead(AccountScope, "full", lambda _self, path: path)


def _replaced_head_is_lost() -> AbstractContextManager[object]:
    return instead(LargeDownloads, "keep_replaced", lambda _self, _row, _head: True)


def _client_wins() -> AbstractContextManager[object]:
    return instead(conflicts, "resolve_body", lambda: {"resolution": "client_wins"})


_CALM = Chances(strange=0.0, clock=0.0, crash_at_disk=0.0, crash_at_network=0.0)
_SAVES = Chances(strange=0.0, clock=0.0, crash_at_disk=0.0, page_edit=1.0)
_STRICT = ("pinakes",)
_PINAKES = (*_STRICT, "hub-pinakes")

PINAKES_MUTANTS: Sequence[Mutant] = (
    Mutant("Pinakes: chunk off by one", "a chunk begins a byte early", _chunk_off_by_one, _PINAKES, chances=_CALM),
    Mutant(
        "Pinakes: session reused for other bytes", "chunks of a path's former content count as received",
        _session_reused, _PINAKES, chances=_CALM, seeds=(7,),
    ),
    Mutant(
        "Pinakes: base of the head", "a change names the head as its base, whatever it was made on",
        _base_of_the_head, _PINAKES, chances=_SAVES,
    ),
    Mutant(
        "Pinakes: left out is applied", "a change in no list of the answer counts as carried out",
        _left_out_is_applied, _STRICT, chances=_CALM, seeds=(52,),
    ),
    Mutant(
        "Pinakes: server's cursor", "changes are read behind the device's cursor on the server", _servers_cursor,
        _PINAKES, chances=_CALM,
    ),
    Mutant(
        "Pinakes: replaced head is lost", "a decision replaces a large head that is nowhere else",
        _replaced_head_is_lost, _PINAKES, chances=_SAVES, seeds=(17,),
    ),
    Mutant(
        "Pinakes: client wins", "a conflict is closed by the word that puts the refused content over the head",
        _client_wins, ("hub-pinakes",), chances=_SAVES,
    ),
    Mutant(
        "Pinakes: prefix ignored", "a path within the source counts as one within the account", _prefix_ignored,
        _PINAKES, chances=_CALM,
    ),
)  # fmt: skip
