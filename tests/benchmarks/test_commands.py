"""How soon a command says something about the program. ``status`` stands in test_growth.py, with the daemon it asks."""

from __future__ import annotations

from typing import Final

import pytest

from benchmarks.growing import import_click
from benchmarks.measure import in_turn, run
from benchmarks.sizes import Sizes
from benchmarks.table import Group, Line, Table, TimesBaseline
from support.processes import COMMAND

pytestmark = pytest.mark.benchmark_table

TIMES: Final = 5


@pytest.mark.parametrize("flag", ["--version", "--help"])
def test_words(table: Table, sizes: Sizes, flag: str) -> None:
    """It starts as soon as its words can be put together."""
    ours, plain = in_turn(TIMES * sizes.rounds, lambda: run([*COMMAND, flag]), import_click)
    assert ours.out
    for name, taken, base in ((f"{flag}, wall", ours.wall, plain.wall), (f"{flag}, CPU", ours.cpu, plain.cpu)):
        table.add(Line(Group.COMMANDS, name, taken, ("python -c 'import click'", base), TimesBaseline(1.5)))
