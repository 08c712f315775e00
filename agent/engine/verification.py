"""The verification: the server's listing is compared with the remote tree, because a feed may have skipped events.

The feed is read to its end, the files are listed, and the feed is read to its end again. Only paths without a change
in between are compared. If a path differs, its head is fetched; if a path is missing, it counts as deleted after a
second listing. Where the server lists no hashes, a file whose mark moved since its head was fetched differs.

A server that hides files proves no delete by its listing. It is asked about each missing file; one of which it says
nothing stays, and is shown to the person. After a lost cursor two listings count: no feed repeats the deletes.

A server may state one digest of its files instead. Where it equals that of the remote tree, nothing is listed.
"""

from __future__ import annotations

import enum
from collections.abc import Set

from msgspec.structs import replace

from agent.core import paths
from agent.core.model import ABSENT, Reason, Side, side_of
from agent.core.reconcile import Step
from agent.core.remote_records import RemoteFile
from agent.core.version import is_same_version
from agent.engine.config import RunMode
from agent.engine.conflicts import ConflictTracker
from agent.engine.context import EngineContext
from agent.engine.effects import CheckDeleted, FetchListing, FetchStateDigest
from agent.engine.messages import Call, DeletedChecked, ListingArrived, StateDigestArrived
from agent.engine.path_store import PathStore
from agent.index.activity import ActivityKind
from agent.index.operations import OperationState, StoredOperation
from agent.index.problems import PathProblem, ProblemOrigin
from agent.index.trees import PathRow

_HEADS_AT_ONCE = 4
_SECOND_LISTING_SECONDS = 1.0
"""Delay before the second listing that confirms a missing file."""
_REVISIONS_AT_ONCE = 5000
"""Rows that one verification gives a newer revision of the same content; the next one continues."""
_HEAD_FAILED_SECONDS = 5.0
"""Delay before the next verification if a head could not be fetched."""


class VerificationPhase(enum.Enum):
    """Phase of a verification."""

    IDLE = "idle"
    DRAIN_BEFORE = "drain_before"
    DIGEST = "digest"
    LISTING = "listing"
    DRAIN_AFTER = "drain_after"
    CHECKING = "checking"
    ASKING = "asking"


