"""FU6: a full disk is answered with 507, harms nothing, and ends by itself once there is space."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import exc

from agent.hub.domain.ports import Growth, StoreFull
from agent.hub.store import sql_store
from agent.hub.store.failures import FULL_BELOW_BYTES, StoreFailure, classify
from agent.hub.store.reserve import DiskReserve
from agent.hub.store.sql_store import SqlStore, sqlite_url
from hub.fixtures import InProcess, running_hub, upsert
from support.eventually import eventually
from support.small_disk import fill, mounted

FULL = (507, "The hub's disk is full")


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A hub's folder on a disk of 32 MiB."""
    folder = tmp_path / "hub"
    folder.mkdir()
    with mounted(folder, "32m"):
        yield folder


def sound(database: Path) -> bool:
    """Return True if SQLite finds no damage."""
    with closing(sqlite3.connect(database)) as connection:
        return bool(connection.execute("PRAGMA integrity_check").fetchone() == ("ok",))


def test_fu6_a_full_disk_is_507_and_harms_nothing(small: Path) -> None:
    """FU6: texts are refused with Retry-After, reading and heartbeats go on; with space again, pushes do too."""
    ballast = small / "ballast"
    with running_hub(small, "--port", "0") as hub:
        client = hub.client()
        connector, source = client.connector(), client.source()
        assert client.push(source, upsert("kept.md", "kept"))["applied"] == 1
        fill(ballast)
        refused = None
        for number in range(40):
            answer = client.ask(
                "sources/push-batch", {"sourceId": source, "items": [upsert(f"{number}.md", "x" * 500_000)]}
            )
            if answer[0] != 200:
                refused = answer
                break
        assert refused is not None
        assert (refused[0], refused[1]["message"]) == FULL
        assert client.text(source, "kept.md") == "kept"
        assert client.ok("connectors/heartbeat", connectorId=connector)["status"] == "online"
        applied = {event["relativePath"] for event in client.events(source)}
        assert applied == {file["relativePath"] for file in client.ok("sources/files", sourceId=source)}
        fill(small / "more ballast")
        (small / "more ballast").unlink()
        ballast.unlink()
        item = upsert("after.md", "after")
        assert eventually(lambda: client.ask("sources/push-batch", {"sourceId": source, "items": [item]})[0] == 200)
        assert client.text(source, "after.md") == "after"
    assert sound(small / "hub.db")


def test_fu6_a_hub_starts_on_a_full_disk(small: Path) -> None:
    """FU6: what it has is served; the space of the reserve is enough for that."""
    with running_hub(small, "--port", "0") as hub:
        source = hub.client().source()
        hub.client().push(source, upsert("a.md", "one"))
    fill(small / "ballast")
    with running_hub(small, "--port", "0") as hub:
        assert hub.client().text(source, "a.md") == "one"
    assert sound(small / "hub.db")


def test_fu6_the_reserve_returns_before_texts_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FU6: after SQLITE_FULL the reserve is released, and texts are refused until it is allocated again."""
    monkeypatch.setattr(sql_store, "RESERVE_RETRY_SECONDS", 0.0)
    room = True
    reserve = DiskReserve(tmp_path / "reserve", 65_536)
    allocate = reserve.allocate
    monkeypatch.setattr(reserve, "allocate", lambda: room and allocate())
    hub = InProcess(SqlStore(sqlite_url(tmp_path / "hub.db"), reserve))
    source, connector = hub.source(), hub.connector()
    pages = _limit_pages(hub.store, 0)
    _limit_pages(hub.store, pages + 4)
    room = False
    assert hub.refused("sources/push-batch", sourceId=source, items=[upsert("a.md", random_text())]) == FULL
    assert not (tmp_path / "reserve").exists()
    _limit_pages(hub.store, pages + 100_000)
    assert hub.refused("sources/push-batch", sourceId=source, items=[upsert("b.md", "b")]) == FULL
    hub.ok("connectors/heartbeat", connectorId=connector)
    room = True
    assert hub.outcome(source, upsert("c.md", "c"))["status"] == "applied"
    assert (tmp_path / "reserve").stat().st_size == 65_536
    assert [event["relativePath"] for event in hub.events(source)] == ["c.md"]
    hub.store.close()


def random_text() -> str:
    """A text that does not compress."""
    import random

    return random.Random(1).randbytes(100_000).hex()


def _limit_pages(store: SqlStore, pages: int) -> int:
    with store.write(Growth.SMALL) as session:
        if pages:
            session.transaction.rows(f"PRAGMA max_page_count = {pages}")
        return int(session.transaction.rows("PRAGMA page_count")[0][0])


def sqlite_error(code: int) -> exc.DBAPIError:
    """SQLAlchemy's error for a result code of SQLite."""
    error = sqlite3.OperationalError("x")
    error.sqlite_errorcode = code
    return exc.OperationalError("statement", {}, error)


