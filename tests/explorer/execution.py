"""Acts carried out for real, in a world that is put back afterwards."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

from agent.engine import effects as e
from explorer.acts import (
    APPROVE,
    CRASH,
    DELETE,
    LOOK,
    LOST,
    PAGE_EDITS,
    PULL,
    PUSH,
    RESOLVE,
    WRITES,
    Act,
    happen,
    possible,
    reads,
    told,
)  # fmt: skip
from explorer.snapshots import Snapshot
from explorer.texts import Value, numbered, seen_by, with_hashes
from explorer.transitions import Numbers, Outcome, still_open
from explorer.views import AGES, CORE, PAGE, PROCESS, STIRRED, UNREAD, core_of, events_after, local_state
from explorer.world import BETWEEN_POLLS, HIDDEN, SmallWorld
from simulation import deciding
from simulation.machine import FOLDER_LANE, WATCHER_LANE, Machine, Waiting
from simulation.oracle import (
    applied_twice,
    complaints,
    differences,
    invented,
    left_over,
    lost,
    miscounted,
    outside,
    to_be_had,
)  # fmt: skip
from simulation.teardown_checks import Ending, NeverAtRest

Step = tuple[str, Act]
"""A machine's name, or ``PAGE``, and its act."""
Result = tuple[Outcome | None, list[str]]
_AGREE = 2.5 * BETWEEN_POLLS
"""Seconds in which daemons agree by themselves, unless a person or a verification is needed."""
_STEPS = 400


@dataclass(frozen=True, slots=True)
class Violation:
    """A law that did not hold, and the acts that led there."""

    trace: tuple[str, ...]
    wrong: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Task:
    """A world to go to, and what to do there.

    Attributes:
        steps: acts from the beginning.
        names: the names of the first and the second machine.
        acts: acts to carry out there, each with the place (0 or 1) of the machine that carries it out or looks on.
        rest: let the machines come to rest there as well.
    """

    number: int
    steps: tuple[Step, ...]
    names: tuple[str, str]
    acts: tuple[tuple[int, Act], ...]
    rest: bool


@dataclass(slots=True)
class Finding:
    """What was found in the world of a task.

    Attributes:
        states: the local states of the first and the second machine, with their texts numbered.
        texts: the second one's texts; those of the first have their own numbers.
        outcomes: by place and act.
        acts: how many acts were carried out for it.
    """

    number: int
    states: tuple[Value, Value]
    texts: Numbers
    outcomes: dict[tuple[int, Act], Outcome]
    violations: list[Violation] = field(default_factory=list)
    acts: int = 0


def find_out(world: SmallWorld, tasks: list[Task]) -> list[Finding]:
    """Carry tasks out. Steps that several begin with are made once; the world ends as it began."""
    ordered = sorted(tasks, key=lambda task: task.steps)
    shared = [_common(one.steps, other.steps) for one, other in pairwise(ordered)] + [0]
    stack = [(0, Snapshot(world))]
    findings = []
    for number, task in enumerate(ordered):
        made, before = stack[-1]
        if number:
            before.restore()
        needed = set(accumulate(shared[number:], min))
        for place, (who, act) in enumerate(task.steps[made:], start=made + 1):
            happen(world, who, act)
            if place in needed:
                stack.append((place, Snapshot(world)))
        findings.append(_carry_out(world, task, len(task.steps) - made))
        while stack[-1][0] > shared[number]:
            stack.pop()
    stack[0][1].restore()
    return findings


def _common(one: tuple[Step, ...], other: tuple[Step, ...]) -> int:
    """Return how many steps two tasks begin with alike."""
    return next((place for place, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), len(one))


def _carry_out(world: SmallWorld, task: Task, made: int) -> Finding:
    machines = [next(machine for machine in world.machines if machine.name == name) for name in task.names]
    (one, ones), (other, others) = (local_state(world, machine) for machine in machines)
    places = {digest: place for place, digest in enumerate(ones)}
    texts = tuple(places.setdefault(digest, len(places)) for digest in others)
    finding = Finding(task.number, (one, other), texts, {}, acts=made + len(task.acts))
    trace = tuple(told(who, act) for who, act in task.steps)
    wrong = [*_misjudged(world, task.names[0], one), *_misjudged(world, task.names[1], other)]
    if wrong:
        finding.violations.append(Violation(trace, tuple(wrong)))
    end = world.feed()[-1]["cursor"]
    before = Snapshot(world) if len(task.acts) + task.rest > 1 else None
    for number, (place, act) in enumerate(task.acts):
        if number and before is not None:
            before.restore()
        step = (PAGE if act[0] in PAGE_EDITS else task.names[place], act)
        outcome, wrong = _act(world, step, machines[place], ((one, other)[place], (ones, others)[place], end))
        if outcome is not None:
            finding.outcomes[place, act] = outcome
        if wrong:
            finding.violations.append(Violation((*trace, told(*step)), tuple(wrong)))
    if task.rest:
        if task.acts and before is not None:
            before.restore()
        if wrong := _broken_at_rest(world):
            finding.violations.append(Violation(trace, tuple(wrong)))
    return finding


