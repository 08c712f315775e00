"""Hubs on both databases."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from agent.hub.store.sql_store import SqlStore, sqlite_url
from hub.fixtures import InProcess, Running, running_hub


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a database on a throw-away PostgreSQL server."""
    if shutil.which("initdb") is None or shutil.which("pg_ctl") is None:
        pytest.skip("no PostgreSQL server binaries (initdb, pg_ctl) on the path")
    # PostgreSQL refuses to run as root.
    user = "nobody" if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="pg") as folder:
        if user is not None:
            shutil.chown(folder, user)
        data = f"{folder}/db"

        def run(*command: str) -> None:
            subprocess.run(command, check=True, capture_output=True, user=user, cwd=folder)

        run("initdb", "-D", data, "-A", "trust", "-U", "hub", "--no-sync", "-E", "UTF8")
        options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"
        run("pg_ctl", "-D", data, "-w", "-o", options, "-l", f"{folder}/log", "start")
        try:
            yield f"postgresql+psycopg://hub@/postgres?host={folder}"
        finally:
            run("pg_ctl", "-D", data, "-m", "immediate", "stop")


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlStore]:
    """An empty database of either kind."""
    if request.param == "sqlite":
        made = SqlStore(sqlite_url(tmp_path / "hub.db"))
    else:
        url: str = request.getfixturevalue("postgres")
        admin = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.execute(text("DROP SCHEMA public CASCADE"))
            connection.execute(text("CREATE SCHEMA public"))
        made = SqlStore(url)
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


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Running]:
    """A hub process on a free port."""
    with running_hub(tmp_path / "data", "--port", "0") as running:
        yield running