class DriverError(Exception):
    """An error of psycopg as far as the classification reads it."""

    def __init__(self, sqlstate: str | None) -> None:
        super().__init__("x")
        self.sqlstate = sqlstate


class OperationalError(DriverError):
    """The class psycopg raises for a broken connection."""


@pytest.mark.parametrize(
    ("error", "free", "expected"),
    [
        (sqlite_error(sqlite3.SQLITE_FULL), None, StoreFailure.FULL),
        (sqlite_error(sqlite3.SQLITE_IOERR | 3 << 8), FULL_BELOW_BYTES - 1, StoreFailure.FULL),
        (sqlite_error(sqlite3.SQLITE_IOERR | 3 << 8), FULL_BELOW_BYTES, StoreFailure.BROKEN),
        (sqlite_error(sqlite3.SQLITE_IOERR), None, StoreFailure.BROKEN),
        (sqlite_error(sqlite3.SQLITE_BUSY), 0, StoreFailure.UNAVAILABLE),
        (sqlite_error(sqlite3.SQLITE_ERROR), 0, StoreFailure.BROKEN),
        (sqlite_error(sqlite3.SQLITE_CORRUPT), 0, StoreFailure.BROKEN),
        (OSError(errno.ENOSPC, "x"), None, StoreFailure.FULL),
        (OSError(errno.EDQUOT, "x"), None, StoreFailure.FULL),
        (OSError(errno.EACCES, "x"), None, StoreFailure.BROKEN),
        (exc.TimeoutError("pool"), None, StoreFailure.UNAVAILABLE),
        (exc.OperationalError("s", {}, DriverError("53100")), None, StoreFailure.FULL),
        (exc.OperationalError("s", {}, DriverError("55P03")), None, StoreFailure.UNAVAILABLE),
        (exc.OperationalError("s", {}, DriverError("57014")), None, StoreFailure.UNAVAILABLE),
        (exc.OperationalError("s", {}, DriverError("08006")), None, StoreFailure.UNAVAILABLE),
        (exc.OperationalError("s", {}, OperationalError(None)), None, StoreFailure.UNAVAILABLE),
        (exc.ProgrammingError("s", {}, DriverError("42P01")), None, StoreFailure.BROKEN),
        (exc.IntegrityError("s", {}, DriverError("23505")), None, StoreFailure.BROKEN),
        (psycopg.OperationalError("the connection is lost"), None, StoreFailure.UNAVAILABLE),
        (psycopg.errors.AdminShutdown("x"), None, StoreFailure.UNAVAILABLE),
        (psycopg.errors.UndefinedTable("x"), None, StoreFailure.BROKEN),
        (ValueError("x"), 0, StoreFailure.BROKEN),
    ],
)
def test_fu6_database_errors_are_classified(error: Any, free: int | None, expected: StoreFailure) -> None:
    """FU6: 507 only for a full disk, 503 only for what may pass by itself, 500 for everything else."""
    assert classify(error, free) is expected


def test_fu6_a_reserve_that_does_not_fit_leaves_nothing(small: Path) -> None:
    """FU6: allocating it is all or nothing."""
    reserve = DiskReserve(small / "reserve", 64 << 20)
    assert not reserve.allocate()
    assert list(small.iterdir()) == []
    with pytest.raises(StoreFull), closing(SqlStore(sqlite_url(small / "hub.db"), reserve)) as store, store.write():
        pass
