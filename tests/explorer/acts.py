"""The events whose orders are visited. Each act is whole: it ends when nothing of it is left to do.

"Lost answer" and "crash" are acts as well; a search bounds their number in one trace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from agent.core.model import Resolution
from agent.engine import effects as e
from agent.engine import messages as m
from explorer.world import SmallWorld
from simulation import deciding
from simulation.machine import FOLDER_LANE, WATCHER_LANE, Machine
from simulation.user import sha

_ROUNDS = 60
_SOON = 1.5
"""Seconds that a scan waits for the timers of the engine: the quiet periods of edits and of deletes."""
HIDDEN = "hidden.bin"
"""A rename to a name that is not selected."""


@dataclass(frozen=True, slots=True)
class Act:
    """One event.

    Attributes:
        name: as it is printed in a trace.
        fault: True for a lost answer or a crash.
    """

    name: str
    happen: Callable[[], None]
    fault: bool = False


def acts(world: SmallWorld) -> Iterator[Act]:
    """Every act that can happen now."""
    for machine in world.machines:
        yield from _of_person(world, machine)
        yield from _of_agent(world, machine)
    heads = world.server.heads(world.source_id)
    for path in world.files:
        if path in heads:
            yield Act(f"page edit of {path}", partial(_page_edit, world, path, stale=False))
            yield Act(f"page edit of {path} on an old base", partial(_page_edit, world, path, stale=True))


def _of_person(world: SmallWorld, machine: Machine) -> Iterator[Act]:
    name = machine.name
    for path in world.files:
        yield Act(f"{name} edits {path}", partial(world.write, machine, path))
        if machine.user.read(path) is None:
            continue
        yield Act(f"{name} deletes {path}", partial(_delete, world, machine, path))
        for other in [other for other in world.files if other != path] or [HIDDEN]:
            yield Act(f"{name} renames {path} to {other}", partial(_rename, world, machine, path, other))
    if machine.user.read(HIDDEN) is not None:
        to = world.files[0]
        yield Act(f"{name} renames {HIDDEN} to {to}", partial(_rename, world, machine, HIDDEN, to))
    for at in deciding.open_conflicts(machine):
        for choice in Resolution:
            yield Act(f"{name} resolves {at[2]}: {choice}", partial(_resolve, world, machine, at, choice))
    if machine.engine.held is not None:
        yield Act(f"{name} approves the deletes", partial(_approve, machine))


def _of_agent(world: SmallWorld, machine: Machine) -> Iterator[Act]:
    name = machine.name
    if world.unscanned[name] or machine.folder_work or machine.said[FOLDER_LANE] or machine.said[WATCHER_LANE]:
        yield Act(f"{name} looks", partial(_look, world, machine))
    calls = [call.effect for call in machine.calls]
    if any(not isinstance(effect, e.Poll) for effect in calls):
        yield Act(f"{name} pushes", partial(_push, world, machine))
    if any(isinstance(effect, e.Send) for effect in calls):
        yield Act(f"{name} pushes and the answer is lost", partial(_push, world, machine, lose=True), fault=True)
    if _is_behind(world, machine):
        yield Act(f"{name} pulls", partial(_pull, world, machine))
    yield Act(f"{name} crashes", partial(_crash, world, machine), fault=True)


def _is_behind(world: SmallWorld, machine: Machine) -> bool:
    """True if the poll would not wait, or there is none and a timer will make one."""
    polls = [call for call in machine.calls if isinstance(call.effect, e.Poll)]
    return any(call.changes != world.changes for call in polls) or (not polls and machine.wake is not None)


def _delete(world: SmallWorld, machine: Machine, path: str) -> None:
    machine.user.delete(path)
    world.unscanned[machine.name].add(path)


def _rename(world: SmallWorld, machine: Machine, path: str, to: str) -> None:
    machine.user.rename(path, to)
    world.unscanned[machine.name].update({path, to})


def _resolve(world: SmallWorld, machine: Machine, at: tuple[int, int, str], choice: Resolution) -> None:
    identifier, generation, path = at
    text = world.new_text(machine.name) if choice is Resolution.MANUAL_MERGE else None
    if choice is Resolution.KEEP_LOCAL:
        text = machine.user.read(path)
        local = machine.conflict(identifier).local_hash
        if (None if text is None else sha(text)) != local:
            return
    machine.resolve(m.Resolve(identifier, generation, choice, text), path)


def _approve(machine: Machine) -> None:
    held = machine.engine.held
    if held is not None:
        machine.tell(m.ApproveDeletes(held.plan))


def _look(world: SmallWorld, machine: Machine) -> None:
    """Let the watcher report, and carry out all work on the folder."""
    if world.unscanned[machine.name]:
        machine.hear(sorted(world.unscanned[machine.name]))
        world.unscanned[machine.name].clear()
    until = world.now + _SOON
    for _ in range(_ROUNDS):
        lanes = [lane for lane in (WATCHER_LANE, FOLDER_LANE) if machine.said[lane]]
        due = machine.due_at()
        if lanes:
            machine.deliver(lanes[0], 20)
        elif machine.folder_work:
            machine.work()
        elif due is not None and due <= until:
            world.now = max(world.now, due)
            machine.tick()
        else:
            return
    raise AssertionError(f"{machine.name}: the work on the folder does not end")


def _push(world: SmallWorld, machine: Machine, *, lose: bool = False) -> None:
    """Carry out the calls to the server that wait now, polls excepted, and deliver their answers."""
    world.lose_next = lose
    for call in [call for call in machine.calls if not isinstance(call.effect, e.Poll)]:
        if call in machine.calls:
            machine.call(call)
            _deliver_answers(machine)
    world.lose_next = False


def _pull(world: SmallWorld, machine: Machine) -> None:
    """Read one page of the feed."""
    due = machine.due_at()
    if not any(isinstance(call.effect, e.Poll) for call in machine.calls) and due is not None:
        world.now = max(world.now, due)
        machine.tick()
    for call in [call for call in machine.calls if isinstance(call.effect, e.Poll)][:1]:
        world.now = max(world.now, machine.ready_at(call))
        machine.call(call)
        _deliver_answers(machine)


def _deliver_answers(machine: Machine) -> None:
    while lanes := [lane for lane in machine.lanes() if lane not in {FOLDER_LANE, WATCHER_LANE}]:
        machine.deliver(lanes[0], 20)


def _crash(world: SmallWorld, machine: Machine) -> None:
    """The process ends, the power too, and a new process starts."""
    machine.kill()
    machine.fs.lose_power(world.rng)
    world.start(machine)


def _page_edit(world: SmallWorld, path: str, *, stale: bool) -> None:
    """Somebody edits a file on the server, on its head or on a text that was never the head."""
    head = world.server.heads(world.source_id)[path]
    text = world.new_text("page")
    base = sha(b"never a head") if stale else sha(head.encode())
    status, answer = world.ask(
        "sources/file/update", sourceId=world.source_id, relativePath=path, content=text.decode(), baseHash=base
    )
    assert status == 200, answer
    taken = world.people.accepted if answer["data"]["status"] == "ok" else world.people.refused
    taken.add(sha(text))
