"""Network between the machines and the server: it loses, delays, doubles and reorders, and answers for the server."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from simulation.fault_rates import FAULTS
from simulation.machine import Machine
from simulation.memory_fs import Crash
from strict_raven import Response
from strict_raven import faults as f

if TYPE_CHECKING:
    from simulation.world import World

_WRITES_FAIL = 8.0
"""Seconds of an outage in which only writes fail."""


class Network:
    """One for all machines."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._late: list[tuple[str, str, Mapping[str, str], bytes]] = []
        self._faulty: dict[str, f.Faulty] = {}
        self._failing_until = 0.0
        self._fails_for_all = True
        self.deleted: set[str] = set()
        """Paths that were deleted on the server at some time; kept only where listings may be empty."""
        self.depth = 0
        """How many requests are under way inside another."""

    @property
    def holds_back(self) -> bool:
        """Whether a request is still on its way, overtaken by later ones."""
        return bool(self._late)

    def _wait(self, seconds: float) -> None:
        self._world.now += seconds

    def _serve(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Response:
        world = self._world
        is_write = world.server.is_write(method, path)
        watched = world.chances.empty_listing and is_write
        before = world.server.heads(world.source_id).keys() if watched else set()
        answer = world.server.handle(method, path, headers, body)
        if watched:
            self.deleted |= before - world.server.heads(world.source_id).keys()
        if is_write:
            world.changes += 1
        return answer

    def carry(self, machine: Machine, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Response:
        """One request of a machine. Raises ConnectionLost and Crash."""
        world = self._world
        if path.endswith("/history") and world.chances.no_history and world.side.random() < world.chances.no_history:
            world.note(machine.name, "network: no history")
            return f.internal_error().change(None)
        if world.calm:
            return self._serve(method, path, headers, body)
        if not machine.alive:
            raise Crash
        if world.now < self._failing_until and (self._fails_for_all or _writes(path, body)):
            world.note(machine.name, "network: the server fails")
            return f.internal_error().change(None)
        chances, rng = world.chances, world.rng
        endpoint = path.rpartition("local-sync/")[2]
        if self.depth == 0 and rng.random() < chances.bystander:
            self._bystander(machine)
        if rng.random() < chances.crash_at_network:
            world.strike(machine, f"before {endpoint}")
        roll = rng.random()
        if roll < chances.late and world.server.is_write(method, path):
            world.note(machine.name, f"network: {endpoint} will arrive late")
            self._late.append((method, path, headers, body))
            raise f.ConnectionLost
        roll -= chances.late
        if roll < chances.doubled:
            world.note(machine.name, f"network: {endpoint} arrives twice")
            self._serve(method, path, headers, body)
        roll -= chances.doubled
        faulty = self._faulty.setdefault(machine.name, f.Faulty(self._serve, wait=self._wait))
        if 0 <= roll < chances.fault:
            fault = rng.choice(FAULTS)(world.now)
            world.note(machine.name, f"network: {fault.name} at {endpoint}")
            faulty.inject(fault)
        if chances.empty_listing and path.endswith("/sources/files") and rng.random() < chances.empty_listing:
            world.note(machine.name, "network: two empty listings")
            faulty.inject(f.empty_listing(), requests=2, on="/sources/files")
        if world.plain is not None:
            self._hide(faulty, machine, method, path)
        answer = faulty.handle(method, path, headers, body)
        if rng.random() < chances.crash_at_network:
            world.strike(machine, f"after {endpoint}")
        return answer

    def _hide(self, faulty: f.Faulty, machine: Machine, method: str, path: str) -> None:
        """A file that is there is said to be missing, or a folder to be empty while it is listed."""
        rng = self._world.rng
        if method == "GET" and _HEAD.search(path) and rng.random() < self._world.chances.hidden:
            self._world.note(machine.name, "network: a file is not to be seen")
            faulty.inject(_missing(), on=path)
        elif machine.lists and "/children" in path and rng.random() < max(_EMPTY, self._world.chances.hidden):
            self._world.note(machine.name, "network: an empty folder is listed")
            faulty.inject(_empty_folder(), on=path)
        cut = self._world.chances.cut_content
        if cut and method == "GET" and _CONTENT.search(path) and self._world.side.random() < cut:
            self._world.note(machine.name, "network: a content breaks off")
            faulty.inject(_broken_off(), on=path)

    def fail_for_a_while(self) -> None:
        """From now on the server answers 500 to everything, for seconds or a minute."""
        seconds = self._world.rng.choice([2.0, 8.0, 60.0])
        self._world.note("server", f"fails for {seconds:.0f} s")
        self._failing_until = self._world.now + seconds
        # A database that refuses writes still answers questions, and a batch without operations.
        self._fails_for_all = seconds != _WRITES_FAIL

    def _bystander(self, machine: Machine) -> None:
        """Something happens at the server between two requests of one call."""
        world, rng = self._world, self._world.rng
        self.depth += 1
        try:
            others = [other for other in world.machines if other is not machine and other.alive and other.ready_calls()]
            if others and rng.random() < 0.6:
                other = rng.choice(others)
                world.guarded(other, lambda: other.call(rng.choice(other.ready_calls())))
            else:
                world.edit_on_server()
        finally:
            self.depth -= 1

    def deliver_late(self) -> None:
        """A request that was overtaken arrives at last; nobody waits for its answer."""
        world = self._world
        method, path, headers, body = self._late.pop(world.rng.randrange(len(self._late)))
        world.note("server", f"late {path.rpartition('/')[2]} arrives")
        if world.plan.server == "strict":
            # A delete wipes conflicts there without a word, also those opened since its sender put their texts by.
            world.people.refused.clear()
        self._serve(method, path, headers, body)

    def flush(self) -> None:
        """What is still on its way arrives."""
        while self._late:
            self.deliver_late()


def _writes(path: str, body: bytes) -> bool:
    """True for a batch with operations."""
    return path.endswith(("/push-batch", "/commits")) and b'"items":[]' not in body


_EMPTY = 0.1
"""The least chance that an empty folder is listed."""
_HEAD = re.compile(r"/files/[^/]+$")
_CONTENT = re.compile(r"/content\b|/download/")


def _missing() -> f.Fault:
    return f.Fault("missing", f.Strikes.BEFORE, lambda _: Response(404, _JSON, b'{"detail": "no such file"}'))


def _empty_folder() -> f.Fault:
    return f.Fault("empty folder", f.Strikes.BEFORE, lambda _: Response(200, _JSON, b'{"items": [], "more": false}'))


def _broken_off() -> f.Fault:
    """The connection ends in the middle of an answer that stated its whole length."""

    def half(whole: Response | None) -> Response:
        assert whole is not None
        stated = {**whole.headers, "content-length": str(len(whole.body))}
        return Response(whole.status, stated, whole.body[: len(whole.body) // 2])

    return f.Fault("broken off", f.Strikes.AFTER, half)


_JSON = {"content-type": "application/json"}
