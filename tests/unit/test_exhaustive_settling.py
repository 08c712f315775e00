"""Settling and resolving over every small state of a server, and the brake and merging over every small set."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import pytest
from msgspec import structs

from agent.core.delete_guard import DeleteGuardLimits, must_hold, plan_id
from agent.core.in_doubt import InDoubtVerdict as Verdict
from agent.core.in_doubt import judge_in_doubt
from agent.core.merge import propose
from agent.core.model import EMPTY_HASH, Resolution
from agent.core.remote_records import Operation, RemoteConflict, Verb
from agent.core.resolution import CloseOnServer, Done, HeadMoved, Push, next_step
from agent.core.version import Version, version_of

A, B, C, D = (letter * 64 for letter in "abcd")
PATH = "n.md"


def _conflict(local: str | None, remote: str | None = C, path: str = PATH, base: str | None = A) -> RemoteConflict:
    return RemoteConflict(f"{base}-{local}-{remote}", path, base, local, remote)


# Settling

OPERATIONS = [
    Operation("op", PATH, Verb.DELETE if digest is None else Verb.UPSERT, digest, 1, base)
    for digest, base in itertools.product((None, B), (None, A, B))
    if digest != base
]
HISTORIES = [h for size in range(4) for h in itertools.product((A, B, C), repeat=size)]
SHOWN = [_conflict(B), _conflict(None), _conflict(D), _conflict(B, path="o.md"), _conflict(B, base=None)]
LISTINGS = [c for size in range(3) for c in itertools.permutations(SHOWN, size)]

Evidence = tuple[Operation, str | None, tuple[str, ...], tuple[RemoteConflict, ...]]


def _settled() -> Iterator[tuple[Evidence, Verdict, RemoteConflict | None]]:
    for evidence in itertools.product(OPERATIONS, (None, A, B, C), HISTORIES, LISTINGS):
        yield (evidence, *judged(*evidence))


def judged(
    operation: Operation, head: str | None, versions: Sequence[str], conflicts: Sequence[RemoteConflict]
) -> tuple[Verdict, RemoteConflict | None]:
    """The verdict on these hashes; the server names no revisions."""
    return judge_in_doubt(operation, version_of(head), [Version(each) for each in versions], conflicts)


def test_an_operation_has_one_verdict_and_one_named_conflict() -> None:
    """Whatever a server shows, there is one verdict. A conflict that refuses the operation is named with it, and no
    other: nobody else would close it.
    """
    for (operation, *_, listed), verdict, found in _settled():
        assert isinstance(verdict, Verdict)
        ours = (operation.path, operation.hash, operation.base)
        assert found is next((c for c in listed if (c.path, c.local_hash, c.base_hash) == ours), None)
        assert found is None or verdict in (Verdict.CONFLICT, Verdict.APPLIED)


def test_an_operation_is_applied_where_the_head_is_its_text() -> None:
    """Not the history, nor a conflict, nor silence makes APPLIED."""
    for (operation, head, *_), verdict, _ in _settled():
        assert (verdict is Verdict.APPLIED) == (head == operation.hash)


def test_an_operation_conflicts_where_one_of_its_path_holds_it() -> None:
    """On the base it was pushed on: another machine may have been refused the same text on another. A refused text may
    be in the history from an earlier time, so the open conflict wins over the history.
    """
    for (operation, head, _, listed), verdict, _ in _settled():
        ours = (operation.path, operation.hash, operation.base)
        mine = any((c.path, c.local_hash, c.base_hash) == ours for c in listed)
        assert (verdict is Verdict.CONFLICT) == (mine and head != operation.hash)


def test_only_a_version_after_its_base_supersedes_an_operation() -> None:
    """Its text must be newer than the base it was put on; a delete leaves no version and is never superseded."""
    for (operation, head, versions, _), verdict, _ in _settled():
        if verdict is Verdict.SUPERSEDED:
            assert operation.verb is Verb.UPSERT and head != operation.base and operation.hash is not None
            assert operation.base is None or versions.index(operation.hash) < versions.index(operation.base)


def test_a_head_still_at_the_base_means_never_applied() -> None:
    """Where nothing happened, nothing is believed to have happened, whatever older versions there are."""
    for (operation, head, _, listed), verdict, _ in _settled():
        if head == operation.base and not listed:
            assert verdict is Verdict.NOT_APPLIED


def test_other_paths_and_other_texts_in_conflict_are_no_evidence() -> None:
    """Listing conflicts of somebody else changes no verdict."""
    for (operation, head, versions, listed), verdict, _ in _settled():
        own = [c for c in listed if (c.path, c.local_hash) == (operation.path, operation.hash)]
        assert judged(operation, head, versions, own)[0] is verdict


def test_revisions_that_are_hashes_change_no_verdict() -> None:
    """On a server whose revision is the hash, the verdict is the one without revisions."""
    for (operation, head, versions, listed), verdict, found in _settled():
        dressed = structs.replace(operation, base_rev=operation.base)
        shown = [Version(each, rev=each) for each in versions]
        open_ = [
            structs.replace(c, base_rev=c.base_hash, local_rev=c.local_hash, remote_rev=c.remote_hash) for c in listed
        ]
        again, named = judge_in_doubt(dressed, version_of(head, head), shown, open_)
        assert again is verdict and (named and named.id) == (found and found.id)


def test_distinct_revisions_never_lose_an_applied_operation() -> None:
    """With revisions nothing is believed that is not so: an operation counts only on its head or after its base."""
    for operation, size in itertools.product(OPERATIONS, range(4)):
        for texts in itertools.product((A, B, C), repeat=size):
            history = [Version(text, rev=f"v{size - number}") for number, text in enumerate(texts)]
            bases = [each for each in history if each.hash == operation.base] or [Version("", rev=None)]
            for base in bases:
                known = structs.replace(operation, base_rev=base.rev)
                verdict, _ = judge_in_doubt(known, history[0] if history else None, history, ())
                newer = history[: history.index(base)] if base in history else history
                if verdict is Verdict.SUPERSEDED:
                    assert operation.hash in [each.hash for each in newer], (known, history)
                elif verdict is Verdict.NOT_APPLIED and operation.verb is Verb.UPSERT and base in history:
                    assert operation.hash not in [each.hash for each in newer], (known, history)


def test_the_history_of_another_file_supersedes_no_operation() -> None:
    """Over every small history with ids: it counts on the same id alone, or on a base of known revision."""
    ids, evidence = (None, "f1", "f2"), itertools.product(OPERATIONS, HISTORIES, (False, True))
    for (operation, texts, dated), ours, shown in itertools.product(evidence, ids, ids):
        history = [Version(text, rev=f"v{len(texts) - number}") for number, text in enumerate(texts)]
        head = structs.replace(history[0], remote_id=shown) if history else None
        rev = next((each.rev for each in history if dated and each.hash == operation.base), None)
        known = structs.replace(operation, base_rev=rev, remote_id=ours if operation.base else None)
        verdict, _ = judge_in_doubt(known, head, history, ())
        foreign = shown is not None and (known.remote_id or (shown if rev else None)) != shown
        plain, _ = judge_in_doubt(known, None if head is None else structs.replace(head, remote_id=None), history, ())
        expected = Verdict.NOT_APPLIED if foreign and plain is Verdict.SUPERSEDED else plain
        # Ids add no evidence: they only take away what the history of a path would show.
        assert verdict is expected, (known, head, history)


# Resolving


@dataclass
class Server:
    """One path of a server, and what a resolution's steps do to it.

    Attributes:
        keeps_history: the hub; otherwise resolving uses the moment's snapshot, a delete wipes what is open and an empty
            merge is refused, as measured on the real server.
    """

    head: str | None
    open: list[RemoteConflict]
    keeps_history: bool
    replaced: list[str | None] = field(default_factory=list)

    def take(self, step: CloseOnServer | Push) -> None:
        if isinstance(step, Push):
            assert step.base == self.head, "a push that is not based on the head"
            self._set(step.hash)
            if step.hash is None and not self.keeps_history:
                self.open.clear()
            return
        assert step.conflict in self.open, "a conflict that is not open"
        self.open.remove(step.conflict)
        if step.choice is Resolution.MANUAL_MERGE:
            assert step.text_hash is not None, "a merge without a text"
            assert self.keeps_history or step.text_hash != EMPTY_HASH, "an empty merge, which is refused"
            self._set(step.text_hash)
        elif step.choice is Resolution.KEEP_LOCAL:
            deleted = None if self.keeps_history else EMPTY_HASH
            self._set(deleted if step.conflict.local_hash is None else step.conflict.local_hash)
        elif not self.keeps_history:
            self._set(step.conflict.remote_hash)

    def _set(self, head: str | None) -> None:
        self.replaced.append(self.head)
        self.head = head


SIDES = (None, A, B)
PAIRS = [_conflict(local, remote) for local, remote in itertools.product(SIDES, SIDES) if local != remote]
OURS = [c for size in range(3) for c in itertools.permutations(PAIRS, size)]
WANTED = (None, EMPTY_HASH, A, B, C)


def _servers() -> Iterator[tuple[str | None, Server]]:
    for wanted, head, ours, keeps in itertools.product(WANTED, (None, A, B, D), OURS, (True, False)):
        first = sorted(ours, key=lambda c: wanted not in (c.local_hash, c.remote_hash))
        if head is not None or keeps or wanted is None or not ours:
            yield wanted, Server(head, first, keeps)


def _resolve(wanted: str | None, server: Server) -> int:
    seen = server.head
    for taken in range(10):
        step = next_step(wanted, seen, server.head, server.open, keeps_history=server.keeps_history)
        if isinstance(step, Done):
            return taken
        assert not isinstance(step, HeadMoved), "refused, though nobody but us moved the head"
        server.take(step)
        seen = server.head
    raise AssertionError("a resolution that never ends")


def test_an_undisturbed_resolution_ends_in_the_wanted_text() -> None:
    """From every small state of both kinds of server, step by step, in at most one step a conflict and two more."""
    for wanted, server in _servers():
        state = (wanted, server.head, tuple(server.open), server.keeps_history)
        most = len(server.open) + 2
        assert _resolve(wanted, server) <= most, state
        assert server.head == wanted and server.open == [], state


def test_a_resolution_that_is_over_takes_no_further_step() -> None:
    """Idempotence: asking again after the end says Settled again."""
    for wanted, server in _servers():
        _resolve(wanted, server)
        again = next_step(wanted, D, server.head, server.open, keeps_history=server.keeps_history)
        assert again == Done()


def test_an_unexpected_head_refuses_every_resolution() -> None:
    """Whatever is open, nothing is done on top of a text the person did not see."""
    for wanted, server in _servers():
        for seen in (None, A, B, C):
            step = next_step(wanted, seen, server.head, server.open, keeps_history=server.keeps_history)
            assert isinstance(step, HeadMoved) == (server.head not in (wanted, seen))


def test_a_step_closes_a_conflict_or_pushes_on_the_shown_head() -> None:
    """No step names a conflict that was not listed, nor a base other than the head."""
    for wanted, server in _servers():
        step = next_step(wanted, server.head, server.head, server.open, keeps_history=server.keeps_history)
        if isinstance(step, CloseOnServer):
            assert step.conflict in server.open
        if isinstance(step, Push):
            assert (step.hash, step.base) == (wanted, server.head)


@dataclass
class BlindServer:
    """A server whose close leaves the head as it is."""

    head: str | None
    open: list[RemoteConflict]

    def take(self, step: CloseOnServer | Push) -> None:
        """Carry a step out. No text may be sent with a close: it would be lost."""
        if isinstance(step, CloseOnServer):
            assert step.text_hash is None
            self.open.remove(step.conflict)
        else:
            assert step.base == self.head
            self.head = step.hash


def test_a_blind_server_is_closed_first_and_pushed_on_then() -> None:
    """From every small state, the conflicts end before the head moves, and the head is the wanted text at the end."""
    for wanted, head, keeps in itertools.product((None, A, B, EMPTY_HASH), (None, A, B, C), (False, True)):
        for shown in LISTINGS:
            server, moved = BlindServer(head, list(shown)), []
            for _ in range(len(shown) + 2):
                step = next_step(wanted, head, server.head, server.open, keeps_history=keeps, blind=True)
                if isinstance(step, Done):
                    break
                assert not isinstance(step, HeadMoved)
                moved.append(type(step))
                server.take(step)
            assert (server.head, server.open) == (wanted, [])
            assert moved == [CloseOnServer] * len(shown) + [Push] * (head != wanted)


# The brake

LIMITS = DeleteGuardLimits(least=3, share=0.25, most=6)


def test_the_brake_holds_exactly_what_its_three_limits_say() -> None:
    """Every count up to 12 of every source up to 40 files, reckoned in fractions."""
    for deletes, total in itertools.product(range(13), range(41)):
        share = Fraction(deletes, total) > Fraction(1, 4) if total else deletes > 0
        assert must_hold(deletes, total, LIMITS) is (deletes >= 6 or (deletes >= 3 and share))


def test_more_deletes_or_fewer_files_never_loosen_the_brake() -> None:
    """Monotony: what is held stays held when one more delete is due, or one file less is there."""
    for deletes, total in itertools.product(range(13), range(1, 41)):
        if must_hold(deletes, total, LIMITS):
            assert must_hold(deletes + 1, total, LIMITS) and must_hold(deletes, total - 1, LIMITS)


def test_no_two_sets_of_deletes_share_a_plan() -> None:
    """Every subset of names that could run into each other, in two directions, has an id of its own."""
    names = ("a", "b", "ab", "a/b", "A", "á", "a\u0301", "a b", "\udc80")
    subsets = [s for size in range(len(names) + 1) for s in itertools.combinations(names, size)]
    ids = {plan_id(direction, paths) for direction in ("deletes", "deletesa") for paths in subsets}
    assert len(ids) == 2 * len(subsets)
    assert all(plan_id("deletes", reversed(paths)) == plan_id("deletes", paths) for paths in subsets)


# Merging

LINES = (b"x\n", b"y\n", b"z")
TEXTS = [b"".join(lines) for size in range(3) for lines in itertools.product(LINES, repeat=size)]
MARKERS = {b"<<<<<<< local", b"=======", b">>>>>>> raven"}


@pytest.mark.parametrize("base", TEXTS)
def test_a_merge_invents_nothing_and_is_symmetric(
    base: bytes,
) -> None:
    """Every line comes from a side or is a marker; swapping the sides swaps no clean merge."""
    for local, remote in itertools.product(TEXTS, TEXTS):
        found, swapped = propose(base, local, remote), propose(base, remote, local)
        assert found is not None and swapped is not None
        assert found.clean is swapped.clean
        assert not found.clean or found.text == swapped.text
        known = {*base.splitlines(), *local.splitlines(), *remote.splitlines()}
        assert set(found.text.splitlines()) <= known | (set() if found.clean else MARKERS)


@pytest.mark.parametrize("base", TEXTS)
def test_a_merge_takes_the_only_change_there_is(base: bytes) -> None:
    """One side unchanged gives the other; both alike give that; a side without a file gives no proposal."""
    for side in TEXTS:
        for local, remote in ((base, side), (side, base), (side, side)):
            found = propose(base, local, remote)
            assert found is not None and found.clean and found.text == side
        assert propose(base, None, side) is None and propose(base, side, None) is None


@pytest.mark.parametrize("base", TEXTS)
def test_a_merge_that_is_not_clean_shows_each_side_whole(base: bytes) -> None:
    """No line that one side added falls out of a proposal with markers."""
    for local, remote in itertools.product(TEXTS, TEXTS):
        found = propose(base, local, remote)
        assert found is not None
        if not found.clean:
            added = (set(local.splitlines()) | set(remote.splitlines())) - set(base.splitlines())
            assert added <= set(found.text.splitlines())
