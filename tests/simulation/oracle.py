"""The laws, looked at from outside once a run has come to rest."""

from __future__ import annotations

from collections.abc import Iterable

from agent.core.model import EMPTY_HASH, Mode
from simulation.machine import Machine
from simulation.user import OUTSIDE, ROOT, SECRET, STATE, sha
from simulation.world import World

_OPERATION_ID = 32


def complaints(world: World) -> list[str]:
    """Every law that does not hold."""
    found = [*lost(world), *outside(world), *applied_twice(world), *differences(world), *left_over(world)]
    return found + invented(world)


def lost(world: World) -> list[str]:
    """Law 1: what people wrote, and did not remove with their own hands, and what the server took, can be had."""
    given_up = {digest for machine in world.machines for digest in machine.user.given_up}
    acked = {digest for machine in world.machines for digest in machine.acked}
    protected = (world.people.written - given_up) | world.people.accepted | world.people.refused | acked
    destroyed = {digest: what for machine in world.machines for digest, what in machine.fs.destroyed.items()}
    missing = (protected | destroyed.keys()) - _to_be_had(world) - {EMPTY_HASH}
    return [
        f"law 1: the text {world.script.word(digest)} is nowhere any more {destroyed.get(digest, '')}".rstrip()
        for digest in sorted(missing)
    ]


def _to_be_had(world: World) -> set[str]:
    had = set(world.server.evidence(world.source_id).kept)
    for machine in world.machines:
        had |= {sha(node.data) for _, node in machine.fs.files()}
        for conflict in machine.conflicts():
            for digest in (conflict.local_hash, conflict.remote_hash):
                if digest is not None and machine.index.conflicts.text(digest) is not None:
                    had.add(digest)
    return had


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
    a link stands, which are not synced. Of a folder that only sends every text has been taken by the server.
    """
    evidence = world.server.evidence(world.source_id)
    heads = {path: sha(text.encode()) for path, text in evidence.heads.items()}
    split = clashing(heads)
    found = []
    for machine in world.machines:
        tree = {path: sha(data) for path, data in machine.user.tree().items()}
        if machine.habits.mode is not Mode.BIDIRECTIONAL:
            unsent = sorted((path, digest) for path, digest in tree.items() if (path, digest) not in evidence.told)
            found += [f"law 4: {machine.name} never sent {_named(world, digest)} at {path}" for path, digest in unsent]
            continue
        links = machine.user.links()
        for path in sorted(heads.keys() | tree.keys()):
            if path not in split and heads.get(path) != tree.get(path) and not _through(path, links):
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


def left_over(world: World) -> list[str]:
    """Nothing temporary is left behind."""
    return [
        f"left over: {machine.name}: {path}"
        for machine in world.machines
        for path, _ in machine.fs.files()
        if "/slots/" in path or _strange(path, machine)
    ]


def _strange(path: str, machine: Machine) -> bool:
    return path.startswith(f"{ROOT}/.") and "/trash/" not in path and machine.fs.disk.one_volume


def invented(world: World) -> list[str]:
    """Every file is wholly a text that somebody wrote."""
    known = {sha(text) for text in world.people.texts}
    found = []
    for machine in world.machines:
        for path, data in sorted(machine.user.tree().items()):
            if sha(data) not in known:
                found.append(f"invented: {machine.name} holds {data[:40]!r} at {path}, which nobody wrote")
    return found