def _misjudged(world: SmallWorld, name: str, state: Value) -> list[str]:
    """Compare the acts that a local state offers with what its world offers."""
    machine = next(machine for machine in world.machines if machine.name == name)
    calls = [call.effect for call in machine.calls]
    polls = [call for call in machine.calls if isinstance(call.effect, e.Poll)]
    work = machine.folder_work or machine.said[FOLDER_LANE] or machine.said[WATCHER_LANE]
    offered = {
        LOOK: bool(world.unscanned[name] or work),
        PUSH: len(polls) < len(calls),
        LOST: any(isinstance(effect, e.Send) for effect in calls),
        PULL: any(call.changes != world.changes for call in polls) or (not polls and machine.wake is not None),
        APPROVE: machine.engine.held is not None,
        CRASH: True,
    }
    acts = possible(state, world.files)
    kinds = {act[0] for act in acts}
    wrong = [f"acts: {kind} of {name}" for kind, there in offered.items() if there != (kind in kinds)]
    decided = {act[1] for act in acts if act[0] == RESOLVE}
    if len(decided) != len(deciding.open_conflicts(machine)):
        wrong.append(f"acts: {len(decided)} decisions of {name}")
    if {act[1] for act in acts if act[0] == DELETE} != machine.user.tree().keys() & set(world.files):
        wrong.append(f"acts: deletes of {name}")
    return wrong


def _act(world: SmallWorld, step: Step, machine: Machine, found: tuple[Value, tuple[str, ...], int]) -> Result:
    """Carry an act out and return its outcome as one machine sees it, and which laws it broke.

    Args:
        found: the machine's local state, the hashes of its texts, and the end of the feed.
    """
    before, known, end = found
    act, moment = step[1], _moment(world, machine)
    # Somebody at the server holds no copy anywhere else.
    concerned = () if step[0] == PAGE else (machine,)
    had = to_be_had(world, concerned)
    try:
        happen(world, *step)
    except Exception as error:
        return None, [f"law 6: {error!r}", traceback.format_exc()]
    after, texts = local_state(world, machine)
    core, conflicts = core_of(world)
    added, _ = events_after(world, end, conflicts, world.owners())
    (now, core, added), _ = numbered((with_hashes(after, texts), *seen_by(machine.name, (core, added))), known)
    changed = world.changes != moment.changes
    writes = WRITES[act[0]]
    unread = (*still_open(before[UNREAD], before[CORE], core), *added)
    wrong = [] if step[0] == PAGE else _beyond(act, before, now, unread)
    if CORE not in writes and (added or changed):
        wrong.append(f"scope: {act[0]} wrote to the server")
    # Who reads the process knows which poll waits. Who ends it leaves none.
    kept = _kept(moment, _moment(world, machine)) if PROCESS in reads(act) else []
    wrong += [f"scope: {act[0]} kept part {part}, which changed" for part in kept if now[part] != before[part]]
    parts = tuple(now[part] if part in writes and part not in kept else None for part in range(len(now)))
    risky = not had <= to_be_had(world, concerned)
    return Outcome(parts, added, changed, risky), wrong + broken_now(world)


@dataclass(frozen=True, slots=True)
class _Moment:
    """A machine's time, the polls that wait, and how often the server was written to."""

    time: float
    polls: list[Waiting]
    changes: int


def _moment(world: SmallWorld, machine: Machine) -> _Moment:
    polls = [call for call in machine.calls if isinstance(call.effect, e.Poll)]
    return _Moment(world.times[machine.name], polls, world.changes)


def _kept(before: _Moment, after: _Moment) -> list[int]:
    """Return parts that an act left alone whatever they were, so that it need not read them.

    Files age only while time passes. A poll that still waits is answered at once if it was before, as long as nobody
    writes to the server. One that is new beside it is not answered at once.
    """
    left = {id(poll) for poll in before.polls} <= {id(poll) for poll in after.polls}
    same = left and before.changes == after.changes
    return [part for part, kept in ((AGES, before.time == after.time), (STIRRED, same)) if kept]


def _beyond(act: Act, before: Value, now: Value, unread: Value) -> list[str]:
    """Check that an act of a machine changed no part of its local state that acts of this kind do not write."""
    foretold = [*before]
    foretold[UNREAD] = unread
    return [
        f"scope: {act[0]} changed part {part}: {foretold[part]!r} to {now[part]!r}"
        for part in range(len(now))
        if part not in WRITES[act[0]] and now[part] != foretold[part]
    ]


# The laws


def broken_now(world: SmallWorld) -> list[str]:
    """Check the laws that hold at every moment."""
    return [*lost(world), *outside(world), *applied_twice(world), *invented(world), *miscounted(world)]


def _broken_at_rest(world: SmallWorld) -> list[str]:
    """Let the machines come to rest and check every law."""
    world.together()
    for machine in world.machines:
        # The oracle compares every file of a folder; a file that is not selected goes by its person's hand.
        machine.user.delete(HIDDEN)
        if world.unscanned[machine.name]:
            machine.hear(sorted(world.unscanned[machine.name]))
    try:
        if not _comes_to_rest(world):
            Ending(world).run()
    except NeverAtRest as error:
        return [str(error)]
    except Exception as error:
        return [f"law 6: {error!r}", traceback.format_exc()]
    return [*complaints(world), *world.audit.complaints()]


def _comes_to_rest(world: SmallWorld) -> bool:
    """Let the daemons work by themselves. Returns False if that does not end in two equal folders.

    Open conflicts need a person, and some states need a verification: those are left to ``Ending``.
    """
    ending, until = Ending(world), world.now + _AGREE
    for _ in range(_STEPS):
        if ending._work():
            continue
        moments = [due for machine in world.machines if (due := machine.due_at()) is not None and due <= until]
        if not moments:
            break
        world.now = max(world.now, min(moments))
    waits = any(
        deciding.open_conflicts(machine) or machine.halted() or machine.engine.held for machine in world.machines
    )
    return not (waits or differences(world) or left_over(world))
