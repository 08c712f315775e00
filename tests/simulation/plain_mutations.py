"""Mutants that only a server with large contents, moves and ids can show; see ``mutations``."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from msgspec import structs

from agent.core import in_doubt
from agent.core.model import ABSENT, Intent
from agent.core.remote_records import Operation, RemoteHead
from agent.core.supply import Pieces, Transfer
from agent.disk.apply.downloads import StagedDownloads
from agent.disk.apply.file_reader import PieceReader
from agent.disk.apply.moves import Mover
from agent.disk.apply.staging import FileHash, StagingMark
from agent.disk.apply.target import Target
from agent.disk.scan.digest import Digest, RunningDigest
from agent.engine import messages as m
from agent.engine import uploads
from agent.engine.engine import Engine
from agent.engine.large_downloads import LargeDownloads
from agent.engine.verification import Verification
from agent.index.operations import Operations
from agent.index.trees import PathRow
from agent.remotes.http.request import FilePart
from plain_dialect import push
from plain_dialect.push import Pusher
from plain_dialect.server import PlainServer
from plain_dialect.state import CHUNK
from plain_dialect.uploads import Uploads
from simulation.fault_rates import Chances
from simulation.mutant import Mutant, instead

# Transfers


class _Believed(RunningDigest):
    """The digest that a download should have."""

    def __init__(self, transfer: Transfer) -> None:
        super().__init__()
        self.size = transfer.size
        self._promised = transfer.hash

    @property
    def sha256(self) -> str:
        return self._promised

    def result(self) -> Digest:
        return super().result()._replace(sha256=self._promised)


def _resumed_unhashed() -> AbstractContextManager[object]:
    careful = StagedDownloads._hash_present

    def believed(self: StagedDownloads, transfer: Transfer) -> RunningDigest:
        found = careful(self, transfer)
        return _Believed(transfer) if found.size else found

    return instead(StagedDownloads, "_hash_present", believed)


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


@contextlib.contextmanager
def _no_hash_promised() -> Iterator[None]:
    """Neither side compares what was sent with what was to be sent."""

    def unchecked(self: PlainServer, content: bytes, _promised: tuple[str, int]) -> tuple[str, int]:
        return self.keep(content), len(content)

    finish = Uploads.finish

    def finished(self: Uploads, identifier: str, promised: tuple[str, int]) -> tuple[str, int]:
        parts = [part for _, part in self.get(identifier).chunks]
        finish(self, identifier, promised)
        content = b"".join(parts)
        return hashlib.sha256(content).hexdigest(), len(content)

    def unstamped(self: PieceReader, offset: int, length: int) -> bytes:
        return self._fs.read_at(self._file, offset, max(min(length, self.size - offset), 0))

    with (
        instead(PlainServer, "keep_promised", unchecked),
        instead(Uploads, "finish", finished),
        instead(PieceReader, "read", unstamped),
    ):
        yield


def _cancel_forgotten() -> AbstractContextManager[object]:
    return instead(LargeDownloads, "_cancel", lambda _self, _found: None)


def _delete_before_its_upload() -> AbstractContextManager[object]:
    return instead(uploads.Uploads, "_large_to_come", lambda _self: frozenset())


# Moves


def _move_unhashed() -> AbstractContextManager[object]:
    def taken(self: Mover, intent: Intent, origin: Target, _now: float) -> FileHash | str:
        self._fs.rename(origin.folder, origin.name, self._staging.handle, intent.id + StagingMark.OLD)
        found = self._staging.hash_of(intent.id, StagingMark.OLD)
        assert found is not None and found.digest is not None
        return FileHash(intent.new or "", found.stat, found.digest._replace(sha256=intent.new))

    return instead(Mover, "_take", taken)


@contextlib.contextmanager
def _move_overwrites() -> Iterator[None]:
    def placed(self: Mover, intent: Intent, _origin: Target, target: Target, _now: float) -> None:
        self._staging.mark_moved(intent.id)
        self._fs.rename(self._staging.handle, intent.id + StagingMark.OLD, target.folder, target.name)

    with instead(Mover, "_place", placed):
        yield


# What the server says


def _echo_by_path() -> AbstractContextManager[object]:

    def by_path(self: Operations, source: int, path: str, *_: object) -> str | None:
        own = [entry.operation.id for entry in self.of_path(source, path)]
        return own[-1] if own else None

    return instead(Operations, "made_by_us", by_path)


def _foreign_history() -> AbstractContextManager[object]:
    return instead(in_doubt, "is_history_of_ours", lambda _operation, _file: True)


def _missing_is_deleted() -> AbstractContextManager[object]:
    careful = Engine._with_head

    def believed(self: Engine, row: PathRow, message: m.HeadArrived) -> PathRow:
        head: RemoteHead | None = message.head
        if head is None and row.path not in self._ctx.open_operations:
            self._path_store.change([structs.replace(row, remote=ABSENT)])
            return self._path_store.row(row.path)
        return careful(self, row, message)

    return instead(Engine, "_with_head", believed)


def _unlisted_is_deleted() -> AbstractContextManager[object]:
    careful = Verification._compare

    def at_once(self: Verification) -> None:
        self._missing_once = set(self._ctx.index.listing.missing(self._ctx.source))
        careful(self)

    return instead(Verification, "_compare", at_once)


_QUIET = Chances(strange=0.0, clock=0.0, crash_at_disk=0.0, crash_at_network=0.0)
_SAVES = replace(_QUIET, user_between_calls=0.15, crash_at_network=0.005, page_edit=2.0)
_CUTS = replace(_QUIET, cut_content=0.5, page_edit=1.0)
_AT_WORK = replace(_QUIET, at_work=0.1, same_text=0.0, page_edit=0.0)
_MOVES = replace(
    _QUIET, page_edit=1.5, page_moves=0.7, same_text=0.0, bystander=0.0, fault=0.0, late=0.0, doubled=0.0
)  # fmt: skip
_SAVES_AT_MOVES = replace(_MOVES, at_work=0.05, page_edit=0.4, user_between_calls=0.0)
_UNHEARD = replace(_MOVES, unheard=1.0, user_between_calls=0.0)
_COPIES = replace(_QUIET, copies=2.0, page_edit=0.1, user_between_calls=0.0)
_PASSES = replace(_QUIET, sync=2.0, page_edit=0.15, hidden=0.5, fault=0.0, bystander=0.0)
_PLAIN = ("plain",)
_LARGE = ("plain", "pinakes")
"""Servers whose ordinary texts travel in pieces."""

PLAIN_MUTANTS: Sequence[Mutant] = (
    Mutant(
        "resume unhashed", "the bytes of an interrupted download count as whole", _resumed_unhashed,
        _LARGE, chances=_CUTS, seeds=(2,),
    ),
    Mutant("chunk off by one", "a chunk begins one byte too early", _chunk_off_by_one, _PLAIN, chances=_QUIET),
    Mutant(
        "session reused for other bytes", "chunks of a path's former content count as sent", _session_reused, _PLAIN,
        chances=_QUIET, seeds=(19,),
    ),
    Mutant(
        "no hash promised", "nobody compares an upload with the content that was to be sent", _no_hash_promised, _PLAIN,
        chances=_AT_WORK, seeds=(6,),
    ),
    Mutant(
        "cancel forgotten", "a download goes on though another version is wanted", _cancel_forgotten, _LARGE,
        chances=_SAVES, seeds=(9,),
    ),
    Mutant(
        "delete sent before its own large upload", "a delete does not wait for the upload of the same content",
        _delete_before_its_upload, _LARGE, chances=_COPIES, seeds=(8,),
    ),
    Mutant(
        "move without hash check", "what a move takes from its old path counts as the expected file", _move_unhashed,
        _PLAIN, chances=_UNHEARD, turns=200, seeds=(10,),
    ),
    Mutant(
        "move overwrites", "a move replaces a file that was saved at its new path", _move_overwrites, _PLAIN,
        chances=_SAVES_AT_MOVES, turns=200, seeds=(7,),
    ),
    Mutant(
        "echo by path", "any version at a path of ours counts as our own", _echo_by_path, _PLAIN, chances=_QUIET,
        seeds=(12,),
    ),
    Mutant(
        "history of another file", "a file that moved to a path shows what became of a push to it", _foreign_history,
        _PLAIN, seeds=(822153,), lists_conflicts=False,
    ),
    Mutant(
        "404 is a delete", "a file that is said to be missing counts as deleted", _missing_is_deleted, _PLAIN,
        chances=_PASSES, turns=200, seeds=(61,),
    ),
    Mutant(
        "listing miss is a delete", "a file that one listing lacks counts as deleted", _unlisted_is_deleted, _PLAIN,
        chances=_PASSES, turns=200, seeds=(16,),
    ),
)  # fmt: skip
