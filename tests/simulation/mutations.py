"""Mutants: the product with one promise broken. Each replaces the smallest function that keeps the promise.

A mutant that no seed finds shows a promise that the oracle does not check. Mutants are patched in from outside and
removed again; no class is replaced as a whole.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import orjson
from msgspec import structs

from agent.core import claim, merge
from agent.core import reconcile as reconciling
from agent.core.conflict import ConflictOrigin
from agent.core.conflict_verdict import Knowledge
from agent.core.errors import DiskError
from agent.core.events import Page
from agent.core.model import ABSENT, ApplyOutcome, ApplyResult, Intent, Observation, Reason, side_of
from agent.core.reconcile import Step, reconcile
from agent.core.remote_records import Operation, Outcome, RemoteConflict, Result
from agent.core.resolution import next_step
from agent.core.version import Version
from agent.disk.apply.durable import sync_all
from agent.disk.apply.install import Installer
from agent.disk.apply.staging import FileHash, StagingArea, StagingMark
from agent.disk.apply.swap import Swapper
from agent.disk.apply.target import Target, hash_at
from agent.disk.apply.trash import Trash
from agent.disk.fs.protocol import Dir
from agent.disk.root import Root
from agent.disk.scan import observe
from agent.engine import path_store, remote_feed, resolutions
from agent.engine.conflicts import ConflictTracker
from agent.engine.context import EngineContext
from agent.engine.in_doubt import InDoubt
from agent.engine.local_changes import LocalChanges
from agent.engine.remote_feed import RemoteFeed
from agent.engine.resolutions import Resolutions
from agent.engine.server_conflicts import ServerConflicts
from agent.engine.uploads import Uploads
from agent.engine.verification import Verification
from agent.index.operations import PushReason, StoredOperation
from agent.index.texts import Texts
from agent.index.trees import PathRow
from agent.remotes.protocol import Outgoing
from agent.remotes.raven import push, responses
from simulation.delete_mutations import DELETE_MUTANTS
from simulation.disk_mutations import DISK_MUTANTS
from simulation.fault_rates import Chances
from simulation.mutant import Mutant, instead, nothing
from simulation.people import PATHS
from simulation.pinakes_mutations import PINAKES_MUTANTS
from simulation.plain_mutations import PLAIN_MUTANTS
from simulation.simfs import SimFs


class Stubborn(SimFs):
    """A disk that will open nothing in the synced folder for some stretches of its early life."""

    _opened = 0

    def open_dir(self, parent: Dir, name: str) -> Dir:
        """As in ``Fs``."""
        self._opened += 1
        if name in _ORDINARY and 5 <= self._opened % 40 < 12 and self._opened < 800:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return super().open_dir(parent, name)


_ORDINARY = {path.split("/")[0] for path in PATHS if "/" in path}


# The folder


def _limit_outlives_itself() -> AbstractContextManager[object]:
    return instead(
        LocalChanges, "_is_refused", lambda _self, row: row.local.reason in {Reason.REFUSED, Reason.TOO_LARGE}
    )


def _no_check_after_the_swap() -> AbstractContextManager[object]:
    careful = Swapper.replace

    def swapped(self: Swapper, intent: Intent, spot: Target, now: float) -> ApplyOutcome:
        try:
            self._fs.exchange(self._staging.handle, intent.id + StagingMark.NEW, spot.folder, spot.name)
        except OSError:
            return careful(self, intent, spot, now)
        found = self._fs.stat(self._staging.handle, intent.id + StagingMark.NEW)
        self._staging.to_trash(intent, StagingMark.NEW, FileHash(intent.expected or "", found), now)
        return ApplyOutcome.DONE

    return instead(Swapper, "replace", swapped)


def _removal_without_the_trash() -> AbstractContextManager[object]:
    careful = StagingArea.to_trash

    def dropped(self: StagingArea, intent: Intent, stage: StagingMark, found: FileHash | None, now: float) -> None:
        if intent.new is None:
            self.drop(intent.id, stage)
        else:
            careful(self, intent, stage, found, now)

    return instead(StagingArea, "to_trash", dropped)


def _link_followed() -> AbstractContextManager[object]:
    return instead(Root, "_open", lambda self, _handle, _part, so_far: self.fs.open_root(f"{self.path}/{so_far}"))


def _unreadable_taken_for_absent() -> AbstractContextManager[object]:
    return instead(observe, "_failed", lambda path, _failure: Observation(path, ABSENT))


def _recovery_skipped() -> AbstractContextManager[object]:
    def believed(self: Installer, intents: Sequence[Intent], _now: float, *_: object) -> list[ApplyResult]:
        return [ApplyResult(intent.id, ApplyOutcome.DONE, self._observe(intent.path)) for intent in intents]

    return instead(Installer, "recover", believed)


def _texts_thrown_away() -> AbstractContextManager[object]:
    return instead(Trash, "store_all", nothing)


def _expected_file_not_asked_for() -> AbstractContextManager[object]:
    careful = Swapper.remove

    def removed(self: Swapper, intent: Intent, spot: Target, now: float) -> ApplyOutcome:
        found = self._fs.stat(spot.folder, spot.name) and hash_at(self._fs, spot)
        return careful(self, structs.replace(intent, expected=found), spot, now)

    return instead(Swapper, "remove", removed)


# The engine


def _cursor_saved_first() -> AbstractContextManager[object]:
    apply = RemoteFeed._apply

    def one_page_late(self: RemoteFeed, page: Page) -> None:
        former = vars(self).get("told")
        vars(self)["told"] = page
        if former is not None:
            apply(self, former)

    return instead(RemoteFeed, "_apply", one_page_late)


def _operation_id_reused() -> AbstractContextManager[object]:
    fresh = EngineContext.add_operations

    def reused(
        self: EngineContext, operations: Sequence[tuple[Operation, PathRow]], why: PushReason
    ) -> list[StoredOperation]:
        again = []
        for operation, row in operations:
            former = [e.operation.id for e in self.operations_of(operation.path) if e.operation.verb is operation.verb]
            self.index.operations.drop(former[-1:])
            again.append((structs.replace(operation, id=former[-1]) if former else operation, row))
        return fresh(self, again, why)

    return instead(EngineContext, "add_operations", reused)


def _silence_taken_for_consent() -> AbstractContextManager[object]:
    return instead(
        InDoubt,
        "doubt",
        lambda self, entries: self.acknowledge(
            [(each, Outcome(each.operation.id, Result.APPLIED, rev=each.operation.hash)) for each in entries]
        ),
    )


def _verification_skipped() -> AbstractContextManager[object]:
    def skipped(self: Verification) -> None:
        self._wanted_at = None

    return instead(Verification, "plan", skipped)


def _rev_forgotten() -> AbstractContextManager[object]:
    return instead(remote_feed, "side_of", lambda version: side_of(version and Version(version.hash, version.size)))


def _base_rev_of_an_older_visit() -> AbstractContextManager[object]:
    return instead(reconciling, "_newest", lambda base, _remote: base)


def _lost_updates_not_looked_for() -> AbstractContextManager[object]:
    return instead(ConflictTracker, "lost_update", nothing)


def _conflict_pushed_over() -> AbstractContextManager[object]:
    def bold(base: Any, local: Any, remote: Any, mode: Any) -> Any:
        decision = reconcile(base, local, remote, mode)
        return replace_step(decision, remote) if decision.step is Step.PARK and local.is_file else decision

    def replace_step(decision: Any, remote: Any) -> Any:
        return decision._replace(step=Step.PUSH, base=remote, kind=None)

    return instead(path_store, "reconcile", bold)


def _texts_of_conflicts_not_kept() -> AbstractContextManager[object]:
    return instead(Texts, "put", nothing)


def _decision_on_a_head_nobody_saw() -> AbstractContextManager[object]:
    careful = next_step

    def bold(wanted: str | None, _seen: str | None, head: str | None, *rest: Any, **more: Any) -> Any:
        return careful(wanted, head, head, *rest, **more)

    return instead(resolutions, "next_step", bold)


def _foreign_conflict_closed() -> AbstractContextManager[object]:
    def all_of_them(_self: Resolutions, conflict: Any, listed: tuple[RemoteConflict, ...]) -> list[RemoteConflict]:
        return [c for c in listed if c.path == conflict.path]

    return instead(Resolutions, "_to_close", all_of_them)


def _head_not_received_first() -> AbstractContextManager[object]:
    return instead(Knowledge, "head_is_known_here", property(lambda _self: True))


@contextlib.contextmanager
def _conflicts_claimed_by_text() -> Iterator[None]:
    """Whose conflict it is goes by the refused text alone."""

    def same_text(conflict: Any, found: Any) -> bool:
        return conflict.origin is ConflictOrigin.TREES and conflict.local_hash == found.local_hash

    def match(operation: Operation, listed: Sequence[RemoteConflict]) -> RemoteConflict | None:
        same = [each for each in listed if (each.path, each.local_hash) == (operation.path, operation.hash)]
        return max(same, key=lambda each: each.opened_at or "") if same else None

    with instead(claim, "is_same_disagreement", same_text), instead(responses, "_match", match):
        yield


@contextlib.contextmanager
def _merged_on_the_head() -> Iterator[None]:
    """The base that the server names is not kept; the folder's own text stands in for it."""

    def on_own_text(
        self: ConflictTracker, row: PathRow, origin: Any, other: Any, server_ids: tuple[str, ...] = (), base: Any = None
    ) -> None:
        careful(self, row, origin, other, server_ids, row.local.version)

    careful = ConflictTracker.open_beside_head
    with (
        instead(ConflictTracker, "open_beside_head", on_own_text),
        instead(ServerConflicts, "_complete", lambda self, _conflict, found: self._keep_texts(found)),
    ):
        yield


