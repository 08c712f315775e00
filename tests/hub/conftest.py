"""Hubs on both databases."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.hub.store.sql_store import SqlStore, sqlite_url
from hub.fixtures import InProcess, Running, running_hub
from support.postgres import PostgresServer, find_postgres


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A throw-away PostgreSQL server. Its absence fails the run in CI, and skips the test elsewhere."""
    if find_postgres() is None:
        complaint = "no PostgreSQL server: initdb is neither on the path nor in /usr/lib/postgresql"
        if os.environ.get("CI", "").lower() in ("1", "true"):
            pytest.fail(complaint)
        pytest.skip(complaint)
    with PostgresServer.running() as server:
        yield server


@pytest.fixture
def postgres(postgres_server: PostgresServer) -> str:
    """The URL of an empty PostgreSQL database."""
    postgres_server.empty()
    return postgres_server.url


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlStore]:
    """An empty database of either kind."""
    if request.param == "sqlite":
        made = SqlStore(sqlite_url(tmp_path / "hub.db"))
    else:
        made = SqlStore(request.getfixturevalue("postgres"))
    yield made
    made.close()


@pytest.fixture
def hub(store: SqlStore) -> InProcess:
    """A hub in this process, on either database."""
    return InProcess(store)


@pytest.fixture
def light() -> Iterator[InProcess]:
    """A hub in this process, in memory."""
    made = SqlStore("sqlite://")
    yield InProcess(made)
    made.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """Arguments of a hub command for each of the two databases."""
    on_sqlite = request.param == "sqlite"
    return () if on_sqlite else ("--database", request.getfixturevalue("postgres"))


@pytest.fixture
def process(tmp_path: Path, database: tuple[str, ...]) -> Iterator[Running]:
    """A hub process on a free port, on either database."""
    with running_hub(tmp_path / "data", "--port", "0", *database) as running:
        yield running


@pytest.fixture
def on_sqlite(tmp_path: Path) -> Iterator[Running]:
    """A hub process on a free port, with its database in its folder."""
    with running_hub(tmp_path / "data", "--port", "0") as running:
        yield running
