"""The events whose orders are visited. Each act is whole: it ends when nothing of it is left to do.

"Lost answer" and "crash" are acts as well; a search bounds their number in one order.
"""

from __future__ import annotations

import random
from typing import Any, Final

from agent.core.model import Resolution
from agent.engine import effects as e
from agent.engine import messages as m
from explorer.texts import NO_HEAD, Value, token
from explorer.views import (
    AGES,
    ASIDE,
    CALLS,
    CONFLICTS,
    CORE,
    DURABLE,
    FOLDER,
    HELD,
    PAGE,
    PROCESS,
    RACY,
    SAID,
    STIRRED,
    STORED,
    UNDURABLE,
    UNREAD,
    UNSCANNED,
    WAKE,
    WORK,
)
from explorer.world import HIDDEN, PATIENCE, SmallWorld
from simulation import deciding
from simulation.machine import FOLDER_LANE, WATCHER_LANE, Knows, Machine
from simulation.user import sha

Act = tuple[str, ...]
"""The kind of an act, and what it is about. It does not say whose act it is."""

EDIT, DELETE, RENAME = "edits", "deletes", "renames"
LOOK, PUSH, LOST, PULL = "looks", "pushes", "pushes and the answer is lost", "pulls"
CRASH, POWER = "crashes", "loses power"
RESOLVE, APPROVE = "resolves", "approves the deletes"
PAGE_EDIT, STALE_EDIT = "edit of", "edit on an old base of"
FAULTS: Final = frozenset({LOST, CRASH, POWER})
BY_HAND: Final = frozenset({EDIT, DELETE, RENAME})
PAGE_EDITS: Final = frozenset({PAGE_EDIT, STALE_EDIT})
WRITES: Final = {
    LOOK: (FOLDER, UNSCANNED, AGES, STORED, PROCESS, STIRRED),
    PUSH: (STORED, PROCESS, CORE, STIRRED),
    LOST: (STORED, PROCESS, CORE, STIRRED),
    PULL: (AGES, STORED, PROCESS, UNREAD, STIRRED),
    RESOLVE: (STORED, PROCESS, STIRRED),
    APPROVE: (STORED, PROCESS, STIRRED),
    CRASH: (STORED, PROCESS, STIRRED),
    POWER: (FOLDER, STORED, PROCESS, STIRRED),
    PAGE_EDIT: (CORE,),
    STALE_EDIT: (CORE,),
}
"""By kind of act: the parts of a local state that it can change. Each act that is carried out is checked against it."""
READS: Final = {
    # A look reads the folder, but asks the server nothing.
    LOOK: (FOLDER, UNSCANNED, AGES, STORED, PROCESS),
    # A push reads the texts that it sends.
    PUSH: (FOLDER, STORED, PROCESS, CORE, STIRRED),
    LOST: (FOLDER, STORED, PROCESS, CORE, STIRRED),
    # A pull gives the engine events; the work on the folder that follows from them is done by a look.
    PULL: (STORED, PROCESS, UNREAD, CORE, STIRRED),
    RESOLVE: (STORED, PROCESS),
    APPROVE: (STORED, PROCESS),
    # A new process knows nothing but what is stored.
    CRASH: (STORED,),
    POWER: (FOLDER, STORED),
    PAGE_EDIT: (CORE,),
    STALE_EDIT: (CORE,),
}
"""By kind of act: the parts of a local state that it depends on. Acts on states that are equal in them are carried out
once.

Two parts need not be read by acts that can only replace them whole. Files age while time passes, and a pull lets either
no time pass or enough for every file to be old. The poll that waits for somebody else's write goes on doing so, or a
new one takes its place. An act so keeps these parts, or makes them the same whatever they were (``execution._kept``).
"""


