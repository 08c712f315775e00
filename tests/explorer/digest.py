"""The digest by which states are told apart: trees, conflicts, operations, server, disk, and the work that waits.

Two states are equal if they differ only in the names of texts or in which machine is called A. Both have the same
continuations, so only one of them is explored.
"""

from __future__ import annotations

import hashlib
import itertools
from typing import Any

from agent.engine import effects as e
from explorer.world import SmallWorld
from simulation.machine import Machine
from simulation.user import sha

_ROWS = (
    "SELECT path, base_hash, local_presence, local_hash, remote_hash, step FROM files ORDER BY path",
    "SELECT path, kind, origin, base_hash, local_hash, remote_hash, head_hash, state, mine, choice, wanted_hash "
    "FROM conflicts WHERE state <> 'closed' ORDER BY path, id",
    "SELECT path, verb, hash, base, purpose, state FROM operations "
    "WHERE state IN ('stored', 'unsettled', 'acked') ORDER BY seq",
    "SELECT path, new, expected, purpose FROM intents ORDER BY path",
    "SELECT path, hash, reason FROM stashes ORDER BY path, hash",
    "SELECT halted IS NOT NULL, remote_paused, rejoin FROM sources",
)
_HASH_LENGTH = 64


def digest(world: SmallWorld) -> int:
    """60 bits of the state."""
    server = _server(world)
    views = [_machine(world, machine) for machine in world.machines]
    forms = (_canonical((server, order)) for order in itertools.permutations(views))
    return int.from_bytes(hashlib.blake2b(min(forms), digest_size=8).digest()) >> 4


def _machine(world: SmallWorld, machine: Machine) -> tuple[Any, ...]:
    connection = machine.index.connection
    row = connection.execute("SELECT cursor FROM sources").fetchone()
    return (
        tuple(sorted((path, sha(data)) for path, data in machine.user.tree().items())),
        tuple(tuple(connection.execute(query).fetchall()) for query in _ROWS),
        tuple(type(effect).__name__ for effect in machine.folder_work),
        tuple(sorted(_call(call.effect) for call in machine.calls)),
        tuple(len(waiting) for waiting in machine.said.values()),
        tuple(sorted(world.unscanned[machine.name])),
        tuple(_events(world, int((row and row[0]) or 0))),
        machine.engine.held is not None,
    )


def _call(effect: e.Effect) -> tuple[str, ...]:
    if isinstance(effect, e.Send):
        return ("Send", *(f"{part.operation.path} {part.operation.verb}" for part in effect.parcels))
    return (type(effect).__name__,)


def _events(world: SmallWorld, cursor: int) -> list[tuple[Any, ...]]:
    """The events that a machine has not read."""
    status, answer = world.ask("sources/deltas", sourceId=world.source_id, cursor=cursor, limit=500)
    assert status == 200, answer
    events = answer["data"]["events"]
    return [(event["type"], event.get("relativePath"), event["payload"].get("hash")) for event in events]


def _server(world: SmallWorld) -> tuple[Any, ...]:
    status, answer = world.ask("sources/conflicts", sourceId=world.source_id)
    assert status == 200, answer
    conflicts = sorted(
        (one["relativePath"], str(one["baseHash"]), str(one["localHash"]), str(one["remoteHash"]))
        for one in answer["data"]
    )
    heads = world.server.heads(world.source_id)
    return tuple(sorted((path, sha(text.encode())) for path, text in heads.items())), tuple(conflicts)


def _canonical(state: tuple[Any, ...]) -> bytes:
    """Write a state with its texts numbered in the order in which they appear."""
    numbers: dict[str, str] = {}

    def plain(value: Any) -> Any:
        if isinstance(value, tuple | list):
            return [plain(part) for part in value]
        if isinstance(value, str) and len(value) == _HASH_LENGTH:
            return numbers.setdefault(value, f"#{len(numbers)}")
        return value

    return repr(plain(state)).encode()
