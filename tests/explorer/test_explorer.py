"""The explorer visits every order to a small depth here; ``-m long`` goes as deep as its hour allows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]


def _explore(*arguments: str, minutes: float = 10, code: int = 0) -> str:
    """Run the explorer in a process without threads, because it forks. Returns its output."""
    done = subprocess.run(
        [sys.executable, "-m", "explorer", *arguments],
        cwd=TESTS.parent, env={**os.environ, "PYTHONPATH": str(TESTS)}, capture_output=True, text=True,
        timeout=minutes * 60, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("paths", ["1", "2"])
@pytest.mark.parametrize("server", ["hub", "strict"])
def test_every_order_of_two_acts_keeps_every_law(server: str, paths: str) -> None:
    """All orders of two acts are visited, from each new state the machines come to rest, and no law is broken."""
    told = _explore("--server", server, "--paths", paths, "--depth", "2", "--jobs", "1")
    counted = re.search(r"(\d+) states, (\d+) acts, (\d+) endings", told)
    assert counted is not None, told
    states, acts, endings = map(int, counted.groups())
    assert acts > states > 30 and endings == states - 1
    assert "0 violations\n" in told


@pytest.mark.long
@pytest.mark.parametrize("server, paths, depth", [("hub", 1, 5), ("strict", 1, 5), ("hub", 2, 4), ("strict", 2, 4)])
def test_every_order_of_many_acts_keeps_every_law(server: str, paths: int, depth: int) -> None:
    """The same to a depth that takes minutes."""
    told = _explore("--server", server, "--paths", str(paths), "--depth", str(depth), "--jobs", "2", minutes=60)
    assert "0 violations\n" in told


def test_the_explorer_finds_a_broken_promise() -> None:
    """A product that does not keep the texts of conflicts is found with two acts, which the trace names."""
    arguments = ("--server", "strict", "--paths", "1", "--depth", "2", "--jobs", "1")
    told = _explore(*arguments, "--mutant", "texts of conflicts not kept", code=1)
    assert re.search(r"[1-9]\d* violations\n", told), told
    assert "  A edits a.md; B edits a.md\n" in told