def reads(act: Act) -> tuple[int, ...]:
    """Return the parts of a local state that an act depends on."""
    # Who keeps the local text of a conflict gives the text in the folder, as the command does.
    return (FOLDER, *READS[RESOLVE]) if act[0] == RESOLVE and act[2] is Resolution.KEEP_LOCAL else READS[act[0]]


_ROUNDS: Final = 60


def told(who: str, act: Act) -> str:
    """Return an act as it is printed in a trace."""
    kind, *about = act
    if kind == RENAME:
        return f"{who} {kind} {about[0]} to {about[1]}"
    return " ".join([who, kind, *about])


def possible(state: Value, files: tuple[str, ...]) -> list[Act]:
    """Return every act that a machine in this local state can do now."""
    stored, process, there = state[STORED], state[PROCESS], [path for path, _ in state[FOLDER]]
    acts: list[Act] = []
    for path in files:
        acts.append((EDIT, path))
        if path in there:
            others = [other for other in files if other != path] or [HIDDEN]
            acts += [(DELETE, path), *((RENAME, path, other) for other in others)]
    if state[ASIDE]:
        acts.append((RENAME, HIDDEN, files[0]))
    waiting = [found for found in stored[CONFLICTS] if found[7] == "open" and found[8]]
    acts += [(RESOLVE, str(place), choice) for place in range(len(waiting)) for choice in Resolution]
    if process[HELD]:
        acts.append((APPROVE,))
    if state[UNSCANNED] or process[WORK] or any(lane in (FOLDER_LANE, WATCHER_LANE) for lane, _ in process[SAID]):
        acts.append((LOOK,))
    names = {call[0] for call in process[CALLS]}
    acts += [(PUSH,)] if names - {"Poll"} else []
    acts += [(LOST,)] if "Send" in names else []
    if state[STIRRED] or ("Poll" not in names and process[WAKE] is not None):
        acts.append((PULL,))
    acts.append((CRASH,))
    # Where everything is durable, a loss of power is a crash.
    return acts if stored[UNDURABLE] == DURABLE else [*acts, (POWER,)]


def page_edits(state: Value, files: tuple[str, ...]) -> list[Act]:
    """Return every edit that somebody can make on the server."""
    heads = [path for path, _ in state[CORE][0]]
    return [(kind, path) for path in files if path in heads for kind in (PAGE_EDIT, STALE_EDIT)]


def by_hand(state: Value, act: Act, fresh: int) -> Value:
    """Return a local state after a person changed the folder; an edit writes the text of number ``fresh``."""
    kind, path, *to = act
    files, ages = dict(state[FOLDER]), dict(state[AGES])
    if state[ASIDE]:
        files[HIDDEN] = state[ASIDE][0]
    if kind == EDIT:
        files[path], ages[path] = token(fresh), 0.0
    elif kind == DELETE:
        del files[path]
        ages.pop(path, None)
    else:
        files[to[0]] = files.pop(path)
        age = ages.pop(path, None)
        ages.pop(to[0], None)
        ages |= {} if age is None else {to[0]: age}
    after = list(state)
    after[ASIDE] = (files.pop(HIDDEN),) if HIDDEN in files else ()
    after[FOLDER] = tuple(sorted(files.items()))
    after[AGES] = tuple(sorted(ages.items()))
    after[UNSCANNED] = tuple(sorted({*state[UNSCANNED], path, *to}))
    # What people do is durable at once, with every change of names before it.
    contents = tuple(place for place in state[STORED][UNDURABLE][1] if not place.endswith(f"/{path}"))
    after[STORED] = (((), contents), *state[STORED][1:])
    return tuple(after)


def happen(world: SmallWorld, who: str, act: Act) -> None:
    """Carry an act out."""
    kind, *about = act
    if who == PAGE:
        world.together()
        _page_edit(world, about[0], stale=kind == STALE_EDIT)
        return
    machine = next(machine for machine in world.machines if machine.name == who)
    with world.turn(who):
        if kind in BY_HAND:
            _by_person(world, machine, act)
        elif kind == RESOLVE:
            _resolve(world, machine, deciding.open_conflicts(machine)[int(about[0])], Resolution(about[1]))
        elif kind == APPROVE:
            assert machine.engine.held is not None
            machine.tell(m.ApproveDeletes(machine.engine.held.plan))
        else:
            _OF_AGENT[kind](world, machine)


