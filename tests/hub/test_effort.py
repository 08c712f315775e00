"""The database work of a request follows the request, not the size of the source: counted in SQLite's steps."""

from __future__ import annotations

import sqlite3

from agent.hub.store.sql_store import SqlStore
from hub.fixtures import InProcess, sha, upsert
from support.effort import effort


def _cost_of_a_push(files: int) -> int:
    """Of ten new files and ten edits to a source that holds so many."""
    store = SqlStore("sqlite://")
    hub = InProcess(store)
    source = hub.source()
    paths = [f"n/{number:05}.md" for number in range(files)]
    for start in range(0, files, 100):
        hub.push(source, *(upsert(path, path) for path in paths[start : start + 100]))
    items = [upsert(f"new/{number}.md", "new") for number in range(10)]
    items += [upsert(path, "edited", sha(path)) for path in paths[:10]]
    with store._writer.connect() as connection:
        driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    steps = effort(driver, lambda: hub.push(source, *items))
    store.close()
    return steps


def test_a_push_costs_the_same_in_a_source_of_any_size() -> None:
    """Its heads are found by their paths: going through a source of 3,000 files would be many times as much."""
    assert _cost_of_a_push(3000) < 2 * _cost_of_a_push(100)
