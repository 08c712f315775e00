"""An index or a store that was emptied for the next life is as good as a new one."""

from __future__ import annotations

import sqlite3

from simulation.indexes import index_of, put_aside
from simulation.run import run
from simulation.servers import HubServer
from simulation.world import Plan


def _dump(connection: sqlite3.Connection) -> list[str]:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return [*connection.iterdump(), str(version)]


def test_an_emptied_index_equals_a_new_one() -> None:
    """No row, number of a row or version of it is left of the life before, and it is used for the next machine."""
    copies = [index_of(), index_of()]
    new = _dump(copies[0].connection)
    for used in copies:
        put_aside(used)
    life = run(Plan(3, "hub")).world
    used = life.machines[0].index
    assert any(used is not None and used.connection is copy.connection for copy in copies)
    assert _dump(used.connection) == new


def test_an_emptied_store_equals_a_new_one() -> None:
    """No row or number of a row is left of the life before, and the store is used for the next world."""
    new = HubServer(0, lambda: 1.7e9)
    dump = _dump(new.store._connection)
    new.close()
    life = run(Plan(3, "hub")).world.server
    assert isinstance(life, HubServer) and life.store is new.store
    assert _dump(life.store._connection) != dump
    life.store.empty()
    assert _dump(life.store._connection) == dump
