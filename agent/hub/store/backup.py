"""Consistent copies of the hub's database, taken while it serves, and their restoration.

A copy of SQLite is itself a SQLite database, with the signing secret and the hub's own certificate in tables of their
own. A copy of PostgreSQL is a tar archive of `pg_dump`'s output and the two. Copies are readable by their owner only.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import sqlite3
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Final

from sqlalchemy import make_url
from sqlalchemy.engine import URL

from agent.hub.certificate import CERTIFICATE_FILE
from agent.hub.store.backup_keys import BackupKeys
from agent.hub.store.blobs import copy_blobs
from agent.hub.store.migrations import StoreError
from agent.process.environment import child_environment

_DUMP: Final = "database.dump"
_SQLITE_MAGIC: Final = b"SQLite format 3\0"
_NO_LINKS: Final = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})

_LOG_SUFFIXES: Final = ("-wal", "-journal")
_BUSY_SECONDS: Final = 10.0
_PRIMARY_CODE: Final = 0xFF
"""Bits of an extended SQLite error code that are the primary one."""


class Overwrite(Enum):
    """Treatment of a file that exists where a copy is to be written."""

    REFUSE = auto()
    REPLACE = auto()


@dataclass(frozen=True, slots=True)
class HubData:
    """The data of a hub that is copied or restored.

    Attributes:
        folder: the hub's folder.
        database: the SQLite file, if `url` is None.
        url: a PostgreSQL database.
        secret: the file of the signing secret.
    """

    folder: Path
    database: Path
    secret: Path
    url: str | None = None

    @property
    def certificate(self) -> Path:
        """The file of the hub's own certificate and its key, which joined machines accept. It may be missing."""
        return self.folder / CERTIFICATE_FILE


def backup(data: HubData, target: Path, overwrite: Overwrite, *, with_secret: bool) -> None:
    """Write a consistent copy to `target`. It appears there complete, or not at all.

    Raises:
        StoreError: `target` is inside the hub's folder, or exists and is not to be replaced; or there is no database,
            or it cannot be read.
        OSError: the copy cannot be written.
    """
    _check_target(data, target, overwrite)
    keys = BackupKeys.read(data.secret, data.certificate) if with_secret else BackupKeys()
    with _written_beside(target, overwrite) as part:
        if data.url is None:
            _copy_sqlite(data.database, part, keys)
        else:
            _copy_postgres(data.url, part, keys)


def _check_target(data: HubData, target: Path, overwrite: Overwrite) -> None:
    folder, place = data.folder.resolve(), target.parent.resolve()
    if place == folder or folder in place.parents:
        raise StoreError(
            f"{target} is inside the hub's own folder {folder}: a backup there could replace live data. "
            "Name a file in another folder."
        )
    if not place.is_dir():
        raise StoreError(f"There is no folder {target.parent}: make it, or name a file in another folder.")
    if overwrite is Overwrite.REFUSE and os.path.lexists(target):
        raise StoreError(f"{target} exists already: name another file, or add --force to replace it.")
    if target.is_dir():
        raise StoreError(f"{target} is a folder: name a file.")


@contextmanager
def _written_beside(target: Path, overwrite: Overwrite) -> Iterator[Path]:
    """Yield an empty file beside `target` that is moved there at the end of the block, or removed if it raises."""
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        yield part
        with part.open("rb") as file:
            os.fsync(file.fileno())
        _move(part, target, overwrite)
    finally:
        part.unlink(missing_ok=True)
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _move(part: Path, target: Path, overwrite: Overwrite) -> None:
    if overwrite is Overwrite.REPLACE:
        part.replace(target)
        return
    refusal = StoreError(f"{target} exists already: name another file, or add --force to replace it.")
    try:
        # A link never replaces: a file that appeared since the check is kept.
        os.link(part, target)
    except FileExistsError:
        raise refusal from None
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if os.path.lexists(target):
            raise refusal from None
        part.rename(target)


def _copy_sqlite(database: Path, part: Path, keys: BackupKeys) -> None:
    if not database.is_file():
        raise StoreError(f"There is no hub database at {database}.")
    try:
        with (
            closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True, timeout=60)) as origin,
            closing(sqlite3.connect(part)) as copy,
        ):
            # One step copies everything under one read lock, so that no writer can make it start over.
            origin.backup(copy, pages=-1)
            # The copy is one file: without this, a part of it could be in a log beside it.
            copy.execute("PRAGMA journal_mode=DELETE")
            copy_blobs(copy, database.parent)
            keys.add_to_database(copy)
            copy.commit()
    except sqlite3.Error as error:
        raise StoreError(f"The hub database {database} cannot be copied: {error}.") from error


