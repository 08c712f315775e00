"""An engine over an in-memory index, driven message by message."""

from __future__ import annotations

import hashlib
import random
import zlib
from collections.abc import Mapping
from typing import TypeVar

from agent.core.conflict import Conflict
from agent.core.events import Delete, FeedEvent, Page, Upsert
from agent.core.model import ABSENT, ApplyOutcome, ApplyResult, Fingerprint, Mode, Observation, file_side
from agent.core.remote_records import Outcome, RemoteConflict, RemoteFile, RemoteHead, RemoteVersion, Result
from agent.core.state_digest import state_digest
from agent.core.supply import Inline, Supply
from agent.engine import effects as e
from agent.engine import messages as m
from agent.engine.config import EngineConfig, RunMode
from agent.engine.engine import Engine
from agent.index import open_index
from agent.index.trees import PathRow
from support.closing import closed_after_test

T = TypeVar("T")
SOURCE = 1


def sha(text: str) -> str:
    """sha256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def seen(path: str, text: str | None, inode: int | None = None, born_ns: int | None = None) -> Observation:
    """The result of a scan: a file with this text, or nothing. By default every path has an inode of its own.

    The ctime of every file is 1; ``born_ns`` is the birth time of its inode.
    """
    if text is None:
        return Observation(path, ABSENT)
    number = zlib.crc32(path.encode()) if inode is None else inode
    stored = Fingerprint(len(text), 1, 1, number, sha(text)[:32])
    return Observation(path, file_side(sha(text), len(text)), stored, born_ns=born_ns)


def upsert(path: str, text: str, position: int, operation: str | None = None) -> Upsert:
    """The feed says a path holds this text."""
    return Upsert(path, sha(text), position, text.encode(), operation)


def delete(path: str, position: int, operation: str | None = None) -> Delete:
    """The feed says a path holds nothing."""
    return Delete(path, position, operation)


def head(path: str, text: str, *older: str) -> RemoteHead:
    """The server holds this text, and held these before, the newest first."""
    versions = tuple(RemoteVersion(sha(t), None, None) for t in (text, *older))
    return RemoteHead(path, sha(text), text.encode(), versions=versions)


def text_of(supply: Supply) -> bytes:
    """The bytes of a change that came inline."""
    assert isinstance(supply, Inline)
    return supply.content


def conflict(identifier: str, path: str, base: str | None, local: str | None, remote: str | None) -> RemoteConflict:
    """A conflict as the server lists it."""
    hashes = [None if text is None else sha(text) for text in (base, local, remote)]
    return RemoteConflict(
        identifier, path, hashes[0], hashes[1], hashes[2],
        local_text=None if local is None else local.encode(), remote_text=None if remote is None else remote.encode(),
    )  # fmt: skip


def _asked(question: e.FetchHead | e.FetchHeadsAndConflicts) -> tuple[str, ...]:
    return (question.path,) if isinstance(question, e.FetchHead) else question.paths


class EngineHarness:
    """Plays executor, disk and server. ``effects`` are those nobody has taken yet."""

    def __init__(self, *, hub: bool = False, mode: Mode = Mode.BIDIRECTIONAL, deletes_quiet: float = 0.0) -> None:
        self.index = closed_after_test(open_index(":memory:"))
        self.setup = EngineConfig(
            SOURCE,
            mode,
            RunMode.ONE_SHOT,
            ordered_feed=hub,
            item_results=hub,
            keeps_history=hub,
            expected_hash=hub,
            conflict_events=True,
            deletes_quiet=deletes_quiet,
        )
        self.now = 1.8e9
        self.rng = random.Random(1)
        self.cursor = 0
        self.listing: tuple[RemoteFile, ...] | None = None
        """What the server lists; None: just what the remote tree holds."""
        self.gone: set[str] = set()
        """Paths whose files are gone, as the server says when it is asked."""
        self.listed: tuple[RemoteConflict, ...] | None = None
        """The conflicts the server lists; None: just those the engine knows."""
        self.effects: list[e.Effect | e.CloseConflict | e.TextForTrash] = []
        self.listings = 0
        """How many listings were asked for."""
        self.digests = 0
        """How many digests were asked for."""
        self.restart()

    def restart(self) -> None:
        """A new process over the same index."""
        self.engine = Engine(self.index, self.setup, self.rng)
        self.effects = []
        self.tell(m.Started())
        self.take(e.Recover)

    def tell(self, *messages: m.Message) -> None:
        """Deliver messages in one step."""
        for effect in self.engine.step(self.now, *messages):
            # Each of what is carried out together is taken alone.
            match effect:
                case e.CloseConflicts(closes):
                    self.effects += closes
                case e.WriteToTrash(texts):
                    self.effects += texts
                case _:
                    self.effects.append(effect)

    def take(self, kind: type[T]) -> T:
        """The one effect of this kind that is asked for; it counts as taken."""
        found = [effect for effect in self.effects if isinstance(effect, kind)]
        assert len(found) == 1, (kind, self.effects)
        self.effects.remove(found[0])
        return found[0]

    def wants(self, kind: type[e.Effect | e.CloseConflict | e.TextForTrash]) -> bool:
        """Whether an effect of this kind is asked for."""
        return any(isinstance(effect, kind) for effect in self.effects)

    def begin(self, here: dict[str, str], *feed: FeedEvent) -> None:
        """Look at the folder, read the feed to its end, and be done with the verification of the start."""
        self.tell(m.ChangesApplied(()))
        self.look(here)
        self.feed(*feed)

    def look(self, here: Mapping[str, str | None]) -> None:
        """A whole look."""
        self.take(e.ScanFolder)
        self.tell(m.ScanResults(tuple(seen(path, text) for path, text in here.items())), m.ScanFinished())

    def saves(self, path: str, text: str | None) -> None:
        """The user's edit, as a look finds it."""
        self.tell(m.ScanResults((seen(path, text),)))

    def feed(self, *events: FeedEvent) -> None:
        """Have the feed read to its end: these events, then none. The verification finds what the trees hold."""
        self.engine._ctx.request_drain()
        self.tell(m.TimePassed())
        self.stands()
        self._page(*events)
        self.rest()

    def stands(self) -> None:
        """The server still is the one whose feed was read, paused or not as it was."""
        while self.wants(e.CheckFeedContinuity):
            self.take(e.CheckFeedContinuity)
            self.tell(m.FeedContinuityChecked(behind=False, paused=self.engine._ctx.source_row.remote_paused))

    def _page(self, *events: FeedEvent) -> None:
        poll = next(effect for effect in self.effects if isinstance(effect, e.Poll))
        self.effects.remove(poll)
        self.cursor = max([self.cursor, *(event.position for event in events)])
        page = Page(events, str(self.cursor), bool(events), str(self.cursor))
        self.tell(m.PageArrived(poll.number, page))

    def rest(self) -> None:
        """Answer what is only asked to keep in step, until nothing of that is asked any more."""
        while True:
            self.stands()
            if self.wants(e.Poll):
                self._page()
            elif self.wants(e.FetchStateDigest):
                self.take(e.FetchStateDigest)
                self.digests += 1
                files = [(row.path, row.remote.hash) for row in self.index.trees.all(SOURCE) if row.remote.hash]
                listed = files if self.listing is None else [(f.path, f.hash or "") for f in self.listing]
                self.tell(m.StateDigestArrived(state_digest([listed])))
            elif self.wants(e.FetchListing):
                self.take(e.FetchListing)
                self.listings += 1
                rows = [row for row in self.index.trees.all(SOURCE) if row.remote.hash]
                held = tuple(RemoteFile(row.path, row.remote.hash or "") for row in rows)
                self.tell(m.ListingArrived(self.listing if self.listing is not None else held, last=True))
            elif self.wants(e.CheckDeleted):
                asked = self.take(e.CheckDeleted)
                self.tell(m.DeletedChecked(tuple(file for file in asked.files if file[0] in self.gone)))
            elif self.wants(e.FetchConflicts):
                self.take(e.FetchConflicts)
                self.tell(m.ConflictsArrived(self.listed if self.listed is not None else self._known_conflicts()))
            else:
                return

    def _known_conflicts(self) -> tuple[RemoteConflict, ...]:
        return tuple(
            RemoteConflict(identifier, c.path, c.base_hash, c.local_hash, c.remote_hash)
            for c in self.conflicts()
            for identifier in c.server_ids
        )

    def answer(self, *results: Result, found: RemoteConflict | None = None) -> list[str]:
        """Answer the batch that is asked for, its operations in order; their ids."""
        return self.answers(self.take(e.Send), *results, found=found)

    def answers(self, send: e.Send, *results: Result, found: RemoteConflict | None = None) -> list[str]:
        """Answer a batch that was taken."""
        outcomes = []
        for parcel, result in zip(send.parcels, results, strict=True):
            told = found if result is Result.CONFLICT else None
            outcomes.append(Outcome(parcel.operation.id, result, told))
        self.tell(m.BatchAnswered(send.number, tuple(outcomes)))
        return [parcel.operation.id for parcel in send.parcels]

    def land(self, *texts: str | None, landing: ApplyOutcome = ApplyOutcome.DONE) -> None:
        """Answer the changes to the folder that are asked for: what stands there afterwards."""
        jobs = self.take(e.ApplyChanges).jobs
        landed = [ApplyResult(i.id, landing, seen(i.path, text)) for (i, _), text in zip(jobs, texts, strict=True)]
        self.tell(m.ChangesApplied(tuple(landed)))

    def closes(self, conflict: int) -> None:
        """The server has closed a conflict; the feed says nothing of it yet."""
        self.tell(m.ConflictCloseAnswered(conflict))
        self.rest()

    def shows(self, path: str, found: RemoteHead | None, *conflicts: RemoteConflict) -> None:
        """Answer the question for a head."""
        asked = next(
            x for x in self.effects if isinstance(x, e.FetchHead | e.FetchHeadsAndConflicts) and path in _asked(x)
        )
        self.effects.remove(asked)
        left = tuple(other for other in _asked(asked) if other != path)
        if left:
            self.effects.append(e.FetchHeadsAndConflicts(left))
        self.tell(m.HeadArrived(path, found, conflicts if isinstance(asked, e.FetchHeadsAndConflicts) else None))

    def row(self, path: str) -> PathRow:
        """The trees of a path."""
        return self.index.trees.get(SOURCE, [path])[path]

    def trees(self, path: str) -> tuple[str | None, str | None, str | None]:
        """base, local, remote hashes."""
        row = self.row(path)
        return row.base.hash, row.local.hash, row.remote.hash

    def conflicts(self) -> list[Conflict]:
        """What is not closed."""
        return self.index.conflicts.live(SOURCE)

    def agreed(self, path: str, text: str) -> None:
        """Bring a path to where both sides hold this text: pushed, acknowledged and echoed."""
        ids = self.answer(Result.APPLIED)
        self.feed(upsert(path, text, 10, ids[0]))
        assert self.trees(path) == (sha(text),) * 3


def started(**setup: object) -> EngineHarness:
    """a.md with the text "one" on both sides, at rest."""
    harness = EngineHarness(**setup)  # type: ignore[arg-type]
    harness.begin({"a.md": "one"})
    harness.agreed("a.md", "one")
    assert not harness.effects, harness.effects
    return harness


def drain(harness: EngineHarness, *events: FeedEvent) -> None:
    """The feed is read to its end, and holds these events."""
    harness.feed(*events)
