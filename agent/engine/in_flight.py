"""State of the running process: effects in flight, and what must be remembered between two messages.

Nothing here survives the process. Each field is written by one part of the engine, or by the methods below only.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from typing import Final

from msgspec import Struct, field

from agent.core.events import Span
from agent.core.feed import still_unread
from agent.core.model import Intent
from agent.core.quiet import PendingChange, report
from agent.engine.births import Births
from agent.engine.large_contents import LargeContents
from agent.engine.large_reads import LargeReads
from agent.engine.phases import RecoveryPhase, ScanPhase
from agent.index.operations import StoredOperation

CONTENTS_LIMIT: Final = 8 << 20
"""Bytes of texts waiting to be installed, from which on no further page of the feed is asked for."""


class PollCall(Struct, frozen=True):
    """A poll in flight: the position it was asked with, and how long the server may wait (seconds)."""

    state: str | None
    wait: float


class HeldDeletes(Struct, frozen=True):
    """Deletes that wait for a person: the plan's id and (path, base hash) of each."""

    plan: str
    files: frozenset[tuple[str, str]]


class SyncCounters(Struct):
    """Number of files since the process started; a pass reports the difference."""

    pushed: int = 0
    pulled: int = 0
    deleted_remote: int = 0
    deleted_local: int = 0
    conflicts_opened: int = 0