def _copy_postgres(url: str, part: Path, keys: BackupKeys) -> None:
    dump = part.with_name(f"{part.name}.dump")
    try:
        os.close(os.open(dump, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        with dump.open("wb") as sink:
            _run_tool("pg_dump", url, ["--format=custom", "--no-owner", "--no-privileges"], stdout=sink.fileno())
        with tarfile.open(part, "w") as archive:
            archive.add(dump, _DUMP)
            keys.add_to_archive(archive)
    finally:
        dump.unlink(missing_ok=True)


def restore(copy: Path, data: HubData, overwrite: Overwrite) -> None:
    """Restore a copy into a hub that does not run. The caller holds the folder's lock.

    Replaced files are kept beside, with `.before-restore` in their names. The database is migrated at the next start.

    Raises:
        StoreError: the copy is damaged or of the other kind of database, or there is data that is not to be replaced.
        OSError: the data cannot be written.
    """
    if not copy.is_file():
        raise StoreError(f"There is no backup at {copy}; raven-agent hub backup FILE makes one.")
    with copy.open("rb") as file:
        is_sqlite = file.read(len(_SQLITE_MAGIC)) == _SQLITE_MAGIC
    if not is_sqlite and not tarfile.is_tarfile(copy):
        raise StoreError(f"{copy} is not a backup of a hub.")
    if is_sqlite != (data.url is None):
        kind = "a SQLite hub" if is_sqlite else "a hub on PostgreSQL"
        raise StoreError(f"{copy} is a backup of {kind}: restore it into the same kind of database.")
    if is_sqlite:
        _restore_sqlite(copy, data, overwrite)
    else:
        _restore_postgres(copy, data, overwrite)


def _restore_sqlite(copy: Path, data: HubData, overwrite: Overwrite) -> None:
    if data.database.exists() and data.database.stat().st_size and overwrite is Overwrite.REFUSE:
        raise StoreError(f"{data.database} exists already: add --force to replace it. The old file is kept beside it.")
    with ExitStack() as held, _written_beside(data.database, Overwrite.REPLACE) as part:
        keys = _checked_copy(copy, part)
        _keep_database(data.database, held)
    _restore_keys(keys, data)


def _checked_copy(copy: Path, part: Path) -> BackupKeys:
    """Copy a backup's database to `part` without its keys, which are returned.

    Raises:
        StoreError: the backup is damaged.
    """
    try:
        with (
            closing(sqlite3.connect(f"{copy.absolute().as_uri()}?mode=ro", uri=True)) as origin,
            closing(sqlite3.connect(part)) as database,
        ):
            origin.backup(database, pages=-1)
            if database.execute("PRAGMA integrity_check").fetchone() != ("ok",):
                raise StoreError(f"{copy} is damaged.")
            keys = BackupKeys.taken_from(database)
            database.execute("PRAGMA journal_mode=DELETE")
            database.commit()
    except sqlite3.Error as error:
        raise StoreError(f"{copy} is no backup of a hub: {error}.") from error
    return keys


def _keep_database(database: Path, held: ExitStack) -> None:
    """Give a database that is about to be replaced a second name, and leave no log beside it.

    Until the one rename that replaces it, `database` is the complete old one: SQLite deletes the log of a missing or
    empty database, and applies a log to whatever database has its name.

    Args:
        held: keeps the old database locked until the replacement, so that no other program begins a log.

    Raises:
        StoreError: the database is in use, or its log cannot be written into it.
    """
    kept = _beside(database, f".before-restore.{secrets.token_hex(4)}")
    logs = [(_beside(database, suffix), _beside(kept, suffix)) for suffix in _LOG_SUFFIXES]
    links = [pair for pair in ((database, kept), *logs) if pair[0].exists()]
    try:
        for path, second in links:
            _link_as(path, second)
        is_whole = database.is_file() and database.stat().st_size > 0 and _absorb_log(database, held)
    except BaseException:
        for _, second in links:
            second.unlink(missing_ok=True)
        raise
    if is_whole and kept.samefile(database):
        for _, second in logs:
            second.unlink(missing_ok=True)
    # The second names are durable before the first ones end.
    _sync_folder(database.parent)
    for suffix in (*_LOG_SUFFIXES, "-shm"):
        _beside(database, suffix).unlink(missing_ok=True)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(f"{path.name}{suffix}")


def _absorb_log(database: Path, held: ExitStack) -> bool:
    """Write the log into the database, remove the log, and lock the database. Return False if it is damaged.

    Raises:
        StoreError: the database is in use, or the log cannot be written into it.
    """
    try:
        with ExitStack() as stack:
            old = stack.enter_context(closing(sqlite3.connect(database, timeout=_BUSY_SECONDS, isolation_level=None)))
            # Reading applies the rollback journal of an interrupted transaction.
            old.execute("SELECT count(*) FROM sqlite_master").fetchone()
            busy, _, _ = old.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if busy or old.execute("PRAGMA journal_mode=DELETE").fetchone() != ("delete",):
                raise StoreError(f"{database} is in use: end the program that uses it, and restore again.")
            old.execute("BEGIN EXCLUSIVE")
            held.enter_context(stack.pop_all())
    except sqlite3.Error as error:
        if error.sqlite_errorcode & _PRIMARY_CODE in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return False
        raise StoreError(f"{database} cannot be kept, so nothing was restored: {error}.") from error
    return True


def _restore_postgres(copy: Path, data: HubData, overwrite: Overwrite) -> None:
    assert data.url is not None
    options = ["--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges"]
    if overwrite is Overwrite.REPLACE:
        options += ["--clean", "--if-exists"]
    dump = data.folder / f".restore.{secrets.token_hex(4)}"
    try:
        try:
            with tarfile.open(copy) as archive:
                source = archive.extractfile(_DUMP)
                assert source is not None
                descriptor = os.open(dump, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(descriptor, "wb") as sink:
                    while part := source.read(1024 * 1024):
                        sink.write(part)
                keys = BackupKeys.in_archive(archive)
        except (tarfile.TarError, KeyError) as error:
            raise StoreError(f"{copy} is no backup of a hub: {error}.") from error
        _run_tool("pg_restore", data.url, [*options, "--dbname=", str(dump)])
    finally:
        dump.unlink(missing_ok=True)
    _restore_keys(keys, data)


def _restore_keys(keys: BackupKeys, data: HubData) -> None:
    _restore_key(keys.secret, data.secret)
    _restore_key(keys.certificate, data.certificate)


def _restore_key(content: bytes | None, path: Path) -> None:
    if content is None or (path.is_file() and path.read_bytes().strip() == content):
        return
    if path.exists():
        _link_as(path, _beside(path, f".before-restore.{secrets.token_hex(4)}"))
    with _written_beside(path, Overwrite.REPLACE) as part:
        part.write_bytes(content)


def _link_as(path: Path, second: Path) -> None:
    """Give a file a second name beside it, or copy it where the file system has no links."""
    try:
        os.link(path, second)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        with _written_beside(second, Overwrite.REPLACE) as part:
            shutil.copyfile(path, part)


def _run_tool(tool: str, url: str, options: list[str], stdout: int | None = None) -> None:
    """Run a PostgreSQL client program. The password is passed in its environment, so that no process list shows it.

    Raises:
        StoreError: the program is missing or fails.
    """
    try:
        subprocess.run(
            [tool, *options],
            check=True,
            env=child_environment() | _libpq_environment(make_url(url)),
            stdout=stdout if stdout is not None else subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
    except FileNotFoundError:
        raise StoreError(f"{tool} is not installed: it comes with PostgreSQL's client programs.") from None
    except subprocess.CalledProcessError as error:
        lines = error.stderr.decode(errors="replace").strip().splitlines()
        raise StoreError(f"{tool} failed: {lines[0] if lines else error.returncode}") from error


def _libpq_environment(url: URL) -> dict[str, str]:
    host = url.host or url.query.get("host")
    values = {
        "PGHOST": host if isinstance(host, str) else None,
        "PGPORT": None if url.port is None else str(url.port),
        "PGUSER": url.username,
        "PGPASSWORD": None if url.password is None else str(url.password),
        "PGDATABASE": url.database,
        "PGSSLMODE": url.query.get("sslmode"),
    }
    return {name: value for name, value in values.items() if isinstance(value, str) and value}
