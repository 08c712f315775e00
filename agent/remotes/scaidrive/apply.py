"""One call of ``apply`` and what its answer proves: a list, two counts, or a refusal without a word."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from agent.core.errors import Problem, ProblemKind
from agent.core.remote_records import Operation, Outcome, Result, Verb
from agent.core.version import Version
from agent.remotes.http.failures import RemoteCallError, SideEffect
from agent.remotes.scaidrive.calls import MISSING, Calls
from agent.remotes.scaidrive.conflicts import ShareConflicts
from agent.remotes.scaidrive.tree import ShareFolders
from agent.remotes.scaidrive.wire import ApplyAnswer, ConflictRow, apply_answer_of, apply_body

_CONFLICT: Final = 409


class ApplyItem(Struct, frozen=True):
    """An operation as one change of ``apply``.

    Attributes:
        resource: the server's id of the file.
        body: the encoded change.
        base: the version that the file must have; None for a new file, or if it is not known.
        rev: the version that the upload made; None if the server did not say it, or there was none.
        uploaded: the content is on the server, and on some servers the change is visible already.
        must_conflict: the change was made on an old version, so that only a conflict is a possible answer.
        content: the bytes of a refused change, if they are small.
    """

    operation: Operation
    resource: str
    body: dict[str, Any]
    base: str | None
    rev: str | None = None
    uploaded: bool = False
    must_conflict: bool = False
    content: bytes | None = None

    def __repr__(self) -> str:
        # The text of a file must not get into a log.
        return f"ApplyItem({self.operation!r})"


class Applier:
    """Calls ``apply`` for one account. Safe to use from several threads.

    Args:
        is_writable: returns False if the account may only read a share. Raises RemoteError.
    """

    def __init__(
        self, calls: Calls, tree: ShareFolders, conflicts: ShareConflicts, is_writable: Callable[[str], bool]
    ) -> None:
        self._calls = calls
        self._is_writable = is_writable
        self._tree = tree
        self._conflicts = conflicts
        self._alone = False
        """Changes are sent one by one: the server does not say what became of each."""

    @property
    def together(self) -> int:
        """Changes in one call."""
        return 1 if self._alone else self._calls.limits.together

    def apply(self, share: str, device: str, items: list[ApplyItem], outcomes: list[Outcome]) -> Problem | None:
        """Send one call and add the outcomes of its items; returns the problem that ends the push, if any."""
        body = apply_body(device, share, [item.body for item in items])
        try:
            answer = apply_answer_of(self._calls.post("sync/apply", body=body))
        except RemoteCallError as failure:
            return self._refused(share, device, items, failure, outcomes)
        known = len(outcomes)
        try:
            self._take(share, device, items, answer, outcomes)
        except RemoteCallError as failure:
            judged = {outcome.operation_id for outcome in outcomes[known:]}
            outcomes += [Outcome(i.operation.id, Result.UNCERTAIN) for i in items if i.operation.id not in judged]
            return failure.problem
        return None

    def _take(
        self, share: str, device: str, items: list[ApplyItem], answer: ApplyAnswer, outcomes: list[Outcome]
    ) -> None:
        conflicts = {each.resource: each for each in answer.conflicts or ()}
        if answer.applied is None or answer.conflicts is None:
            self._alone = True
        if answer.conflict_count and not conflicts:
            conflicts = self._own(share, device, items)
        for item in items:
            found = conflicts.get(item.resource)
            if found is not None:
                outcomes.append(self._conflict(item, found))
            elif answer.applied is not None and item.resource in answer.applied:
                outcomes.append(self._applied(item, answer.applied[item.resource]))
            elif answer.applied is None and answer.applied_count == len(items) - len(conflicts):
                outcomes.append(self._applied(item, None))
            else:
                outcomes.append(self._left_out(item))

    def _own(self, share: str, device: str, items: list[ApplyItem]) -> dict[str, ConflictRow]:
        found = {item.resource: self._conflicts.own(share, device, item.operation, item.resource) for item in items}
        return {resource: conflict for resource, conflict in found.items() if conflict is not None}

    def _refused(
        self, share: str, device: str, items: list[ApplyItem], failure: RemoteCallError, outcomes: list[Outcome]
    ) -> Problem | None:
        kind = failure.problem.kind
        if failure.status == _CONFLICT:
            return self._without_word(share, device, items, outcomes)
        if kind in MISSING:
            # A folder is gone, or another one.
            self._tree.forget(share)
        judged_alone = kind in (ProblemKind.BAD_REQUEST, ProblemKind.FORBIDDEN, *MISSING)
        if judged_alone and len(items) > 1:
            return self._one_by_one(share, device, items, outcomes)
        if judged_alone and self._is_of_item(share, device, failure):
            outcomes.append(_refusal(items[0], failure))
            return None
        sent = failure.effect is SideEffect.POSSIBLE
        outcomes += [
            Outcome(i.operation.id, Result.UNCERTAIN if sent or i.uploaded else Result.NOT_SENT) for i in items
        ]
        return failure.problem

    def may_write(self, share: str) -> bool:
        """Return True if the account may write in the share, so that a refusal is about one file only."""
        try:
            return self._is_writable(share)
        except RemoteCallError:
            return False

    def _is_of_item(self, share: str, device: str, failure: RemoteCallError) -> bool:
        """Return True if a refusal is about the one change, and not about the share or this device."""
        if failure.problem.kind is ProblemKind.FORBIDDEN:
            return self.may_write(share)
        if failure.problem.kind is ProblemKind.NOT_FOUND:
            try:
                self._calls.get("sync/status", query={"share_id": share, "device_id": device})
            except RemoteCallError:
                return False
        return True

    def _one_by_one(self, share: str, device: str, items: list[ApplyItem], outcomes: list[Outcome]) -> Problem | None:
        """Send each item alone: one that the server refuses must not hold up the others."""
        problem: Problem | None = None
        for item in items:
            if problem is None:
                problem = self.apply(share, device, [item], outcomes)
            else:
                outcomes.append(Outcome(item.operation.id, Result.UNCERTAIN if item.uploaded else Result.NOT_SENT))
        return problem

    def _without_word(self, share: str, device: str, items: list[ApplyItem], outcomes: list[Outcome]) -> Problem | None:
        """Take a 409: some change conflicts, and the server does not say which. Its list of our conflicts does."""
        self._alone = True
        try:
            found = self._own(share, device, items)
            for item in items:
                conflict = found.get(item.resource)
                unsaid = Outcome(item.operation.id, Result.UNCERTAIN)
                outcomes.append(unsaid if conflict is None else self._conflict(item, conflict))
        except RemoteCallError as failure:
            judged = {outcome.operation_id for outcome in outcomes}
            outcomes += [Outcome(i.operation.id, Result.UNCERTAIN) for i in items if i.operation.id not in judged]
            return failure.problem
        return None

    def _applied(self, item: ApplyItem, rev: str | None) -> Outcome:
        """Return the outcome of an applied change. It may have replaced a version that was not its base."""
        operation = item.operation
        if item.must_conflict:
            # The server took a change without content: nothing was sent, so nothing is proven.
            return Outcome(operation.id, Result.UNCERTAIN)
        if operation.verb is Verb.DELETE:
            return Outcome(operation.id, Result.APPLIED)
        rev = rev or item.rev
        if operation.verb is Verb.MOVE or (operation.base is None and rev is not None):
            return Outcome(operation.id, Result.APPLIED, rev=rev, remote_id=item.resource)
        versions = self._calls.versions(item.resource)
        made = next((v for v in versions if v.rev == rev or (rev is None and v.hash == operation.hash)), None)
        if made is None or made.hash != operation.hash:
            return Outcome(operation.id, Result.UNCERTAIN)
        before = next((old for new, old in pairwise(versions) if new.rev == made.rev), None)
        replaced = None
        if operation.base is not None and before is not None and before.rev != item.base:
            replaced = Version(before.hash, before.size, before.rev, item.resource)
        return Outcome(operation.id, Result.APPLIED, rev=made.rev, remote_id=item.resource, replaced=replaced)

    def _left_out(self, item: ApplyItem) -> Outcome:
        """Return the outcome of a change that the answer leaves out, as far as the file itself proves it."""
        operation = item.operation
        unsaid = Outcome(operation.id, Result.UNCERTAIN)
        if item.must_conflict:
            return unsaid
        if operation.verb is Verb.UPSERT:
            return self._applied(item, item.rev) if item.rev is None or self._is_head(item) else unsaid
        try:
            found = self._calls.file(item.resource)
        except RemoteCallError as failure:
            if failure.problem.kind not in MISSING:
                raise
            gone = failure.problem.kind is ProblemKind.GONE and operation.verb is Verb.DELETE
            return Outcome(operation.id, Result.APPLIED) if gone else unsaid
        if operation.verb is Verb.MOVE and found.path == operation.path:
            return self._applied(item, None)
        return unsaid

    def _is_head(self, item: ApplyItem) -> bool:
        head = self._calls.head(item.resource)
        return head is not None and head.rev == item.rev

    def _conflict(self, item: ApplyItem, found: ConflictRow) -> Outcome:
        operation = item.operation
        if operation.verb is Verb.MOVE:
            # Both paths are looked at again. A conflict that stays open would look like one about a delete.
            self._conflicts.close_quietly(found.id)
            return Outcome(operation.id, Result.UNCERTAIN)
        if item.uploaded and self._is_head(item):
            # The upload has replaced the head at once, so there is nothing left to refuse.
            self._conflicts.close_quietly(found.id)
            return self._applied(item, item.rev)
        record = self._conflicts.record(found, operation, item.content)
        if record.remote_hash is not None and record.remote_hash == operation.hash:
            # The head holds the same bytes already, so the two sides of the conflict are equal.
            self._conflicts.close_quietly(found.id)
            return self._applied(replace(item, must_conflict=False), record.remote_rev)
        return Outcome(operation.id, Result.CONFLICT, record)


def _refusal(item: ApplyItem, failure: RemoteCallError) -> Outcome:
    """Return the outcome of one change that the server refused for itself."""
    operation, kind = item.operation, failure.problem.kind
    if kind is ProblemKind.GONE and operation.verb is Verb.DELETE:
        return Outcome(operation.id, Result.APPLIED)
    if item.uploaded or kind in MISSING:
        return Outcome(operation.id, Result.UNCERTAIN)
    return Outcome(operation.id, Result.REJECTED, detail=failure.reason or failure.problem.message)
