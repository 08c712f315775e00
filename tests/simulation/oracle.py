"""Checks of the laws from outside, once a run has come to rest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from agent.core.model import EMPTY_HASH, Mode
from simulation.indexes import SOURCE
from simulation.machine import Machine
from simulation.user import OUTSIDE, ROOT, SECRET, STATE, sha

if TYPE_CHECKING:
    from simulation.world import World

_OPERATION_ID = 32


def complaints(world: World) -> list[str]:
    """Every law that does not hold."""
    found = [*lost(world), *outside(world), *applied_twice(world), *differences(world), *left_over(world)]
    return found + invented(world) + miscounted(world)


def lost(world: World) -> list[str]:
    """Law 1: what people wrote, and did not remove with their own hands, and what the server took, can be had."""
    given_up = {digest for machine in world.machines for digest in machine.user.given_up}
    acked = {digest for machine in world.machines for digest in machine.acked}
    protected = (world.people.written - given_up) | world.people.accepted | world.people.refused | acked
    destroyed = {digest: what for machine in world.machines for digest, what in machine.fs.destroyed.items()}
    missing = (protected | destroyed.keys()) - to_be_had(world) - {EMPTY_HASH}
    return [
        f"law 1: the text {world.script.word(digest)} is nowhere any more {destroyed.get(digest, '')}".rstrip()
        for digest in sorted(missing)
    ]


def to_be_had(world: World, machines: Iterable[Machine] | None = None) -> set[str]:
    """Hashes of every text that stands somewhere: on the server, on a disk, or beside a conflict in an index.

    Args:
        machines: the machines to look at; None: all of them.
    """
    had = set(world.server.evidence(world.source_id).kept)
    for machine in world.machines if machines is None else machines:
        had |= {sha(node.data) for _, node in machine.fs.files()}
        for conflict in machine.conflicts():
            for digest in (conflict.local_hash, conflict.remote_hash):
                if digest is not None and machine.index.texts.get(digest) is not None:
                    had.add(digest)
    return had


def forgive_index(world: World) -> None:
    """An index was lost, and no agent is to blame: a conflict's text that stood in it alone is asked for no longer."""
    had = to_be_had(world)
    for texts in (world.people.written, *_taken(world)):
        texts.intersection_update(had)
    for machine in world.machines:
        machine.fs.destroyed = {digest: what for digest, what in machine.fs.destroyed.items() if digest in had}


def forgive_server(world: World) -> None:
    """The server was put back from an older copy, and no agent is to blame: what it took since, it need not have any
    more. What people wrote and a disk or an index still holds at this moment is asked for as ever.
    """
    forgive_index(world)
    kept = world.server.evidence(world.source_id).kept
    for texts in _taken(world):
        texts.intersection_update(kept)


def _taken(world: World) -> list[set[str]]:
    return [world.people.accepted, world.people.refused, *(machine.acked for machine in world.machines)]


def outside(world: World) -> list[str]:
    """Law 2: nothing but the folder and the agent's own state is touched or read, and nothing of it gets away. A folder
    that only sends is written to at decided paths alone.
    """
    found = [f"law 2: {machine.name}: {wrong}" for machine in world.machines for wrong in machine.fs.wrongs]
    for machine in world.machines:
        others = {name for name in machine.fs.top.names if name not in {ROOT, STATE, OUTSIDE}}
        files = {path: node.data for path, node in machine.fs.files(machine.fs.top.names[OUTSIDE])}
        if others or files != {"secret.md": SECRET}:
            found.append(f"law 2: {machine.name}: outside the folder stand {sorted(others)} and {sorted(files)}")
    if sha(SECRET) in world.server.evidence(world.source_id).kept:
        found.append("law 2: a file outside the folder was sent to the server")
    return found


def applied_twice(world: World) -> list[str]:
    """Law 3, which only the hub can keep: no operation is applied more than once."""
    if world.plan.server != "hub":
        return []
    applied = world.server.evidence(world.source_id).applied
    return [
        f"law 3: operation {identifier} was applied {count} times"
        for identifier, count in applied.items()
        if count > 1 and len(identifier) == _OPERATION_ID
    ]