def _by_person(world: SmallWorld, machine: Machine, act: Act) -> None:
    kind, *paths = act
    if kind == EDIT:
        world.write(machine, paths[0])
    elif kind == DELETE:
        machine.user.delete(paths[0])
    else:
        machine.user.rename(*paths)
    world.unscanned[machine.name].update(paths)


def _resolve(world: SmallWorld, machine: Machine, at: tuple[int, int, str], choice: Resolution) -> None:
    identifier, generation, path = at
    text = world.new_text(machine.name) if choice is Resolution.MANUAL_MERGE else None
    if choice is Resolution.KEEP_LOCAL:
        text = machine.user.read(path)
        if (None if text is None else sha(text)) != machine.conflict(identifier).local_hash:
            return
    machine.resolve(m.Resolve(identifier, generation, choice, text), path)


def _look(world: SmallWorld, machine: Machine) -> None:
    """Let the watcher report, and carry out all work on the folder."""
    if world.unscanned[machine.name]:
        machine.hear(sorted(world.unscanned[machine.name]))
        world.unscanned[machine.name].clear()
    until = world.now + PATIENCE
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
            # How long the engine waited for its timers would tell states apart that do the same from here on.
            world.now = until
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


def _push_and_lose(world: SmallWorld, machine: Machine) -> None:
    _push(world, machine, lose=True)


def _pull(world: SmallWorld, machine: Machine) -> None:
    """Read one page of the feed. Whoever has to wait for it waits until no file is new any more."""
    due, began = machine.due_at(), world.now
    if not any(isinstance(call.effect, e.Poll) for call in machine.calls) and due is not None:
        world.now = max(world.now, due)
        machine.tick()
    for call in [call for call in machine.calls if isinstance(call.effect, e.Poll)][:1]:
        world.now = max(world.now, machine.ready_at(call))
        machine.call(call)
        _deliver_answers(machine)
    if world.now > began:
        world.now = max(world.now, began + RACY)


def _deliver_answers(machine: Machine) -> None:
    while lanes := [lane for lane in machine.lanes() if lane not in {FOLDER_LANE, WATCHER_LANE}]:
        machine.deliver(lanes[0], 20)


def _crash(_world: SmallWorld, machine: Machine) -> None:
    """End the process, and start a new one."""
    machine.kill()
    machine.start(Knows.AT_ONCE)


class _Worst(random.Random):
    """Chooses the worst: nothing that was not durable is left."""

    def randint(self, a: int, b: int) -> int:
        """Return the lower bound."""
        return min(a, b)

    def choice(self, seq: Any) -> Any:
        """Return the first."""
        return seq[0]


def _lose_power(_world: SmallWorld, machine: Machine) -> None:
    machine.kill()
    machine.fs.lose_power(_Worst())
    machine.start(Knows.AT_ONCE)


_OF_AGENT: Final = {LOOK: _look, PUSH: _push, LOST: _push_and_lose, PULL: _pull, CRASH: _crash, POWER: _lose_power}


def _page_edit(world: SmallWorld, path: str, *, stale: bool) -> None:
    """Somebody edits a file on the server, on its head or on a text that was never the head."""
    head = world.server.heads(world.source_id)[path]
    text = world.new_text(PAGE)
    base = NO_HEAD if stale else sha(head.encode())
    status, answer = world.ask(
        "sources/file/update", sourceId=world.source_id, relativePath=path, content=text.decode(), baseHash=base
    )
    assert status == 200, answer
    taken = world.people.accepted if answer["data"]["status"] == "ok" else world.people.refused
    taken.add(sha(text))
