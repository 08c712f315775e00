"""The explorer visits every order to a small depth here; ``-m long`` goes deeper, and the command as deep as wanted."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from explorer import acts
from explorer.acts import CRASH, DELETE, EDIT, FAULTS, LOOK, PAGE_EDIT, PULL, PUSH, RESOLVE, STALE_EDIT, happen
from explorer.execution import Step, Task, find_out
from explorer.plain import PlainSearch
from explorer.search import Search
from explorer.snapshots import Snapshot, forget
from explorer.texts import Value, renumbered
from explorer.views import AGES, CORE, FOLDER, PAGE, PROCESS, STIRRED, STORED, local_state
from explorer.world import SmallWorld
from simulation.mutations import MUTANTS

TESTS = Path(__file__).parents[1]
MUTANTS_BY_NAME = {mutant.name: mutant for mutant in MUTANTS}


@pytest.mark.parametrize("paths, depth", [(1, 3), (2, 2)])
@pytest.mark.parametrize("server", ["hub", "strict"])
def test_every_order_of_a_few_acts_keeps_every_law(server: str, paths: int, depth: int) -> None:
    """All orders are visited, machines come to rest from each local state of one act, and no law is broken."""
    report = Search(server, paths, depth, rest=1, sample=10).run()
    assert report.complete and not report.violations
    last = report.levels[-1]
    assert last.transitions > last.worlds > 100 and last.endings > 0


@pytest.mark.parametrize("server, depth", [("hub", 2), ("strict", 2)])
def test_merged_worlds_are_those_of_a_plain_search(server: str, depth: int) -> None:
    """A search that carries out every order for real and merges nothing reaches the same worlds."""
    plain, search = PlainSearch(server, 1, depth), Search(server, 1, depth, rest=-1, sample=0)
    report = search.run()
    assert plain.orders > report.levels[-1].transitions > 50
    assert search.worlds() == plain.worlds
    assert not plain.violations and not report.violations


@pytest.mark.parametrize(
    "kind, part, depth",
    [
        (LOOK, FOLDER, 2),
        (PULL, STORED, 2),
        (CRASH, STORED, 2),
        (PAGE_EDIT, CORE, 2),
        pytest.param(LOOK, AGES, 3, marks=pytest.mark.long),
    ],
)
def test_an_act_that_reads_more_is_noticed(monkeypatch: pytest.MonkeyPatch, kind: str, part: int, depth: int) -> None:
    """A part that an act depends on is left out of what it is said to read: a search fails, or foretells other worlds.

    So it is not by silence that acts are taken for alike.
    """
    monkeypatch.setitem(acts.READS, kind, tuple(each for each in acts.READS[kind] if each != part))
    search = Search("hub", 1, depth, faults=1, rest=-1, sample=0, compared=300)
    try:
        wrong = [violation.wrong[0] for violation in search.run().violations]
    except AssertionError as error:
        wrong = [str(error)]
    assert any("another world was foretold" in one or "more than its scope" in one for one in wrong), wrong


def test_only_acts_that_know_the_poll_keep_it() -> None:
    """A look leaves the poll that waits, whatever it waits for, even where it begins a second one.

    A crash leaves none, even where none was before.
    """
    world = SmallWorld("hub", 1)
    crash, look = (CRASH,), (LOOK,)
    edited, pulled = (PAGE, (PAGE_EDIT, "a.md")), ("A", (PULL,))
    tasks = [
        Task(0, (("A", (EDIT, "a.md")),), ("A", "B"), ((0, look),), rest=False),
        Task(1, (("A", crash),), ("A", "B"), ((0, crash),), rest=False),
        Task(2, (edited, pulled, edited, pulled, edited), ("A", "B"), ((0, look),), rest=False),
    ]
    try:
        found = {finding.number: finding for finding in find_out(world, tasks)}
    finally:
        world.close()
        forget()
    assert found[0].outcomes[0, look].parts[STIRRED] is None
    assert found[1].outcomes[0, crash].parts[STIRRED] is False
    assert found[2].states[0][STIRRED] and found[2].outcomes[0, look].parts[STIRRED] is None
    assert not any(finding.violations for finding in found.values())


def states_after(server: str, *orders: list[Step]) -> list[tuple[Value, tuple[str, ...]]]:
    """Return A's local state and its texts after each order of acts."""
    world, states = SmallWorld(server, 1), []
    try:
        for order in orders:
            before = Snapshot(world)
            for step in order:
                happen(world, *step)
            states.append(local_state(world, world.machines[0]))
            before.restore()
    finally:
        world.close()
        forget()
    return states


def test_a_hash_that_is_the_same_everywhere_is_nobodys_text() -> None:
    """All edits on no head have one base, and all deletes one text. A conflict of two edits of people has neither."""
    no_head: list[Step] = [(PAGE, (STALE_EDIT, "a.md"))]
    edit, delete = (
        [("A", act), ("A", (LOOK,)), (PAGE, (PAGE_EDIT, "a.md")), ("A", (PUSH,))]
        for act in ((EDIT, "a.md"), (DELETE, "a.md"))
    )
    conflicts = [state[CORE][1][0] for state, _ in states_after("strict", no_head, edit, delete)]
    assert [(base == "no head", local == "empty") for _, _, base, local, *_ in conflicts] == [
        (True, False), (False, False), (False, True),
    ]  # fmt: skip