def _merged_without_a_base() -> AbstractContextManager[object]:
    careful = merge.propose
    return instead(merge, "propose", lambda base, local, remote: careful(base or local, local, remote))


@contextlib.contextmanager
def _equals_left_open() -> Iterator[None]:
    """Only the first conflict of a disagreement is kept in its record, and only what is in the record is closed."""
    careful, join = claim.to_close, ConflictTracker.join

    def joined(self: ConflictTracker, conflict: Any, server_id: str, refused: Version | None) -> None:
        if not conflict.server_ids:
            join(self, conflict, server_id, refused)

    def own_records(conflict: Any, listed: Sequence[RemoteConflict], *rest: Any) -> list[RemoteConflict]:
        return [found for found in careful(conflict, listed, *rest) if found.id in conflict.server_ids]

    with instead(resolutions, "to_close", own_records), instead(ConflictTracker, "join", joined):
        yield


def _any_event_counts_as_read() -> AbstractContextManager[object]:
    def added(
        self: EngineContext, operations: Sequence[tuple[Operation, PathRow]], why: PushReason
    ) -> list[StoredOperation]:
        newest = self.in_flight.newest_position
        return careful(
            self, [(op, structs.replace(row, position=max(row.position, newest))) for op, row in operations], why
        )

    careful = EngineContext.add_operations
    return instead(EngineContext, "add_operations", added)


