"""A private PostgreSQL server for a test run."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

DEBIAN = Path("/usr/lib/postgresql")


def find_postgres() -> Path | None:
    """The folder of PostgreSQL's server programs: that of the path's initdb, else Debian's newest."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).parent
    installed = [path.parent for path in DEBIAN.glob("*/bin/initdb")]
    return max(installed, key=lambda path: float(path.parent.name), default=None)


@dataclass(frozen=True)
class PostgresServer:
    """A running server.

    Attributes:
        programs: the folder of its programs.
        folder: of its data, socket and log.
        user: the system user it runs as, None for our own. PostgreSQL refuses to run as root.
        durable: commits are flushed to the disk, as no test but a measurement needs.
    """

    programs: Path
    folder: Path
    user: str | None
    durable: bool = False

    @property
    def url(self) -> str:
        """The URL of its database."""
        return f"postgresql+psycopg://hub@/postgres?host={self.folder}"

    @classmethod
    @contextlib.contextmanager
    def running(cls, *, durable: bool = False) -> Iterator[PostgresServer]:
        """A server of its own, stopped at the end of the block."""
        programs = find_postgres()
        assert programs is not None
        user = "nobody" if os.geteuid() == 0 else None
        with tempfile.TemporaryDirectory(prefix="pg") as folder:
            if user is not None:
                shutil.chown(folder, user)
            server = cls(programs, Path(folder), user, durable)
            server.run("initdb", "-D", f"{folder}/db", "-A", "trust", "-U", "hub", "--no-sync", "-E", "UTF8")
            server.start()
            try:
                yield server
            finally:
                server.stop()

    def run(self, program: str, *arguments: str) -> None:
        """Run one of its programs as its user."""
        subprocess.run(
            [str(self.programs / program), *arguments], check=True, capture_output=True, user=self.user, cwd=self.folder
        )

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        flushed = "on" if self.durable else "off"
        options = f"-c listen_addresses='' -c unix_socket_directories={self.folder} -c fsync={flushed}"
        self.run("pg_ctl", "-D", f"{self.folder}/db", "-w", "-o", options, "-l", f"{self.folder}/log", "start")

    def stop(self) -> None:
        """Stop it at once."""
        self.run("pg_ctl", "-D", f"{self.folder}/db", "-m", "immediate", "stop")

    def sql(self, statement: str, **values: object) -> list[tuple[object, ...]]:
        """Run one statement, and its rows."""
        engine = create_engine(self.url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            result = connection.execute(text(statement), values)
            return [tuple(row) for row in result] if result.returns_rows else []

    def empty(self) -> None:
        """Remove everything in its database."""
        self.sql("DROP SCHEMA public CASCADE")
        self.sql("CREATE SCHEMA public")
