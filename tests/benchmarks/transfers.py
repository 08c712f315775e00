"""Whole folders brought up and down: what each took, and what the plain programs took for the same."""

from __future__ import annotations

import contextlib
import itertools
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.machines import Machine, until_calm, until_rest
from benchmarks.measure import Cost, cpu_of, middle, run
from benchmarks.relay import Asked
from benchmarks.sizes import shape_of
from benchmarks.tree import grow
from support.processes import Daemon
from support.servers import HubServer

_HERE: Final = Path(__file__).parent
_numbers = itertools.count()


def plain_push(hub: HubServer, folder: Path, scratch: Path) -> tuple[Cost, str]:
    """The prototype's push of a folder to a source of its own: only the push, the table it starts from is there."""
    database = scratch / f"plain-push-{next(_numbers)}.sqlite"
    source = hub.new_source()
    prototype("scan", folder, database)
    return prototype("push", folder, database, hub.url, hub.token, hub.workspace, source), source


def plain_pull(hub: HubServer, source: str, scratch: Path) -> Cost:
    """The prototype's pull of a source onto an empty folder."""
    folder = scratch / f"plain-pull-{next(_numbers)}"
    folder.mkdir()
    return prototype("pull", folder, hub.url, hub.token, hub.workspace, source)


def prototype(job: str, *arguments: str | Path) -> Cost:
    """One prototype as a process of its own."""
    return run([sys.executable, "-P", _HERE / "prototypes.py", job, *arguments])


def _cpu_of(hub: HubServer) -> float:
    return cpu_of(hub.running.process.pid)


@dataclass(frozen=True, slots=True)
class Moved:
    """A whole folder that went one way.

    Attributes:
        machine: whose folder it is.
        source: what it is linked to.
        cost: the agent's; ``plain`` the prototype's.
        hub_cpu: seconds of processor the hub used for the agent.
        asked: what the agent asked of the hub.
    """

    machine: Machine
    source: str
    cost: Cost
    plain: Cost
    hub_cpu: float
    asked: Asked


def pushed(machine: Machine, hub: HubServer, files: int, scratch: Path) -> Moved:
    """A new folder of so many files brought up onto a source of its own."""
    grow(machine.folder, shape_of(files))
    plain, _ = plain_push(hub, machine.folder, scratch)
    before = _cpu_of(hub)
    cost, report = machine.up_timed()
    used = _cpu_of(hub) - before
    assert (report["state"], report["pushed"], report["errors"]) == ("up_to_date", files, [])
    return Moved(machine, report["id"], cost, plain, used, machine.relay.counted())


def pulled(machine: Machine, hub: HubServer, source: str, scratch: Path) -> Moved:
    """A source brought down onto an empty folder."""
    plain = plain_pull(hub, source, scratch)
    before = _cpu_of(hub)
    cost = machine.join(source)
    return Moved(machine, source, cost, plain, _cpu_of(hub) - before, machine.relay.counted())


@dataclass(frozen=True, slots=True)
class Transfer:
    """One folder that went up from one machine and down to another."""

    up: Moved
    down: Moved

    @property
    def wall(self) -> float:
        """Seconds from the one machine's disk to the other's."""
        return self.up.cost.wall + self.down.cost.wall

    @property
    def plain_wall(self) -> float:
        """The same of the plain programs."""
        return self.up.plain.wall + self.down.plain.wall


def typical(moves: list[Moved]) -> tuple[Cost, Cost]:
    """The middle of what the agent took, and of what the prototype took."""
    return middle([move.cost for move in moves]), middle([move.plain for move in moves])


@dataclass(frozen=True, slots=True)
class Pair:
    """Two machines on one source, both with a running agent, at rest."""

    source: str
    left: Machine
    right: Machine
    daemons: tuple[Daemon, Daemon]

    def counted(self) -> tuple[Asked, Asked]:
        """What each asked of the hub since the last time."""
        return self.left.relay.counted(), self.right.relay.counted()

    def rest(self) -> None:
        """Wait until neither has anything to do."""
        until_rest(self.daemons)


@contextlib.contextmanager
def running(transfer: Transfer) -> Iterator[Pair]:
    """The two machines with their agents started."""
    left, right = transfer.up.machine, transfer.down.machine
    with left.home.daemon() as one, right.home.daemon() as other:
        pair = Pair(transfer.up.source, left, right, (one, other))
        pair.rest()
        for daemon in pair.daemons:
            until_calm(daemon.process.pid)
        pair.counted()
        yield pair