@contextlib.contextmanager
def _every_failure_is_the_files() -> Iterator[None]:
    def aside(self: Uploads, failed: Any) -> Any:
        for entry, outcome in failed:
            self._refuse(entry, outcome)
        return None, []

    with (
        instead(Uploads, "_set_aside", aside),
        instead(Uploads, "_retry_due", nothing),
        instead(Uploads, "retry_refused", nothing),
    ):
        yield


# The way to the server


def _no_base() -> AbstractContextManager[object]:
    based = push._encode

    def baseless(outgoing: Outgoing) -> Any:
        parcel = based(outgoing)
        if not isinstance(parcel, push.EncodedOperation):
            return parcel
        item = orjson.loads(parcel.encoded)
        del item["baseHash"]
        return structs.replace(parcel, encoded=orjson.dumps(item))

    return instead(push, "_encode", baseless)


def _durability_not_asked_for() -> AbstractContextManager[object]:
    return instead(Installer, "_make_files_durable", nothing)


def _names_not_made_durable() -> AbstractContextManager[object]:
    return instead(Installer, "_make_folders_durable", nothing)


@contextlib.contextmanager
def _swapped_before_it_is_durable() -> Iterator[None]:
    """One sync at the end makes bytes and names durable, so that only what happens in between can tell."""
    careful = Installer._make_folders_durable

    def settle(self: Installer) -> None:
        try:
            sync_all(self._fs, self._trash.staging)
        except OSError as failure:
            # As the product's own: an exception of the mutant itself would be found in place of the loss.
            raise DiskError("Changes cannot be made durable.") from failure
        careful(self)

    with instead(Installer, "_make_files_durable", nothing), instead(Installer, "_make_folders_durable", settle):
        yield