def test_how_many_events_came_before_a_question_does_not_matter() -> None:
    """The position for which a head was asked counts only against the position now."""
    stale, edit = (PAGE, (STALE_EDIT, "a.md")), (PAGE, (PAGE_EDIT, "a.md"))
    decided: list[Step] = [("A", (PULL,)), ("A", (LOOK,)), ("A", (RESOLVE, "0", "keep_raven"))]
    (one, _), (other, _) = states_after("strict", [stale, edit, *decided], [stale, edit, edit, *decided])
    assert one == other


def test_how_often_a_machine_looked_does_not_matter_to_a_pull() -> None:
    """A look takes time, but brings the next poll of a server that holds no request no nearer."""
    edit, look = ("A", (EDIT, "a.md")), ("A", (LOOK,))
    ending: list[Step] = [("A", (PUSH,)), ("A", (PULL,))]
    orders: list[list[Step]] = [[edit, look, edit, *ending], [edit, look, edit, look, *ending]]
    pulled = [renumbered((state[STORED], state[PROCESS])) for state, _ in states_after("strict", *orders)]
    assert pulled[0][0] == pulled[1][0]


@pytest.mark.long
@pytest.mark.parametrize("server, paths, depth", [("hub", 1, 4), ("strict", 1, 4), ("hub", 2, 3), ("strict", 2, 3)])
def test_merged_worlds_are_those_of_a_plain_search_deeper(server: str, paths: int, depth: int) -> None:
    """The same over more acts, and with two paths."""
    plain, search = PlainSearch(server, paths, depth), Search(server, paths, depth, rest=-1, sample=0)
    search.run()
    assert search.worlds() == plain.worlds


@pytest.mark.long
@pytest.mark.parametrize("server, paths, depth", [("hub", 1, 8), ("strict", 1, 8), ("hub", 2, 6), ("strict", 2, 6)])
def test_every_order_of_many_acts_keeps_every_law(server: str, paths: int, depth: int) -> None:
    """The same to a depth that takes minutes, as the command does it: in processes that share no thread with pytest."""
    arguments = ("--server", server, "--paths", str(paths), "--depth", str(depth))
    done = subprocess.run(
        [sys.executable, "-m", "explorer", *arguments],
        cwd=TESTS.parent, env={**os.environ, "PYTHONPATH": str(TESTS)}, capture_output=True, text=True,
        timeout=4 * 3600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 violations\n" in done.stdout


@pytest.mark.parametrize(
    "mutant, server, depth, trace, law",
    [
        ("operation id reused", "hub", 1, "A edits a.md", "law 4: A holds A3 at a.md, the server A1"),
        ("texts thrown away", "strict", 2, "A deletes a.md; page edit on an old base of a.md", "law 1"),
        ("texts of conflicts not kept", "strict", 2, "A edits a.md; page edit of a.md", "law 4"),
        pytest.param(
            "conflict pushed over", "strict", 3, "A edits a.md; page edit of a.md; A pulls", "overwritten unseen",
            marks=pytest.mark.long,
        ),
    ],
)  # fmt: skip
def test_a_broken_promise_is_found(mutant: str, server: str, depth: int, trace: str, law: str) -> None:
    """A product that breaks a promise is found with a few acts, which the trace names."""
    with MUTANTS_BY_NAME[mutant].breaking():
        report = Search(server, 1, depth, faults=0, rest=depth, sample=0, until_broken=True).run()
    found = {"; ".join(violation.trace): "\n".join(violation.wrong) for violation in report.violations}
    assert law in found[trace], found


def test_a_world_is_put_back_as_it_was() -> None:
    """After a snapshot is restored, the same acts lead to the same local states, crashes and conflicts included."""
    steps = [
        ("A", ("edits", "a.md")), ("B", ("edits", "a.md")), ("A", ("looks",)), ("B", ("looks",)), ("A", ("pushes",)),
        ("B", ("pushes and the answer is lost",)), ("A", ("pulls",)), ("A", ("crashes",)),
        ("page", ("edit of", "a.md")), ("B", ("crashes",)), ("A", ("looks",)),
    ]  # fmt: skip
    assert any(act[0] in FAULTS for _, act in steps)
    world = SmallWorld("hub", 1)
    try:
        snapshot, runs = Snapshot(world), []
        for _ in range(2):
            states = [local_state(world, machine) for machine in world.machines]
            for who, act in steps:
                happen(world, who, act)
                states += [local_state(world, machine) for machine in world.machines]
            runs.append(states)
            snapshot.restore()
        assert runs[0] == runs[1] and runs[0][0] != runs[0][-2]
    finally:
        world.close()
