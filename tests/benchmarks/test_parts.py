"""Where the processor time of one file goes, as a picture."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Final

import pytest

from benchmarks.bars import stacked
from benchmarks.conftest import Machines
from benchmarks.machines import Machine
from benchmarks.measure import run
from benchmarks.rooms import START
from benchmarks.sizes import Sizes, shape_of
from benchmarks.tree import grow

pytestmark = pytest.mark.benchmark_table

_HERE: Final = Path(__file__).parent
_MICROSECONDS: Final = 1_000_000


def _parts(machine: Machine, files: int, result: Path, *words: str | Path) -> dict[str, float]:
    """Microseconds a file, by part; the start first, then the largest."""
    run([sys.executable, "-P", _HERE / "rooms.py", result, *words], machine.home.env, machine.folder)
    seconds: dict[str, float] = json.loads(result.read_text())
    found = sorted(seconds.items(), key=lambda each: (each[0] != START, -each[1]))
    return {part: taken / files * _MICROSECONDS for part, taken in found}


def test_parts_of_one_file(machines: Machines, scratch: Path, sizes: Sizes, figures: Path | None) -> None:
    """A first push and a first pull; every part of the agent that works on a file is in the picture."""
    up, down, files = machines("parts-up"), machines("parts-down"), sizes.middle
    grow(up.folder, shape_of(files))
    pushed = _parts(up, files, scratch / "up.json", "up", up.folder, "--server", "raven", "--once", "--yes", "--json")
    source = up.up_once()["id"]
    words = ("link", down.folder, "--yes", "--wait", "--server", "raven", "--source", source)
    pulled = _parts(down, files, scratch / "down.json", *words)
    for parts in (pushed, pulled):
        assert {"index", "decisions", "server calls", START} <= parts.keys()
    picture = stacked(
        f"Processor time of one file of {files:,}, 4 KiB each, by part of the agent (profiled)", "µs",
        {"first push": pushed, "first pull": pulled},
    )  # fmt: skip
    if figures is not None:
        (figures / "parts.svg").write_text(picture, encoding="utf-8")