def _refusals_not_written_down() -> AbstractContextManager[object]:
    return instead(StagingArea, "cancel", nothing)


_CRASHES = Chances(crash_at_disk=0.02, strange=0.02)
_OUTAGES = Chances(crash_at_disk=0.08, strange=0.0, clock=0.0, user_between_calls=0.0)
_HALTING = Chances(crash_at_disk=0.02, user_between_calls=0.02, folding=1.0, strange=0.0)
_MEDDLING = Chances(user_between_calls=0.03, strange=0.25, fault=0.02)
_AT_WORK = Chances(at_work=0.2, strange=0.0, clock=0.0, crash_at_disk=0.0, crash_at_network=0.0, user_between_calls=0.0)
_NETWORK = Chances(crash_at_network=0.02, fault=0.18, late=0.08, bystander=0.2, strange=0.02)
_DEATHS = Chances(page_edit=2.0, stale_base=0.9, crash_at_network=0.08, crash_at_disk=0.01, strange=0.0, clock=0.0)
_APART = Chances(
    apart=2.0, same_text=0.0, bystander=0.5, strange=0.0, clock=0.0, crash_at_disk=0.0, fault=0.0, late=0.0
)
_SKIPPED = Chances(skipped=0.2, strange=0.0, clock=0.0, crash_at_disk=0.0)
_PAGES = Chances(page_edit=1.5, stale_base=0.6, proposed=0.8, strange=0.0, clock=0.0)
_EQUALS = Chances(alike=0.6, same_text=0.3, bystander=0.0, strange=0.0, clock=0.0, crash_at_disk=0.0)
_STRANGERS = Chances(same_text=0.6, stranger=0.6, page_edit=0.6, strange=0.0, clock=0.0)
_VISITS = Chances(same_text=0.6, stranger=0.6, page_edit=1.0, restore=0.4, strange=0.0, clock=0.0, visits=1.0)
_FAILING_WRITES = Chances(outage=0.6, strange=0.0, clock=0.0, crash_at_disk=0.0, crash_at_network=0.0)
_STRICT = ("strict",)
_FACES = ("hub", "strict", "plain", "pinakes")

