"""Older copies of a machine's index and of the server's content; an index may also be lost."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from simulation.indexes import generation_of, index_of
from simulation.machine import Machine
from simulation.oracle import forgive_index, forgive_server

if TYPE_CHECKING:
    from simulation.world import World


class Copies:
    """What somebody put by, and puts back in the place of what is there.

    Machines find out by the generation of their index, as the daemon does at each start. A copy of the generation that
    is at work is never put back: it differs by minutes from what it replaces, and nobody could tell.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._indexes: dict[str, bytes] = {}
        self._server: object | None = None

    def copy_index(self, machine: Machine) -> None:
        """Put a copy of the index by."""
        self._world.note(machine.name, "has its index copied")
        self._indexes[machine.name] = machine.index.connection.serialize()

    def lose_index(self, machine: Machine) -> None:
        """The index is gone, or damaged and set aside; the agent starts with an empty one."""
        self._world.note(machine.name, "loses its index")
        self._replace(machine, None)

    def has_older(self, machine: Machine) -> bool:
        """Whether there is a copy of an earlier generation."""
        copy = self._indexes.get(machine.name)
        if copy is None:
            return False
        with contextlib.closing(index_of(copy).connection) as older:
            return generation_of(older) < generation_of(machine.index.connection)

    def restore_index(self, machine: Machine) -> None:
        """The index is put back from the copy."""
        self._world.note(machine.name, "has its index put back from the copy")
        self._replace(machine, self._indexes[machine.name])

    def _replace(self, machine: Machine, copy: bytes | None) -> None:
        if machine.alive:
            machine.kill()
        machine.replace_index(copy)
        self._world.restored.add(machine.name)
        machine.ledger.is_blind = True
        # A conflict's text may have stood in that index alone.
        forgive_index(self._world)

    def copy_server(self) -> None:
        """Somebody makes a backup of the server."""
        self._world.note("server", "is copied")
        self._server = self._world.server.snapshot()

    @property
    def has_server(self) -> bool:
        """Whether there is a copy of the server."""
        return self._server is not None

    def restore_server(self) -> None:
        """The server is put back from its backup: what came after it is forgotten, numbers are given out again."""
        world = self._world
        world.note("server", "is put back from the copy")
        world.forgotten |= world.server.evidence(world.source_id).told
        world.server.restore(self._server)
        world.restored.add("server")
        world.changes += 1
        forgive_server(world)
