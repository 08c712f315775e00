"""Whole folders: up, down, and from one machine to another through the hub."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from benchmarks.conftest import Machines
from benchmarks.machines import until_calm, until_rest
from benchmarks.prototypes import walk
from benchmarks.sizes import Sizes, shape_of
from benchmarks.table import AtMost, Group, Line, Table, TimesBaseline
from benchmarks.transfers import Moved, Transfer, pulled, pushed, typical
from benchmarks.tree import grow, plant, texts
from support.eventually import eventually
from support.servers import HubServer

pytestmark = pytest.mark.benchmark_table

BATCH = 100


@pytest.fixture(scope="module")
def ups(machines: Machines, hub: HubServer, scratch: Path, sizes: Sizes) -> list[Moved]:
    """The folder brought up by one machine after the other, each onto a source of its own."""
    return [pushed(machines(f"up-{number}"), hub, sizes.middle, scratch) for number in range(sizes.rounds)]


@pytest.fixture(scope="module")
def downs(machines: Machines, hub: HubServer, scratch: Path, sizes: Sizes, ups: list[Moved]) -> list[Moved]:
    """What the last one brought up, joined by one machine after the other."""
    source = ups[-1].source
    return [pulled(machines(f"down-{number}"), hub, source, scratch) for number in range(sizes.rounds)]


def test_first_push(table: Table, sizes: Sizes, ups: list[Moved]) -> None:
    """New files go up in full batches, each file once."""
    for up in ups:
        assert up.asked.operations == sizes.middle
        assert up.asked.batches == [BATCH] * (sizes.middle // BATCH)
    ours, plain = typical(ups)
    name = f"first push, {sizes.middle:,} files"
    hub_cpu = sorted(up.hub_cpu for up in ups)[len(ups) // 2]
    table.add(
        Line(Group.TRANSFERS, name, ours.wall, ("plain push to the same hub", plain.wall), AtMost(2.0)),
        Line(Group.TRANSFERS, f"{name}, the agent's CPU", ours.cpu, ("plain push", plain.cpu), TimesBaseline(2)),
        Line(Group.TRANSFERS, f"{name}, the hub's CPU", hub_cpu),
    )


def test_first_pull(table: Table, sizes: Sizes, downs: list[Moved]) -> None:
    """Files come down whole, without one push and without a request for a single file."""
    expected = texts(shape_of(sizes.middle), seed=1)
    for down in downs:
        assert {path: text for path, text in down.machine.home.texts().items() if path in expected} == expected
        assert down.asked.batches == []
        assert down.asked.endpoints["file"] == 0
    ours, plain = typical(downs)
    name = f"first pull onto an empty folder, {sizes.middle:,} files"
    table.add(
        Line(Group.TRANSFERS, name, ours.wall, ("feed, write, sync, rename, sync", plain.wall), AtMost(1.5)),
        Line(Group.TRANSFERS, f"{name}, the agent's CPU", ours.cpu, ("the same", plain.cpu)),
    )


def test_machine_to_machine(table: Table, sizes: Sizes, ups: list[Moved], downs: list[Moved]) -> None:
    """Up from the one and down to the other, both commands from their start to their end."""
    up, plain_up = typical(ups)
    down, plain_down = typical(downs)
    baseline = ("plain push and pull", plain_up.wall + plain_down.wall)
    name = f"machine to machine, {sizes.middle:,} files"
    table.add(Line(Group.TRANSFERS, name, up.wall + down.wall, baseline, AtMost(4.0 * sizes.middle / 10_000)))


def test_new_folder(table: Table, machines: Machines, scratch: Path, sizes: Sizes) -> None:
    """A folder that is moved into the one of a running agent stands whole on the other machine: up and down overlap."""
    left, right, prepared = machines("drop-left"), machines("drop-right"), scratch / "drop"
    plant(left.folder, {"start.md": "# Start\n"})
    right.join(left.up_once()["id"])
    grow(prepared, shape_of(sizes.middle))
    with left.home.daemon() as one, right.home.daemon() as other:
        until_rest([one, other])
        for machine, daemon in ((left, one), (right, other)):
            until_calm(daemon.process.pid)
            machine.relay.counted()
        began = time.perf_counter()
        prepared.rename(left.folder / "new")
        eventually(lambda: other.source()["files"] == sizes.middle + 1, 300, "all of them are there")
        seconds = time.perf_counter() - began
        until_rest([one, other])
    assert left.relay.counted().operations == sizes.middle
    assert right.relay.counted().operations == 0
    expected = {f"new/{shape_of(sizes.middle).path(number)}" for number in range(sizes.middle)}
    assert {path for path, *_ in walk(str(right.folder))} == expected | {"start.md"}
    name = f"{sizes.middle:,} files moved in → other disk, both agents running"
    table.add(Line(Group.TRANSFERS, name, seconds, None, AtMost(4.0 * sizes.middle / 10_000)))


def test_large_machine_to_machine(table: Table, sizes: Sizes, large: Transfer) -> None:
    """The same with the large folder: nothing is sent twice, nothing comes back."""
    assert large.up.asked.operations == sizes.files
    assert large.down.asked.batches == []
    arrived = {path for path, *_ in walk(str(large.down.machine.folder))}
    assert arrived == {shape_of(sizes.files).path(number) for number in range(sizes.files)}
    name = f"machine to machine, {sizes.files:,} files"
    baseline = ("plain push and pull", large.plain_wall)
    table.add(
        Line(Group.TRANSFERS, name, large.wall, baseline, AtMost(30.0 * sizes.files / 100_000)),
        Line(Group.TRANSFERS, f"{name}: up", large.up.cost.wall, ("plain push", large.up.plain.wall)),
        Line(Group.TRANSFERS, f"{name}: down", large.down.cost.wall, ("plain pull", large.down.plain.wall)),
        Line(Group.TRANSFERS, f"{name}: up, the agent's CPU", large.up.cost.cpu, ("plain push", large.up.plain.cpu)),
        Line(
            Group.TRANSFERS, f"{name}: down, the agent's CPU", large.down.cost.cpu, ("plain pull", large.down.plain.cpu)
        ),
        Line(Group.TRANSFERS, f"{name}: the hub's CPU", large.up.hub_cpu + large.down.hub_cpu),
    )