class InFlight(Struct):
    """Effects in flight, and state between messages. Times are seconds since the epoch.

    The local side:
        recovery, scan: phases of recovery and whole scans.
        scan_began: begin of the last whole scan or recovery.
        scanning_paths: single paths being scanned.
        reading: large files being read.
        changed_paths: paths the watcher reported; scanned once they are quiet.
        racy: paths modified within 2 s of their scan: the time when their stat becomes proof.
        confirmed_racy: racy paths that are scanned again after that time.
        unstable: paths that changed while they were read.
        births: birth times of files that are new here.
        self_modified: paths the agent itself changed during a scan; the scan's result for them may be old.
        root_error: why the folder cannot be scanned or changed.
        lost_mounts: mount points below the root that are not mounted now.

    The feed:
        continuity_known: the server still holds the events that were read; asked again after each failure.
        checking_continuity: that question is in flight.
        polls, next_poll: polls in flight by number, and the next number.
        drain_goal, drained: the feed must be read to its end by a poll of at least ``drain_goal``; ``drained`` did it.
        echo_goal: the first poll that can return the events of everything acknowledged so far.
        newest_position: the newest event seen by this process.
        drained_at, synced_at: last time the feed was read to its end, and last time both sides agreed. Kept in memory,
            so that an idle source writes nothing.
        acknowledged_spans: positions of our own acknowledged operations, rising. The feed need not return them.

    Downloads:
        contents: texts to install soon: path to (hash, text).
        unclassified: paths of ``contents`` whose row or text changed since the text was last checked for use.
        latest: paths of ``contents`` with no later event, as the server says.
        detached: intents begun before their base was dropped; their outcome makes no new base.
        large: rows with work whose content travels as a transfer of its own.
        fetching: ids of downloads that are running.

    Uploads:
        batch, next_batch: operations in flight by id, never two of one path, and the next batch's number.
        recalling: operations in doubt about which the server is asked.
        settle_goal: operation id to the poll that must have drained before the operation in doubt is judged.
        misses: path to the number of its misses in a row (see ``core.backoff.resend_delay``).

    Questions to the server:
        asking: path to (remote hash, position) at the time its head was asked for. A later answer is ignored.
        closing: conflicts being closed on the server.
        conflicts_wanted, listing_conflicts, conflicts_asked: the list is wanted; is in flight; the ids known by then.
        changed_during_check: paths that changed since the running verification began.

    The whole source:
        writing_to_trash, keeping_downloads: ids of texts and of large downloads on their way into the trash.
        retry_at: path to the time of its next try.
        paused_until: end of a person's pause.
        held_deletes: deletes that wait for a person.
        delete_check_pending: due deletes were not judged yet; none is carried out.
        first_delete_at, last_delete_at: time of the first and the last delete that became due since the last judgement.
        restoring: paths whose text is being fetched, or whose file is read, before a text is restored there.
        changed_since_rest: a row was written since the source was last at rest.
        waiting_passes, pass_began: tickets of one-shot passes, and their begin.
        wake_at: the timer that is set.
    """

    recovery: RecoveryPhase = RecoveryPhase.NOT_STARTED
    scan: ScanPhase = ScanPhase.FIRST_DUE
    scan_began: float = 0.0
    scanning_paths: set[str] = field(default_factory=set)
    reading: LargeReads = field(default_factory=LargeReads)
    changed_paths: dict[str, PendingChange] = field(default_factory=dict)
    racy: dict[str, float] = field(default_factory=dict)
    confirmed_racy: set[str] = field(default_factory=set)
    unstable: set[str] = field(default_factory=set)
    births: Births = field(default_factory=Births)
    self_modified: set[str] = field(default_factory=set)
    root_error: str | None = None
    lost_mounts: frozenset[str] = frozenset()

    continuity_known: bool = False
    checking_continuity: bool = False
    polls: dict[int, PollCall] = field(default_factory=dict)
    next_poll: int = 1
    next_poll_at: float = 0.0
    drain_goal: int = 1
    drained: int = 0
    echo_goal: int = 0
    last_event_at: float = 0.0
    newest_position: int = 0
    drained_at: float | None = None
    synced_at: float | None = None
    acknowledged_spans: list[Span] = field(default_factory=list)

    contents: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    contents_size: int = 0
    unclassified: set[str] = field(default_factory=set)
    latest: set[str] = field(default_factory=set)
    intents: dict[str, Intent] = field(default_factory=dict)
    applying: set[str] = field(default_factory=set)
    detached: set[str] = field(default_factory=set)
    large: LargeContents = field(default_factory=LargeContents)
    fetching: set[str] = field(default_factory=set)

    batch: dict[str, StoredOperation] = field(default_factory=dict)
    batches: dict[int, tuple[str, ...]] = field(default_factory=dict)
    next_batch: int = 1
    recalling: set[str] = field(default_factory=set)
    settle_goal: dict[str, int] = field(default_factory=dict)
    misses: dict[str, int] = field(default_factory=dict)

    asking: dict[str, tuple[str | None, int]] = field(default_factory=dict)
    closing: set[int] = field(default_factory=set)
    conflicts_wanted: bool = False
    conflicts_asked: Set[str] = frozenset()
    listing_conflicts: bool = False
    changed_during_check: set[str] = field(default_factory=set)

    writing_to_trash: set[str] = field(default_factory=set)
    keeping_downloads: set[str] = field(default_factory=set)
    retry_at: dict[str, float] = field(default_factory=dict)
    paused_until: float = 0.0
    held_deletes: HeldDeletes | None = None
    delete_check_pending: bool = False
    first_delete_at: float | None = None
    last_delete_at: float = 0.0
    restoring: set[str] = field(default_factory=set)
    changed_since_rest: bool = True
    waiting_passes: list[int] = field(default_factory=list)
    pass_began: float = 0.0
    wake_at: float | None = None

    @property
    def pushing(self) -> set[str]:
        """The paths of ``batch``."""
        return {entry.operation.path for entry in self.batch.values()}

    # Scans

    def request_scan(self) -> None:
        """Ask for a whole scan; one that is running does not count, it may have passed the place of the change."""
        self.scan = self.scan.requested()

    def scan_later(self, path: str, moment: float) -> None:
        """Scan a racy path again at ``moment``: its stat proves nothing before."""
        self.racy[path] = moment
        self.confirmed_racy.discard(path)

    def path_changed(self, path: str, now: float, *, finished: bool = False, repeated: bool = False) -> None:
        """Have a path scanned once it is quiet; see ``PendingChange`` for the two flags."""
        self.changed_paths[path] = report(self.changed_paths.get(path), now, finished=finished, repeated=repeated)

    def folder_failed(self, error: str | None, now: float) -> None:
        """Record that the folder could not be reached, so that recovery and scans are tried again later."""
        self.root_error = error
        self.scan_began = now

    def mounts_found(self, known: frozenset[str], present: frozenset[str]) -> frozenset[str]:
        """Record the mount points found by a scan; returns those lost since the last one."""
        before, self.lost_mounts = self.lost_mounts, known - present
        return self.lost_mounts - before

    def scans_idle(self) -> None:
        """End the time in which a scan may have read a path before our own change of it."""
        if not self.scan.running and not self.scanning_paths and not self.reading:
            self.self_modified.clear()

    # The folder

    def detach_intents(self) -> None:
        """Record that bases were dropped: the outcomes of changes in flight make no new base."""
        self.detached.update(self.intents)

    def begin_intents(self, intents: Iterable[Intent]) -> None:
        """Record changes to the folder as in flight."""
        for intent in intents:
            self.intents[intent.id] = intent
            self.applying.update(_paths_of(intent))

    def end_intent(self, identifier: str) -> Intent | None:
        """Remove a change from those in flight; None if it is unknown. Never two of them are on one path."""
        intent = self.intents.pop(identifier, None)
        if intent is not None:
            self.applying.difference_update(_paths_of(intent))
            if self.scan.running or self.scanning_paths or self.reading:
                self.self_modified.update(_paths_of(intent))
        return intent

    def keep_content(self, path: str, digest: str, content: bytes) -> None:
        """Keep a text in memory; it replaces an older one of the path."""
        self.drop_content(path)
        self.contents[path] = (digest, content)
        self.contents_size += len(content)
        self.unclassified.add(path)

    def drop_content(self, path: str) -> None:
        """Remove the text of a path from memory."""
        old = self.contents.pop(path, None)
        if old is not None:
            self.contents_size -= len(old[1])
            self.unclassified.discard(path)
            self.latest.discard(path)

    # Uploads

    def begin_batch(self, entries: Iterable[StoredOperation]) -> int:
        """Record a batch as in flight; returns its number."""
        number, sent = self.next_batch, {entry.operation.id: entry for entry in entries}
        self.batch.update(sent)
        self.batches[number] = tuple(sent)
        self.next_batch += 1
        return number

    def end_batch(self, number: int) -> dict[str, StoredOperation]:
        """Remove a batch from those in flight; returns its operations by id, none if it is unknown."""
        return {identifier: self.batch.pop(identifier) for identifier in self.batches.pop(number, ())}

    def missed(self, path: str) -> int:
        """Count a miss of a path; returns the number of its misses in a row."""
        self.misses[path] = self.misses.get(path, 0) + 1
        return self.misses[path]

    def clear_misses(self, path: str) -> None:
        """Record that a path changed or was sent: its next upload is not delayed."""
        self.misses.pop(path, None)

    # Questions to the server

    def ask_head(self, path: str, remote_hash: str | None, position: int) -> None:
        """Record that the head of a path is asked for, with the remote side as it is now."""
        self.asking[path] = (remote_hash, position)

    def head_answered(self, path: str) -> tuple[str | None, int] | None:
        """Return the remote side at the time of the question; None if there was no question."""
        return self.asking.pop(path, None)

    def request_conflicts(self) -> None:
        """Ask for the server's list of open conflicts."""
        self.conflicts_wanted = True

    def forget_continuity(self) -> None:
        """Ask again if the server still holds what was read of its feed: it may be an older copy of itself."""
        self.continuity_known = False

    def restart_drain(self, *, renumbered: bool = False) -> None:
        """Forget that the feed was read to its end: it is read from its beginning again, perhaps with new positions."""
        self.drained = 0
        self.newest_position = 0 if renumbered else self.newest_position

    def acknowledge(self, positions: Iterable[int]) -> None:
        """Record the positions of our own events, so that the feed need not return them."""
        self.acknowledged_spans = _joined([*self.acknowledged_spans, *(Span(at, at) for at in positions)])

    def forget_acknowledged(self, *, at_end: bool = True) -> None:
        """Forget own positions as ``still_unread`` says; all by default, as the server may have lost some of them."""
        self.acknowledged_spans = still_unread(self.acknowledged_spans, self.newest_position, at_end=at_end)

    def mark_changed(self, paths: Iterable[str]) -> None:
        """Record paths that changed during a verification, so that its listing does not count for them."""
        self.changed_during_check.update(paths)

    # Retries

    def defer(self, path: str, until: float) -> None:
        """Put off work on a path."""
        self.retry_at[path] = until

    def clear_deferral(self, path: str) -> None:
        """Allow work on a path at once."""
        self.retry_at.pop(path, None)

    def clear_deferrals(self) -> None:
        """Allow work on every path at once."""
        self.retry_at.clear()

    def row_written(self, paths: Iterable[str]) -> None:
        """Record that rows were written: texts in memory for these paths must be checked for use again."""
        self.changed_since_rest = True
        if self.contents:
            self.reclassify(paths)

    def reclassify(self, paths: Iterable[str]) -> None:
        """Have the texts of these paths checked for use again."""
        self.unclassified.update(path for path in paths if path in self.contents)

    def take_unclassified(self) -> set[str]:
        """Return the paths whose texts must be checked, and forget them."""
        paths, self.unclassified = self.unclassified & self.contents.keys(), set()
        return paths

    # Deletes

    def delete_due(self, now: float) -> None:
        """Record that a delete became due: none is carried out before all are judged together."""
        self.first_delete_at = now if self.first_delete_at is None else self.first_delete_at
        self.last_delete_at = now
        self.delete_check_pending = True

    def deletes_judged(self, held: HeldDeletes | None, *, pending: bool) -> None:
        """Record the judgement of the due deletes; ``pending``: it must be repeated before any is carried out."""
        self.held_deletes = held
        self.delete_check_pending = pending
        if not pending:
            self.first_delete_at = None

    def begin_restore(self, paths: Iterable[str]) -> None:
        """Record paths to be restored; nothing else is done to them meanwhile."""
        self.restoring.update(paths)

    def end_restore(self, path: str) -> None:
        """Record that a restore has its change to the folder, or was given up."""
        self.restoring.discard(path)

    # Passes

    def begin_pass(self, ticket: int, now: float) -> None:
        """Record that a person waits for a pass. Only the newest begin counts."""
        self.waiting_passes.append(ticket)
        self.pass_began = now

    def end_passes(self) -> list[int]:
        """Return the tickets of the passes that are over, and forget them."""
        tickets, self.waiting_passes = self.waiting_passes, []
        return tickets

    def event_seen(self, now: float) -> None:
        """Record the time of an event, or of a start: polls are frequent right after it."""
        self.last_event_at = now

    def clock_went_back(self, before: float, now: float) -> None:
        """Forget every moment in the future of a clock that was set back: it may be years away."""
        self.clear_deferrals()
        self.next_poll_at = now
        self.last_event_at = min(self.last_event_at, now)
        self.changed_paths = dict.fromkeys(self.changed_paths, PendingChange(now, now))
        self.racy = dict.fromkeys(self.racy, now)
        self.scan_began = now
        self.last_delete_at = now
        self.first_delete_at = None if self.first_delete_at is None else now
        self.wake_at = None
        self.request_scan()
        if now < self.paused_until < float("inf"):
            self.paused_until -= before - now


def _paths_of(intent: Intent) -> tuple[str, ...]:
    return (intent.path,) if intent.origin is None else (intent.path, intent.origin)


def _joined(spans: list[Span]) -> list[Span]:
    """Merge adjacent spans; the result rises."""
    joined: list[Span] = []
    for first, last in sorted(spans):
        joined.append(Span(joined.pop().first if joined and joined[-1].last + 1 == first else first, last))
    return joined
