"""Decisions of users: conflicts, held deletes, and sources that stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.core import merge
from agent.core.conflict import Conflict, ConflictOrigin, ConflictState
from agent.core.model import Resolution
from agent.engine import messages as m
from simulation.machine import Machine
from simulation.user import sha

if TYPE_CHECKING:
    from simulation.world import World


def open_conflicts(machine: Machine) -> list[tuple[int, int, str]]:
    """(id, generation, path) of conflicts that wait for a person."""
    return [(c.id, c.generation, c.path) for c in machine.conflicts() if c.mine and c.state is ConflictState.OPEN]


class WrongMerge(AssertionError):
    """A merge is proposed as clean without a base, or on another text than the one the refused edit was made on."""


def proposal(world: World, machine: Machine, conflict: Conflict) -> bytes | None:
    """Return the merge that a person is offered as clean; None where there is none.

    Raises:
        WrongMerge: there is no base to merge on, or the server says that an edit made on it had another base.
    """
    texts = {sha(text): text for text in world.people.texts}
    base, local, remote = (texts.get(h or "") for h in (conflict.base_hash, conflict.local_hash, conflict.remote_hash))
    offered = merge.propose(base, local, remote)
    if offered is None or not offered.clean:
        return None
    if base is None:
        raise WrongMerge(f"{conflict.path} is merged without the text of its base")
    # Only Raven's dialect has conflicts about edits that were made on the server, and names their bases.
    listed = world.conflict_bases() if conflict.origin is ConflictOrigin.SERVER_EDIT else {}
    for server_id in conflict.server_ids:
        if listed.get(server_id, conflict.base_hash) != conflict.base_hash:
            raise WrongMerge(f"{conflict.path} is merged on {world.script.word(conflict.base_hash)}")
    world.people.add(offered.text)
    return offered.text


def decide(world: World, machine: Machine) -> None:
    """A person resolves a conflict; as the command does, the local text is read when it is the one to keep."""
    identifier, generation, path = world.rng.choice(open_conflicts(machine))
    choice = world.rng.choice(list(Resolution))
    text = world.people.text(b"") if choice is Resolution.MANUAL_MERGE else None
    if world.chances.proposed and world.rng.random() < world.chances.proposed:
        merged = proposal(world, machine, machine.conflict(identifier))
        choice, text = (choice, text) if merged is None else (Resolution.MANUAL_MERGE, merged)
    if choice is Resolution.KEEP_LOCAL:
        local = machine.conflict(identifier).local_hash
        text = machine.user.read(path)
        if (text is not None and sha(text)) != (local or False):
            return
    world.note(machine.name, f"decides {path}: {choice} {world.people.name(text) if text is not None else ''}")
    machine.resolve(m.Resolve(identifier, generation, choice, text), path)


def release(world: World, machine: Machine) -> None:
    """A person says what becomes of held deletes."""
    held = machine.engine.held
    assert held is not None
    decisions: list[m.Message] = [m.ApproveDeletes(held.plan), m.UndoDeletes()]
    machine.tell(world.rng.choice(decisions))


def take_back(world: World, machine: Machine) -> None:
    """A person restores an older text of a file; a path in conflict is left alone by the command."""
    paths = machine.user.paths()
    if not paths:
        return
    path, text = world.rng.choice(paths), world.rng.choice(world.people.texts)
    world.note(machine.name, f"restores {path} = {world.people.name(text)}")
    machine.decided.add(path)
    machine.tell(m.Restore(path, text))


def put_back(world: World, machine: Machine) -> None:
    """A person puts some of the files back by hand whose deletes are held."""
    held = machine.engine.held
    assert held is not None
    texts = {sha(text): text for text in world.people.texts}
    for path, digest in sorted(held.files):
        if digest in texts and machine.user.read(path) is None and world.rng.random() < 0.5:
            machine.user.write(path, texts[digest])
            world.note(machine.name, f"puts {path} back = {world.people.name(texts[digest])}")
            machine.hear([path])


def go_on(world: World, machine: Machine) -> None:
    """A person has looked at a halted source and lets it go on."""
    world.note(machine.name, "is told to go on")
    machine.tell(m.Resume())