MUTANTS = (
    *DELETE_MUTANTS,
    *DISK_MUTANTS,
    *PLAIN_MUTANTS,
    *PINAKES_MUTANTS,
    Mutant(
        "a limit outlives itself",
        "a file that a scan set aside stays so when the limit has ended",
        _limit_outlives_itself,
        ("hub-pinakes",),
        seeds=(3101943,),
    ),
    Mutant(
        "no check after the swap",
        "what an exchange brings out goes to the trash unlooked at",
        _no_check_after_the_swap,
        seeds=(8,),
    ),
    Mutant(
        "no fsync",
        "a file is swapped in before its bytes are durable",
        _durability_not_asked_for,
        chances=_CRASHES,
        seeds=(3,),
    ),
    Mutant(
        "no fsync of folders",
        "names are not durable before the index is",
        _names_not_made_durable,
        chances=_CRASHES,
        seeds=(10,),
    ),
    Mutant(
        "swapped before it is durable",
        "the new files of a group are put in place before the sync that makes them durable",
        _swapped_before_it_is_durable,
        chances=_OUTAGES,
        seeds=(24,),
    ),
    Mutant(
        "refusals not written down",
        "one of a group that was refused looks as though it had been put in place",
        _refusals_not_written_down,
        chances=_HALTING,
        seeds=(48,),
    ),
    Mutant("no base", "a push does not say what it was based on", _no_base),
    Mutant(
        "cursor saved first",
        "the place in the feed is committed before what it told",
        _cursor_saved_first,
        ("hub",),
        chances=_DEATHS,
        seeds=(153,),
    ),
    Mutant(
        "unreadable taken for absent",
        "what cannot be looked at is reported as not there",
        _unreadable_taken_for_absent,
        _FACES,
        make_fs=Stubborn,
    ),
    Mutant("operation id reused", "every push of a path bears the same operation id", _operation_id_reused, _FACES),
    Mutant(
        "removal without the trash",
        "a file deleted elsewhere is unlinked here",
        _removal_without_the_trash,
        _FACES,
        seeds=(4,),
    ),
    Mutant(
        "link followed",
        "folders are opened by their whole path, links included",
        _link_followed,
        _FACES,
        chances=_MEDDLING,
        seeds=(2,),
    ),
    Mutant(
        "foreign conflict closed", "a decision closes every conflict of its path", _foreign_conflict_closed, seeds=(9,)
    ),
    Mutant(
        "verification skipped",
        "the listing is never compared with what the feed told",
        _verification_skipped,
        _STRICT,
        chances=_SKIPPED,
        seeds=(1,),
    ),
    Mutant(
        "expected file not asked for",
        "a remote delete removes whatever stands at its path",
        _expected_file_not_asked_for,
        ("plain", "pinakes"),
        chances=_AT_WORK,
        seeds=(7, 5),
    ),
    Mutant(
        "recovery skipped",
        "after a crash every journalled change counts as made",
        _recovery_skipped,
        _FACES,
        chances=_CRASHES,
    ),
    Mutant(
        "texts thrown away",
        "what stands nowhere else is not put into the trash",
        _texts_thrown_away,
        _STRICT,
        seeds=(27,),
    ),
    Mutant(
        "texts of conflicts not kept", "the other side of a conflict is not kept at hand", _texts_of_conflicts_not_kept
    ),
    Mutant(
        "silence taken for consent",
        "a push without an answer counts as applied",
        _silence_taken_for_consent,
        _FACES,
        chances=_NETWORK,
    ),
    Mutant(
        "lost updates not looked for",
        "a version our push replaced unseen is passed over",
        _lost_updates_not_looked_for,
        _STRICT,
        chances=_APART,
        seeds=(15,),
    ),
    Mutant(
        "head not received first",
        "a refused server edit is decided on in a folder that does not hold the head",
        _head_not_received_first,
        ("hub",),
        chances=_PAGES,
    ),
    Mutant(
        "conflicts claimed by text",
        "a conflict with our text counts as ours, whatever its base",
        _conflicts_claimed_by_text,
        chances=_STRANGERS,
        seeds=(15,),
    ),
    Mutant(
        "merged on the head",
        "the merge of a refused server edit takes the folder's own text for the base",
        _merged_on_the_head,
        chances=_PAGES,
    ),
    Mutant(
        "merged without a base",
        "where there is no base to merge on, the folder's own text is taken",
        _merged_without_a_base,
        chances=_PAGES,
    ),
    Mutant(
        "equals left open",
        "a decision closes only the conflict of its own push, not another machine's on the same text and base",
        _equals_left_open,
        chances=_EQUALS,
        seeds=(1, 15),
    ),
    Mutant(
        "any event counts as read",
        "a push counts as made after each event that was read of any path",
        _any_event_counts_as_read,
        _STRICT,
        seeds=(30277,),
    ),
    Mutant(
        "every failure is the file's",
        "a file is set aside for good whenever a push of it alone failed",
        _every_failure_is_the_files,
        chances=_FAILING_WRITES,
        seeds=(0,),
    ),
    Mutant(
        "rev forgotten",
        "the revision that an event of the feed states is dropped",
        _rev_forgotten,
        ("hub", "strict", "plain"),
    ),
    Mutant(
        "base rev of an older visit",
        "a base keeps its revision when the server comes back to its text",
        _base_rev_of_an_older_visit,
        chances=_VISITS,
        seeds=(5,),
    ),
    Mutant("conflict pushed over", "edits on both sides are pushed on the head", _conflict_pushed_over, _FACES),
    Mutant(
        "decision on a head nobody saw",
        "a decision is carried out whatever the head is by then",
        _decision_on_a_head_nobody_saw,
        seeds=(3,),
    ),
)
