"""Looking at everything, starting, asking how it stands, and memory: at one size, and as a folder grows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import plot
from benchmarks.growing import Growing, Step
from benchmarks.measure import Cost
from benchmarks.sizes import Sizes
from benchmarks.table import AtMost, Group, Line, Table, TimesBaseline, Unit, shown

pytestmark = pytest.mark.benchmark_table

MB = 1_000_000
TIMED: tuple[tuple[str, Callable[[Step], Cost]], ...] = (
    ("first scan", lambda step: step.scan.ours),
    ("nothing changed", lambda step: step.rescan.ours),
    ("start to ready", lambda step: step.ready.ours),
    ("status", lambda step: step.status.ours),
)


@pytest.fixture
def full(growing: Growing, sizes: Sizes) -> Step:
    """The largest size."""
    return growing.at(sizes.files)


def test_first_scan(table: Table, full: Step) -> None:
    """Every selected file is read, hashed and written down, globs and ignore files in force."""
    name, plain = f"first scan, {full.files:,} files", "prototype"
    ours, base = full.scan.ours, full.scan.plain
    table.add(
        Line(Group.SCANNING, f"{name}, CPU", ours.cpu, (plain, base.cpu), TimesBaseline(1.5)),
        Line(Group.SCANNING, f"{name}, wall", ours.wall, (plain, base.wall), TimesBaseline(1.5)),
        Line(Group.SCANNING, f"{name}, memory", full.peak, None, AtMost(150 * MB), Unit.BYTES),
    )


def test_rescan(table: Table, full: Step) -> None:
    """Where nothing changed, a look writes down that it was made."""
    name, plain = f"nothing changed, {full.files:,} files", "prototype"
    ours, base = full.rescan.ours, full.rescan.plain
    table.add(
        Line(Group.SCANNING, f"{name}, CPU", ours.cpu, (plain, base.cpu), TimesBaseline(1.5)),
        Line(Group.SCANNING, f"{name}, wall", ours.wall, (plain, base.wall), TimesBaseline(1.5)),
        Line(Group.SCANNING, f"{name}, the command sync, CPU", full.sync.cpu, (plain, base.cpu)),
    )
    assert full.touched < 10


def test_ready(table: Table, full: Step) -> None:
    """A daemon that was started has looked at everything and watches it."""
    name, plain = f"daemon start to ready, {full.files:,} files", "prototype"
    ours, base = full.ready.ours, full.ready.plain
    table.add(
        Line(Group.STARTING, f"{name}, CPU", ours.cpu, (plain, base.cpu), TimesBaseline(1.5)),
        Line(Group.STARTING, f"{name}, wall", ours.wall, (plain, base.wall), TimesBaseline(1.5)),
    )


def test_status(table: Table, full: Step) -> None:
    """The command, with a daemon that follows the folder."""
    name, plain = f"status with a daemon, {full.files:,} files", "python -c 'import click'"
    ours, base = full.status.ours, full.status.plain
    table.add(
        Line(Group.COMMANDS, f"{name}, wall", ours.wall, (plain, base.wall), TimesBaseline(2)),
        Line(Group.COMMANDS, f"{name}, CPU", ours.cpu, (plain, base.cpu), TimesBaseline(2)),
    )


def test_memory(table: Table, growing: Growing, full: Step) -> None:
    """A daemon at rest, its worst moment since the start, and what one more file adds at rest."""
    half = next(step for step in growing.steps() if step.files * 2 >= full.files)
    each = (full.memory.now - half.memory.now) / max(1, full.files - half.files)
    name = f"memory, {full.files:,} files"
    table.add(
        Line(Group.MEMORY, f"{name}, at rest", full.memory.now, None, AtMost(100 * MB), Unit.BYTES),
        Line(Group.MEMORY, f"{name}, at the worst moment", full.memory.peak, None, AtMost(150 * MB), Unit.BYTES),
        Line(Group.MEMORY, f"one more file ({half.files:,} → {full.files:,})", each, None, AtMost(400), Unit.BYTES),
    )


def test_growth(growing: Growing, table: Table, figures: Path | None) -> None:
    """Each figure at each size: as steep as the number of files, or less."""
    steps = growing.steps()
    head = ("files", *(f"{name}, CPU" for name, _ in TIMED), "memory at rest", "at the worst moment")
    table.beside("As a folder grows", [head, *map(_row, steps)])
    if figures is not None:
        curves = [plot.Curve(name, [(step.files, taken(step).cpu) for step in steps]) for name, taken in TIMED]
        title = "Seconds of processor, by the number of files in the folder"
        (figures / "growth.svg").write_text(plot.log_log(title, "files", "s", curves), encoding="utf-8")
        curves = [
            plot.Curve("at rest", [(step.files, step.memory.now / MB) for step in steps]),
            plot.Curve("at the worst moment", [(step.files, step.memory.peak / MB) for step in steps]),
        ]
        title = "The agent's memory, by the number of files in the folder"
        (figures / "growth-memory.svg").write_text(plot.log_log(title, "files", "MB", curves), encoding="utf-8")


def _row(step: Step) -> tuple[str, ...]:
    memory = (shown(step.memory.now, Unit.BYTES), shown(step.memory.peak, Unit.BYTES))
    return (f"{step.files:,}", *(shown(taken(step).cpu, Unit.SECONDS) for _, taken in TIMED), *memory)
