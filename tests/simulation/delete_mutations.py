"""The delete guard and the undo broken on purpose, one promise at a time; see ``mutations``."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from msgspec.structs import replace

from agent.core import delete_guard as guard
from agent.core.delete_guard import (
    ArrivedFile,
    DeleteEvidence,
    DeleteGuardLimits,
    DeleteVerdict,
    MissingFile,
    UnansweredVerdict,
)
from agent.core.reconcile import Step
from agent.engine import delete_guard as guard_in_engine
from agent.engine.delete_guard import DeleteGuard
from agent.engine.in_doubt import InDoubt
from agent.engine.messages import ApproveDeletes, CallFailed
from agent.engine.undone_deletes import UndoneDeletes
from agent.engine.verification import Verification
from agent.index.recent_deletes import CarriedOutDelete
from simulation.fault_rates import Chances
from simulation.mutant import Mutant, instead


def _hold_ends_below_the_limit() -> AbstractContextManager[object]:
    def forgetful(evidence: DeleteEvidence, limits: DeleteGuardLimits) -> dict[str, DeleteVerdict]:
        return careful(replace(evidence, hold=False), limits)

    careful = guard.judge
    return instead(guard_in_engine, "judge", forgetful)


def _approval_not_checked_again() -> AbstractContextManager[object]:
    def at_once(self: DeleteGuard, message: ApproveDeletes) -> None:
        careful(self, message)
        self._rechecking = False

    careful = DeleteGuard.on_approve
    return instead(DeleteGuard, "on_approve", at_once)


def _listed_again_still_deleted() -> AbstractContextManager[object]:
    def keep(self: Verification) -> None:
        rows = self._path_store.rows(self._differing)
        self._differing = [path for path in self._differing if rows[path].step is not Step.PULL_DELETE]

    return instead(Verification, "_drop_deletes_of_listed", keep)


def _inode_alone_is_a_rename() -> AbstractContextManager[object]:
    def same_inode(old: MissingFile, new: ArrivedFile) -> bool:
        return old.identity is not None and old.identity == new.identity

    return instead(guard, "is_rename", same_inode)


def _unsent_delete_outlives_its_plan() -> AbstractContextManager[object]:
    return instead(InDoubt, "_judge_delete", lambda _self, _entry: UnansweredVerdict.SEND)


def _undo_lost_by_a_crash() -> AbstractContextManager[object]:
    def born(self: UndoneDeletes, ctx: Any, *rest: Any) -> None:
        careful(self, ctx, *rest)
        for path in list(ctx.undone):
            ctx.end_undo(path)

    careful = UndoneDeletes.__init__
    return instead(UndoneDeletes, "__init__", born)


def _undo_lost_by_a_failed_request() -> AbstractContextManager[object]:
    def given_up(self: UndoneDeletes, _message: CallFailed) -> None:
        for path in list(self._fetching):
            self._ctx.end_undo(path)
            self._end_fetch(path)

    return instead(UndoneDeletes, "on_failed", given_up)


@contextlib.contextmanager
def _old_names_made_again() -> Iterator[None]:
    """No rename is known to an undo, neither by its inode nor by the arrival of its text."""

    def plain(path: str, digest: str, _renamed_to: str | None) -> CarriedOutDelete:
        return CarriedOutDelete(path, digest)

    def everything(gone: Iterable[tuple[str, str]], _arrivals: object) -> list[tuple[str, str]]:
        return list(gone)

    with (
        instead(guard_in_engine, "CarriedOutDelete", plain),
        instead(guard_in_engine, "without_renames", everything),
    ):
        yield


_TIDY = Chances(least=3, churn=0.3, put_back=0.3, strange=0.0, clock=0.0, crash_at_disk=0.0, unheard=0.0)
_REUSE = dataclasses.replace(_TIDY, reuse=1.0)
_PUT_BACK = dataclasses.replace(_TIDY, least=2, put_back=1.5)
_EMPTY_LISTINGS = Chances(
    empty_listing=0.5, sync=0.4, least=3, same_text=0.0, strange=0.0, clock=0.0, fault=0.0, bystander=0.0,
    crash_at_disk=0.0, crash_at_network=0.0, user_between_calls=0.0,
)  # fmt: skip
_UNDO = dataclasses.replace(_TIDY, fault=0.15, crash_at_network=0.05, crash_at_disk=0.005)
_NO_HISTORY = dataclasses.replace(_TIDY, no_history=0.5)
_RENAMES = dataclasses.replace(_TIDY, same_text=0.0)

DELETE_MUTANTS = (
    Mutant(
        "hold ends below the limit",
        "a held plan that shrinks below the limit is carried out",
        _hold_ends_below_the_limit,
        chances=_PUT_BACK,
        seeds=(55,),
    ),
    Mutant(
        "approval not checked again",
        "approved deletes are carried out though the server lists the files again",
        _approval_not_checked_again,
        chances=_EMPTY_LISTINGS,
        turns=900,
        seeds=(5,),
    ),
    Mutant(
        "listed again, still deleted",
        "a delete concluded from one listing outlives the next one",
        _listed_again_still_deleted,
        chances=_EMPTY_LISTINGS,
        turns=200,
        seeds=(6,),
    ),
    Mutant(
        "an inode alone is a rename",
        "a new file with the inode of a deleted one counts as that file renamed",
        _inode_alone_is_a_rename,
        chances=_REUSE,
        seeds=(7,),
    ),
    Mutant(
        "an unsent delete outlives its plan",
        "a delete that failed to reach the server is sent under a plan that is held since",
        _unsent_delete_outlives_its_plan,
        ("hub-pinakes",),
        seeds=(1001136,),
    ),
    Mutant(
        "undo lost by a crash",
        "a new process forgets what an undo must still bring back",
        _undo_lost_by_a_crash,
        chances=_UNDO,
        turns=400,
        seeds=(42,),
    ),
    Mutant(
        "undo lost by a failed request",
        "a text that cannot be fetched at once is not brought back",
        _undo_lost_by_a_failed_request,
        chances=_NO_HISTORY,
        turns=200,
        seeds=(0, 13),
    ),
    Mutant(
        "old names made again",
        "an undo takes renamed files for deleted ones",
        _old_names_made_again,
        chances=_RENAMES,
        turns=400,
        seeds=(12,),
    ),
)