class Verification:
    """Runs after a start, every hour, and after an answer that leaves doubt."""

    def __init__(self, ctx: EngineContext, path_store: PathStore, conflict_tracker: ConflictTracker) -> None:
        self._ctx = ctx
        self._path_store = path_store
        self._conflicts = conflict_tracker
        self._phase = VerificationPhase.IDLE
        self._goal = 0
        self._wanted_at: float | None = 0.0
        self._differing: list[str] = []
        self._marks: dict[str, str] = {}
        """Listed marks of differing paths, confirmed once their head arrived."""
        self._missing_once: set[str] = set()
        self._unlisted: set[str] = set()
        """Paths that the newest listing lacks, while the server is asked about them."""
        self._is_cursor_lost = False
        """True until the listings after a lost cursor were compared: the feed will not report its deletes."""
        self._acked_before: set[str] = set()
        self._digest: str | None = None
        """The digest that the server stated; None if its files are listed."""

    @property
    def pending(self) -> bool:
        """True if one is under way or due."""
        return self._phase is not VerificationPhase.IDLE or self._wanted_at is not None

    def request(self) -> None:
        """Verify as soon as possible. One under way does not count: it may have listed before the reason arose."""
        self._wanted_at = self._ctx.now

    def begin_anew(self) -> None:
        """Verify as soon as possible after a lost cursor. No earlier listing counts: a missing file needs two new ones.

        The feed will not repeat the deletes, so a missing file counts as deleted on every server.
        """
        self._is_cursor_lost = True
        self._phase = VerificationPhase.IDLE
        self._missing_once.clear()
        self.request()

    def plan(self) -> None:
        """Take the next step if it is due."""
        ctx = self._ctx
        if not ctx.in_flight.scan.complete or not ctx.may_call(Call.LISTING):
            return
        if self._phase is VerificationPhase.IDLE:
            self._begin_if_due()
        elif self._phase is VerificationPhase.DRAIN_BEFORE and ctx.in_flight.drained >= self._goal:
            self._ask_what_is_there()
        elif self._phase is VerificationPhase.DRAIN_AFTER and ctx.in_flight.drained >= self._goal:
            self._judge()
        elif self._phase is VerificationPhase.ASKING:
            self._ask()

    def _begin_if_due(self) -> None:
        ctx = self._ctx
        if self._wanted_at is None and ctx.setup.run_mode is RunMode.DAEMON:
            due = (ctx.source_row.verified_at or 0.0) + ctx.setup.verify_every
            if ctx.now < due:
                ctx.wake(due)
                return
        elif self._wanted_at is None:
            return
        elif ctx.now < self._wanted_at:
            ctx.wake(self._wanted_at)
            return
        self._wanted_at = None
        self._digest = None
        self._phase = VerificationPhase.DRAIN_BEFORE
        ctx.in_flight.changed_during_check.clear()
        self._acked_before = {
            entry.operation.id
            for entries in ctx.open_operations.values()
            for entry in entries
            if entry.state is OperationState.ACKED
        }
        ctx.in_flight.forget_continuity()
        if not (ctx.setup.ordered_feed and ctx.setup.conflict_events):
            ctx.in_flight.request_conflicts()
        self._goal = ctx.request_drain()

    def _ask_what_is_there(self) -> None:
        # While operations are open the two sides differ, and a digest would only come before the listing.
        if self._ctx.setup.state_digest and not self._ctx.open_operations:
            self._phase = VerificationPhase.DIGEST
            self._ctx.emit(FetchStateDigest())
        else:
            self._fetch_listing()

    def _fetch_listing(self) -> None:
        self._phase = VerificationPhase.LISTING
        self._ctx.index.listing.clear(self._ctx.source)
        self._ctx.emit(FetchListing())

    def _judge(self) -> None:
        """Compare what the server stated. A digest that differs proves nothing: it only leads to the listing."""
        digest, self._digest = self._digest, None
        if digest is None:
            self._compare()
        elif digest == self._ctx.index.trees.remote_digest(self._ctx.source):
            self._differing = []
            self._missing_once.clear()
            self._phase = VerificationPhase.ASKING
        else:
            self._fetch_listing()
            return
        if self._phase is VerificationPhase.ASKING:
            self._ask()

    def on_digest(self, message: StateDigestArrived) -> None:
        """Take in the digest of the server's files."""
        if self._phase is VerificationPhase.DIGEST:
            self._digest = message.digest
            self._answered()

    def _answered(self) -> None:
        """Read the feed to its end: what changed before the answer is known then."""
        ctx = self._ctx
        ctx.retry_state.answered(Call.LISTING)
        # A server that was restored from an older copy meanwhile answered from older files: ask before they count.
        ctx.in_flight.forget_continuity()
        self._phase = VerificationPhase.DRAIN_AFTER
        self._goal = ctx.request_drain()

    def on_listing(self, message: ListingArrived) -> None:
        """Take in rows of the listing."""
        ctx = self._ctx
        if self._phase is not VerificationPhase.LISTING:
            return
        ctx.index.listing.add(ctx.source, message.files)
        if message.last:
            self._answered()

    def on_head_failed(self) -> None:
        """Verify again after a while: the server gave no head. A refused head waits for the next verification."""
        if self._phase is VerificationPhase.ASKING:
            self._wanted_at = self._ctx.now + _HEAD_FAILED_SECONDS

    def on_server_went_back(self) -> None:
        """Halt: the server was restored from an older copy, so its files are older than those the folder received.

        None of them may count as an edit or a delete before a person has looked.
        """
        ctx = self._ctx
        self._phase = VerificationPhase.IDLE
        self._wanted_at = None
        text = (
            "the server was restored from an older copy; "
            "raven-agent resume merges both sides like a new link; nothing is deleted"
        )
        ctx.update_source_row(halted=text, rejoin=True, verified_at=ctx.now)
        ctx.record_activity("", ActivityKind.HALTED, text)

    def on_listing_failed(self) -> None:
        """Discard a listing that broke off, and verify again."""
        self._phase = VerificationPhase.IDLE
        self.request()

    def _quiet(self, path: str) -> bool:
        ctx = self._ctx
        return (
            path not in ctx.in_flight.changed_during_check and path not in ctx.open_operations and not ctx.is_busy(path)
        )

    def _give_up_echoes(self) -> None:
        """Stop waiting for events that the feed skipped: acknowledged before it was read to its end twice.

        The listing judges the suspects of such an operation: if our text is the head, it replaced them unseen.
        """
        ctx = self._ctx
        listed = ctx.index.listing.files(ctx.source, [p for p, es in ctx.open_operations.items() if es])
        for path, entries in list(ctx.open_operations.items()):
            skipped = [e for e in entries if e.operation.id in self._acked_before and e.state is OperationState.ACKED]
            for entry in skipped:
                ctx.move_operations([entry], OperationState.DONE)
                self._judge_skipped(path, entry, listed.get(path))

    def _judge_skipped(self, path: str, entry: StoredOperation, listed: RemoteFile | None) -> None:
        if listed is not None and listed.hash is None:
            # Its head is asked for if the mark moved, as for every other path.
            return
        held = listed.version if listed else None
        row = self._path_store.row(path)
        is_newest = row.remote.hash == entry.operation.hash and self._quiet(path)
        if is_newest and is_same_version(held, entry.operation.base_version):
            # The server does not know the acknowledged version any more: the listing shows the one before it. Without
            # a base that is no edit, so the folder's file is not set back.
            self._path_store.change([replace(row, base=ABSENT, remote=side_of(held))])
        elif (held.hash if held else None) == entry.operation.hash:
            for suspect in entry.suspects:
                self._conflicts.lost_update(row, entry.operation, suspect.version)

    def _compare(self) -> None:
        ctx = self._ctx
        listing = ctx.index.listing
        self._give_up_echoes()
        self._differing = [
            path for path in listing.differing(ctx.source) if self._quiet(path) and paths.check(path) is None
        ]
        self._drop_deletes_of_listed()
        self._take_newer_revisions()
        self._keep_marks()
        missing = {path for path in listing.missing(ctx.source) if self._quiet(path)}
        self._phase = VerificationPhase.ASKING
        if not ctx.setup.hides_files or self._is_cursor_lost:
            self._remove(missing)
        elif missing:
            self._phase = VerificationPhase.CHECKING
            self._unlisted = missing
            rows = self._path_store.rows(sorted(missing)).values()
            ctx.emit(CheckDeleted(tuple((row.path, row.remote.remote_id) for row in rows if row.remote.remote_id)))
        else:
            self._clear_problems(Reason.NOT_LISTED)
        listing.clear(ctx.source)

    def _remove(self, missing: set[str]) -> None:
        """Take files that two listings lack for deleted, and those that one lacks for the next listing."""
        gone = missing & self._missing_once
        self._missing_once = missing - gone
        rows = self._path_store.rows(sorted(gone))
        self._path_store.change(replace(row, remote=ABSENT) for row in rows.values())
        if self._missing_once:
            self._wanted_at = self._ctx.now + _SECOND_LISTING_SECONDS
        else:
            self._is_cursor_lost = False

    def on_deleted_checked(self, message: DeletedChecked) -> None:
        """Take in which of the files that the server no longer lists are gone by its own word.

        Both sides keep the others: a right may have been taken away.
        """
        ctx = self._ctx
        if self._phase is not VerificationPhase.CHECKING:
            return
        ctx.retry_state.answered(Call.LISTING)
        rows = self._path_store.rows([path for path, _ in message.gone])
        # An event that came meanwhile may have put another file there.
        gone = [
            rows[path] for path, known in message.gone if self._quiet(path) and rows[path].remote.remote_id == known
        ]
        self._path_store.change(replace(row, remote=ABSENT) for row in gone)
        missing = {path for path in self._unlisted - rows.keys() if self._quiet(path)}
        for path in missing:
            if not any(p.reason is Reason.NOT_LISTED for p in ctx.problems.get(path, ())):
                text = "the server does not show it any more and reported no delete"
                ctx.set_problem(PathProblem(path, ProblemOrigin.REMOTE, Reason.NOT_LISTED, text, ctx.now))
        self._clear_problems(Reason.NOT_LISTED, missing)
        self._phase = VerificationPhase.ASKING
        self._ask()

    def _drop_deletes_of_listed(self) -> None:
        """Drop every delete of a file that the server lists again with the agreed text.

        An earlier listing lacked the file. Whichever of the two is wrong, no delete is based on the older one. All of
        them are dropped in one step: asking for one head after another would leave some of them due meanwhile.
        """
        rows = self._path_store.rows(self._differing)
        listed = self._ctx.index.listing.files(self._ctx.source, self._differing)
        again = [
            replace(row, remote=_agreed_again(row, listed[row.path]))
            for row in rows.values()
            if row.step is Step.PULL_DELETE and listed[row.path].hash in (None, row.base.hash)
        ]
        self._path_store.change(again)
        restored = {row.path for row in again if listed[row.path].hash is not None}
        self._differing = [path for path in self._differing if path not in restored]

    def _take_newer_revisions(self) -> None:
        """Give rows the listed revision of the content they have: the server left it and came back to it."""
        ctx = self._ctx
        listed = {
            file.path: file
            for file in ctx.index.listing.with_newer_revision(ctx.source, _REVISIONS_AT_ONCE)
            if self._quiet(file.path)
        }
        rows = self._path_store.rows(list(listed))
        self._path_store.change(replace(row, remote=_listed_side(row, listed[path])) for path, row in rows.items())

    def _keep_marks(self) -> None:
        ctx = self._ctx
        # A head that was asked for before the listing may be older than the listed mark.
        asked_now = [path for path in self._differing if path not in ctx.in_flight.asking]
        listed = ctx.index.listing.files(ctx.source, asked_now)
        self._marks = {path: file.mark for path, file in listed.items() if file.mark is not None and file.hash is None}
        ctx.index.listing.drop_old_marks(ctx.source)

    def on_head(self, path: str) -> None:
        """Confirm the listed mark of a path: its head was asked for after the listing, and is known now."""
        mark = self._marks.pop(path, None)
        if mark is not None:
            self._ctx.index.listing.confirm(self._ctx.source, path, mark)

    def _ask(self) -> None:
        ctx = self._ctx
        while self._differing and ctx.may_call(Call.HEAD) and len(ctx.in_flight.asking) < _HEADS_AT_ONCE:
            path = self._differing.pop()
            ctx.verify_head(path, self._path_store.row(path))
        if not self._differing and not ctx.in_flight.asking:
            self._phase = VerificationPhase.IDLE
            ctx.update_source_row(verified_at=ctx.now)
            if self._wanted_at is not None:
                # Wanted again meanwhile. No other message may come, so a timer begins the next one.
                ctx.wake(max(ctx.now, self._wanted_at))
            else:
                # Events that could not be decoded: the listing shows their paths now.
                self._clear_problems(Reason.GARBLED)

    def _clear_problems(self, reason: Reason, still: Set[str] = frozenset()) -> None:
        """Clear the problems of this reason, except on the paths that ``still`` have it."""
        ctx = self._ctx
        for path, problems in list(ctx.problems.items()):
            if path not in still and any(p.origin is ProblemOrigin.REMOTE and p.reason is reason for p in problems):
                ctx.clear_problem(path, ProblemOrigin.REMOTE)


def _agreed_again(row: PathRow, listed: RemoteFile) -> Side:
    """Return the remote side of a listed file that counts as having the agreed text.

    Without a listed hash it does so until its head has arrived. No listed revision is then taken for that text's.
    """
    return replace(row.base, rev=None) if listed.hash is None else side_of(listed.version)


def _listed_side(row: PathRow, listed: RemoteFile) -> Side:
    """Return the remote side with the listed revision and id of its content."""
    known = row.remote
    return replace(known, rev=listed.rev or known.rev, remote_id=listed.remote_id or known.remote_id)