def differences(world: World) -> list[str]:
    """Law 4: every folder equals the server, but for names that are a file and a folder at once, and for paths at which
    a link stands, which are not synced. Of a folder that only sends every text has been taken by the server; where ids
    name folders, perhaps at the path to which the folder had moved by then.
    """
    evidence = world.server.evidence(world.source_id)
    heads = {path: sha(text.encode()) for path, text in evidence.heads.items()}
    split = clashing(heads)
    found = []
    for machine in world.machines:
        if machine.habits.mode is Mode.BIDIRECTIONAL:
            found += _unlike(world, machine, heads, split)
            continue
        key = machine.fs.disk.key
        # What a server that was put back forgot was sent nevertheless, and stays in the folder as all the rest does.
        told = {(key(path), digest) for path, digest in {*evidence.told, *world.forgotten}}
        followed = {digest for _, digest in told} if world.plain is not None else set()
        tree = {path: sha(data) for path, data in machine.user.tree().items()}
        unsent = [p for p, digest in sorted(tree.items()) if (key(p), digest) not in told and digest not in followed]
        found += [f"law 4: {machine.name} never sent {_named(world, tree[path])} at {path}" for path in unsent]
    return found


def _unlike(world: World, machine: Machine, heads: dict[str, str], split: set[str]) -> list[str]:
    """Where a folder differs from the server. A path is let off where something of another spelling stands that the
    disk takes for the same name, and a person is told so.
    """
    user, found = machine.user, []
    links, reported = user.links(), machine.reported()
    tree = {machine.fs.disk.shown(path): sha(data) for path, data in user.tree().items()}
    for path in sorted(heads.keys() | tree.keys()):
        if heads.get(path) == tree.get(path) or path in split or _through(path, links):
            continue
        if not (user.has_twin(path) and path in reported):
            here, there = (_named(world, side.get(path)) for side in (tree, heads))
            found.append(f"law 4: {machine.name} holds {here} at {path}, the server {there}")
    return found


def _through(path: str, links: set[str]) -> bool:
    return any(path == link or path.startswith(link + "/") for link in links)


def clashing(heads: Iterable[str]) -> set[str]:
    """Paths the server holds that cannot all stand in one folder: a file, and files below it."""
    paths = set(heads)
    return {path for path in paths for other in paths if other.startswith(path + "/") or path.startswith(other + "/")}


def _named(world: World, digest: str | None) -> str:
    return "nothing" if digest is None else world.script.word(digest)


def late_writes(machine: Machine) -> bool:
    """Whether a file in the trash holds other bytes than its name says: a program wrote to it since."""
    for path, node in machine.fs.files():
        _, in_trash, name = path.rpartition("/trash/s/")
        parts = name.split("-", 4)
        if in_trash and len(parts) == 5 and set(parts[2]) != {"0"} and parts[2] != sha(node.data):
            return True
    return False


def left_over(world: World) -> list[str]:
    """Nothing temporary is left behind."""
    return [
        f"left over: {machine.name}: {path}"
        for machine in world.machines
        for path, _ in machine.fs.files()
        if ("/slots/" in path and not _is_linked(machine, path) and not _waits(path, machine))
        or _strange(path, machine)
    ]


def _is_linked(machine: Machine, path: str) -> bool:
    """Whether this is the record of a file in the trash that still has another name, so that it may change."""
    if not path.endswith(".watch"):
        return False
    identifier = path.rpartition("/")[2].removesuffix(".watch")
    nodes = [node for _, node in machine.fs.files()]
    found = [node for other, node in machine.fs.files() if "/trash/s/" in other and f"-{identifier}-" in other]
    return any(sum(other is node for other in nodes) > 1 for node in found)


def _waits(path: str, machine: Machine) -> bool:
    """Whether this is a download that cannot be installed for a reason that a person is told."""
    wanted = {transfer.id: transfer.path for transfer in machine.index.transfers.all(SOURCE)}
    identifier, _, mark = path.rpartition("/")[2].rpartition(".")
    return mark == "down" and wanted.get(identifier) in machine.reported()


def _strange(path: str, machine: Machine) -> bool:
    return path.startswith(f"{ROOT}/.") and "/trash/" not in path and machine.fs.disk.one_volume


def invented(world: World) -> list[str]:
    """Every file is wholly a text that somebody wrote, in the folders and on the server."""
    known = {sha(text) for text in world.people.texts}
    found = [
        f"invented: the server holds {digest}, which nobody wrote"
        for digest in sorted(world.server.evidence(world.source_id).kept - known - {EMPTY_HASH})
    ]
    for machine in world.machines:
        for path, data in sorted(machine.user.tree().items()):
            if sha(data) not in known:
                found.append(f"invented: {machine.name} holds {data[:40]!r} at {path}, which nobody wrote")
    return found


def miscounted(world: World) -> list[str]:
    """What an engine has counted with every change since it began is what its index holds."""
    found = []
    for machine in world.machines:
        if machine.alive:
            view, counted = machine.engine.view(), machine.index.trees.totals(SOURCE)
            if (view.files, view.size) != counted:
                found.append(f"miscounted: {machine.name} shows {(view.files, view.size)} and holds {counted}")
    return found
