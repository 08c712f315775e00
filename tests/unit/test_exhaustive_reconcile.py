"""The decision of one path over every small state: three sides, every reason, every mode."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from agent.core.model import ABSENT, OUT_OF_SCOPE, UNKNOWN, ConflictKind, Mode, Presence, Reason, Side, file_side
from agent.core.reconcile import Decision, Step, disagreement, reconcile

A, B, C = (file_side(letter * 64) for letter in "abc")
FILES = (A, B, C)
UNSENDABLE = [file_side(side.hash or "", 9, reason) for side in FILES for reason in Reason]
UNKNOWNS = [UNKNOWN, *(Side(Presence.UNKNOWN, reason=reason) for reason in Reason)]
OUTSIDE = [OUT_OF_SCOPE, *(Side(Presence.OUT_OF_SCOPE, reason=reason) for reason in Reason)]

BASES = [ABSENT, *FILES]
LOCALS = [ABSENT, *FILES, *UNSENDABLE, *UNKNOWNS, *OUTSIDE]
REMOTES = [ABSENT, *FILES, UNKNOWN]

State = tuple[Side, Side, Side, Mode]
STATES: list[State] = list(itertools.product(BASES, LOCALS, REMOTES, Mode))
KNOWN: list[State] = [s for s in STATES if s[1].presence <= Presence.FILE and s[2].presence <= Presence.FILE]

DOWN = {Step.PULL, Step.PULL_DELETE}
DELETES = {Step.PUSH_DELETE, Step.PULL_DELETE}
MIRRORED = {
    Step.NOTHING: Step.NOTHING,
    Step.PUSH: Step.PULL,
    Step.PULL: Step.PUSH,
    Step.PUSH_DELETE: Step.PULL_DELETE,
    Step.PULL_DELETE: Step.PUSH_DELETE,
    Step.PARK: Step.PARK,
}
OPPOSITE = {
    None: None,
    ConflictKind.EDIT_EDIT: ConflictKind.EDIT_EDIT,
    ConflictKind.NO_BASE: ConflictKind.NO_BASE,
    ConflictKind.EDIT_DELETE: ConflictKind.DELETE_EDIT,
    ConflictKind.DELETE_EDIT: ConflictKind.EDIT_DELETE,
}


def _decided() -> Iterator[tuple[State, Decision]]:
    return ((state, reconcile(*state)) for state in STATES)


def _known(mode: Mode | None = None) -> Iterator[tuple[Side, Side, Side, Mode, Decision]]:
    for base, local, remote, its_mode in KNOWN:
        if mode in (None, its_mode):
            yield base, local, remote, its_mode, reconcile(base, local, remote, its_mode)


def test_every_state_has_one_decision_and_parks_name_a_kind() -> None:
    """Totality: no state raises, and ``kind`` is set with PARK and never else."""
    assert len(STATES) > 4000
    for state, decision in _decided():
        assert isinstance(decision.step, Step), state
        assert (decision.kind is not None) == (decision.step is Step.PARK), state


def test_deciding_again_on_the_resulting_base_changes_nothing() -> None:
    """Idempotence: a decision that is stored and derived afresh stays what it was."""
    for (_, local, remote, mode), decision in _decided():
        again = reconcile(decision.base, local, remote, mode)
        assert (again.step, again.base) == (decision.step, decision.base), (local, remote, mode)


def test_no_delete_follows_from_an_unknown_side() -> None:
    """An unknown or unselected side leads to no push, no pull, no delete and no conflict, in any mode."""
    for state, decision in _decided():
        if Presence.OUT_OF_SCOPE is state[1].presence:
            assert decision == Decision(Step.NOTHING, ABSENT), state
        elif Presence.UNKNOWN in (state[1].presence, state[2].presence):
            assert decision == Decision(Step.UNKNOWN, state[0]), state


def test_send_only_modes_never_write_to_the_folder() -> None:
    """Only bidirectional sources pull or remove."""
    for state, decision in _decided():
        assert decision.step not in DOWN or state[3] is Mode.BIDIRECTIONAL, state


def test_import_only_deletes_nothing_on_either_side() -> None:
    """A local delete detaches the path; nothing it says takes a file from the server."""
    for state, decision in _decided():
        assert decision.step not in DELETES or state[3] is not Mode.IMPORT_ONLY, state


def test_a_send_only_mode_decides_as_bidirectional_or_nothing() -> None:
    """The narrower modes leave work out and never invent any."""
    for base, local, remote, _, decision in _known(Mode.BIDIRECTIONAL):
        for mode in (Mode.LOCAL_TO_CLOUD, Mode.IMPORT_ONLY):
            assert reconcile(base, local, remote, mode).step in {decision.step, Step.NOTHING}, (base, local, remote)


def test_the_two_sides_are_treated_alike() -> None:
    """Symmetry: with the sides swapped a bidirectional source does the mirrored thing, and parks the mirrored kind."""
    for base, local, remote, mode, decision in _known(Mode.BIDIRECTIONAL):
        if local.reason is None:
            mirrored = reconcile(base, remote, local, mode)
            assert mirrored.step is MIRRORED[decision.step], (base, local, remote)
            assert mirrored.kind is OPPOSITE[decision.kind], (base, local, remote)
            assert mirrored.base.same_content(decision.base), (base, local, remote)


@pytest.mark.parametrize("names", list(itertools.permutations(FILES)))
def test_only_equality_of_bytes_matters_not_their_value(names: tuple[Side, Side, Side]) -> None:
    """Renaming the contents renames the decision."""
    renamed = dict(zip((side.hash for side in FILES), names, strict=True))

    def other(side: Side) -> Side:
        return replace(side, hash=renamed[side.hash].hash) if side.is_file else side

    for (base, local, remote, mode), decision in _decided():
        assert reconcile(other(base), other(local), other(remote), mode) == replace_base(decision, other(decision.base))


def replace_base(decision: Decision, base: Side) -> Decision:
    """The decision on another base."""
    return decision._replace(base=base)


def test_an_unsendable_file_is_decided_as_any_but_not_sent() -> None:
    """A reason turns a push into a skip and changes nothing else: remote edits still conflict, deletes still come."""
    for base, local, remote, mode, decision in _known():
        if local.reason is not None:
            plain = reconcile(base, replace(local, reason=None, size=None), remote, mode)
            step = Step.SKIP if plain.step is Step.PUSH else plain.step
            assert (decision.step, decision.kind) == (step, plain.kind), (base, local, remote, mode)
            assert decision.base.same_content(plain.base), (base, local, remote, mode)


def test_sizes_and_the_servers_revisions_decide_nothing() -> None:
    """Only presence, hash and reason are asked; a base keeps the revision of the side it was adopted from."""
    for base, local, remote, mode, decision in _known():
        dressed = replace(remote, size=7, rev="r") if remote.is_file else remote
        other = reconcile(base, local, dressed, mode)
        assert (other.step, other.kind) == (decision.step, decision.kind)
        assert other.base in (decision.base, dressed)


def test_a_base_is_the_newest_revision_of_its_content() -> None:
    """Where the server has the base's content, its revision and id are the base's, whatever the base had."""
    for base, local, remote, mode in STATES:
        for known in (replace(base, rev="v1", remote_id="f1", size=3), base):
            newest = replace(remote, rev="v3", remote_id="f2")
            if not base.is_file or not newest.same_content(known):
                continue
            decided = reconcile(known, local, newest, mode)
            assert decided.base == ABSENT or (decided.base.rev, decided.base.remote_id) == ("v3", "f2")
            assert reconcile(decided.base, local, newest, mode)[:2] == decided[:2]


def test_a_base_keeps_its_revision_while_the_server_has_another() -> None:
    """Another content's revision is never taken for that of the base."""
    for base, local, remote, mode in STATES:
        known, other = replace(base, rev="v1"), replace(remote, rev="v2")
        if base.is_file and not other.same_content(known):
            moved = reconcile(known, local, other, mode).base
            assert moved in (known, ABSENT) or (moved == other and local.same_content(other))


