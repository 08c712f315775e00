"""A database that is left open is an error of the test that leaves it, on every version of Python."""

from __future__ import annotations

import gc
import sqlite3
from pathlib import Path

import pytest

from agent.index import open_index
from support.closing import close_all, closed_after_test


def test_a_database_that_is_dropped_open_is_an_error() -> None:
    """FP1: Python 3.13 warns of it and older ones do not; here each does, so that one run speaks for all."""
    with pytest.warns(ResourceWarning, match="unclosed database"):
        sqlite3.connect(":memory:").execute("SELECT 1")
        gc.collect()
    with pytest.warns(ResourceWarning, match="unclosed database"):
        open_index(":memory:")
        gc.collect()


def test_what_helpers_open_is_closed_when_the_test_ends(tmp_path: Path) -> None:
    """FP1: the helpers' way, and the product's own way of closing, leave nothing open."""
    closed_after_test(open_index(":memory:"))
    close_all()
    open_index(tmp_path / "index.sqlite").close()
    gc.collect()


def test_ci_runs_on_every_version_of_python_it_finds() -> None:
    """FP1: from the oldest supported version to the newest one."""
    script = (Path(__file__).parents[2] / ".ci/run").read_text("utf-8")
    assert "for number in 11 12 13 14; do" in script
