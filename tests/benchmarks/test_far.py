"""A hub that is far away: it is kept busy with several batches on their way at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.machines import Machine
from benchmarks.relay import Relay
from benchmarks.sizes import Sizes, shape_of
from benchmarks.table import AtLeast, Group, Line, Table, TimesBaseline, Unit
from benchmarks.transfers import prototype
from benchmarks.tree import grow
from support.servers import HubServer

pytestmark = pytest.mark.benchmark_table

MOST_AT_ONCE = 4


def test_far_push(table: Table, sizes: Sizes, hub: HubServer, scratch: Path) -> None:
    """At most four batches are on their way at once, and nothing is sent twice."""
    away = sizes.far_ms / 1000
    with Machine.signed_in(scratch, "far", hub, away) as machine, Relay.before(hub.url, away) as plain_relay:
        grow(machine.folder, shape_of(sizes.far_files))
        database = scratch / "far.sqlite"
        prototype("scan", machine.folder, database)
        source = hub.new_source()
        plain = prototype("push", machine.folder, database, plain_relay.url, hub.token, hub.workspace, source)
        machine.relay.counted()
        cost, report = machine.up_timed()
        asked = machine.relay.counted()
    assert (report["state"], report["pushed"], report["errors"]) == ("up_to_date", sizes.far_files, [])
    assert asked.operations == sizes.far_files
    assert asked.at_once <= MOST_AT_ONCE
    name = f"first push, {sizes.far_files:,} files, server {sizes.far_ms} ms away"
    baseline = ("plain push, one batch at a time", plain.wall)
    table.add(
        Line(Group.FAR, name, cost.wall, baseline, TimesBaseline(1)),
        Line(Group.FAR, f"{name}: batches on their way at once", asked.at_once, None, AtLeast(2), Unit.COUNT),
    )