def test_a_delete_only_replaces_the_agreed_base() -> None:
    """A side is emptied only while it holds the base."""
    for base, local, remote, mode, decision in _known():
        if decision.step is Step.PUSH_DELETE:
            assert base.is_file and remote.same_content(base) and not local.is_file, mode
        if decision.step is Step.PULL_DELETE:
            assert base.is_file and local.same_content(base) and not remote.is_file, mode


def test_an_overwrite_only_replaces_the_agreed_base() -> None:
    """A push replaces a remote side that is the base, a pull a local side that is the base."""
    for base, local, remote, mode, decision in _known():
        if decision.step in {Step.PUSH, Step.SKIP}:
            assert remote.same_content(base) and local.is_file, mode
        if decision.step is Step.PULL:
            assert local.same_content(base) and remote.is_file, mode


def test_the_base_moves_only_to_what_both_sides_hold() -> None:
    """A decision keeps the base, drops it, or moves it to a file that stands on both sides."""
    for (base, local, remote, mode), decision in _decided():
        moved = decision.base
        assert moved in (base, ABSENT) or (moved.same_content(local) and moved.same_content(remote)), mode


def test_three_different_sides_are_parked_unless_detached() -> None:
    """Nothing is sent or installed where neither side is the base, and the kind tells which side holds what."""
    for base, local, remote, mode, decision in _known():
        if local.same_content(remote) or remote.same_content(base) or local.same_content(base):
            assert decision.step is not Step.PARK
        elif mode is Mode.IMPORT_ONLY and not local.is_file:
            assert decision == Decision(Step.NOTHING, ABSENT)
        else:
            assert decision == Decision(Step.PARK, base, disagreement(base.is_file, local.is_file, remote.is_file))


def test_a_kind_tells_which_side_holds_a_file() -> None:
    """The local side comes first in a kind's name; without a base two files are no edits of anything."""
    for base, local, remote, _, decision in _known():
        if decision.kind is ConflictKind.EDIT_DELETE:
            assert local.is_file and not remote.is_file
        elif decision.kind is ConflictKind.DELETE_EDIT:
            assert remote.is_file and not local.is_file
        elif decision.kind is not None:
            assert local.is_file and remote.is_file
            assert base.is_file == (decision.kind is ConflictKind.EDIT_EDIT)


def test_a_step_carried_out_leaves_nothing_to_do() -> None:
    """From every known state a bidirectional source is in step after one step, or waits for a person."""
    for base, local, remote, mode, decision in _known(Mode.BIDIRECTIONAL):
        held = {Step.PUSH: local, Step.PUSH_DELETE: ABSENT, Step.PULL: remote, Step.PULL_DELETE: ABSENT}.get(
            decision.step
        )
        if held is not None:
            after = reconcile(held, held, held, mode)
            assert after.step is Step.NOTHING and after.base.same_content(held), (base, local, remote)
        elif decision.step is Step.NOTHING:
            assert local.same_content(remote), (base, local, remote)


def test_what_left_the_selection_comes_back_as_a_union() -> None:
    """A path that was out of scope deletes nothing on its return: equal is adopted, one-sided travels, else parked."""
    for base, local, remote, mode in KNOWN:
        left = reconcile(base, OUT_OF_SCOPE, remote, mode)
        back = reconcile(left.base, local, remote, mode)
        assert back.step not in DELETES, (local, remote, mode)
