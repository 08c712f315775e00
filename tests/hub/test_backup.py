"""FU1: a backup never damages what it copies or replaces, and a restored hub is the hub that was copied."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from agent.hub.auth import hub_secret
from agent.hub.certificate import fingerprint, own_certificate
from agent.hub.listening import FolderLock
from agent.hub.listening import ServeError as ServeError
from agent.hub.store.backup import HubData, Overwrite, backup, restore
from agent.hub.store.migrations import StoreError
from agent.hub.store.sql_store import SqlStore, sqlite_url
from agent.hub.tls import server_context
from hub.drive import Drive
from hub.fixtures import InProcess, sha, upsert
from support.processes import Home


def filled(folder: Path) -> tuple[HubData, str]:
    """A hub's data with one file, and the source it is in."""
    folder.mkdir(exist_ok=True)
    hub_secret(folder)
    hub = InProcess(SqlStore(sqlite_url(folder / "hub.db")))
    source = hub.source()
    hub.push(source, upsert("a.md", "one"))
    hub.store.close()
    return HubData(folder, folder / "hub.db", folder / "secret"), source


def text_of(database: Path, source: str) -> str | None:
    """The text of a.md in a database."""
    hub = InProcess(SqlStore(sqlite_url(database)))
    try:
        return hub.text(source, "a.md")
    finally:
        hub.store.close()


@pytest.mark.parametrize("overwrite", Overwrite)
@pytest.mark.parametrize("name", ["hub.db", "copy.db", "deeper/copy.db", "link/copy.db"])
def test_fu1_never_inside_the_hubs_folder(tmp_path: Path, name: str, overwrite: Overwrite) -> None:
    """FU1: the live database, a file beside it, and a way there through a link are refused, also with --force."""
    data, source = filled(tmp_path / "hub")
    (data.folder / "deeper").mkdir()
    (tmp_path / "link").symlink_to(data.folder)
    target = tmp_path / name if name.startswith("link") else data.folder / name
    with pytest.raises(StoreError, match="inside the hub's own folder"):
        backup(data, target, overwrite, with_secret=True)
    assert text_of(data.database, source) == "one"
    assert not (data.folder / "copy.db").exists()


def test_fu1_an_existing_file_needs_force(tmp_path: Path) -> None:
    """FU1: any file, also a dangling link, stays as it is; with --force the complete copy replaces it."""
    data, source = filled(tmp_path / "hub")
    target, link = tmp_path / "copy.db", tmp_path / "link.db"
    target.write_text("precious")
    link.symlink_to(tmp_path / "nowhere")
    for existing in (target, link):
        with pytest.raises(StoreError, match="--force"):
            backup(data, existing, Overwrite.REFUSE, with_secret=True)
    assert target.read_text() == "precious"
    assert not (tmp_path / "nowhere").exists()
    backup(data, target, Overwrite.REPLACE, with_secret=True)
    assert text_of(target, source) == "one"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy.db", "hub", "link.db"]


def test_fu1_the_command_refuses_both(tmp_path: Path) -> None:
    """FU1: `hub backup` ends with 1 and a sentence, and the database is unharmed."""
    home = Home(tmp_path)
    data, source = filled(tmp_path / "hub")
    inside = home.run("hub", "backup", str(data.database), "--data", str(data.folder))
    assert inside.code == 1 and "inside the hub's own folder" in inside.err
    copy = tmp_path / "copy.db"
    assert home.run("hub", "backup", str(copy), "--data", str(data.folder)).code == 0
    again = home.run("hub", "backup", str(copy), "--data", str(data.folder))
    assert again.code == 1 and "--force" in again.err
    assert home.run("hub", "backup", str(copy), "--data", str(data.folder), "--force").code == 0
    assert text_of(data.database, source) == text_of(copy, source) == "one"


def test_a_restored_hub_has_its_data_and_its_secret(tmp_path: Path) -> None:
    """On a new machine the old tokens and certificate work, and neither is in a table of the restored database."""
    data, source = filled(tmp_path / "old")
    own_certificate(data.folder)
    backup(data, tmp_path / "copy.db", Overwrite.REFUSE, with_secret=True)
    new = HubData(tmp_path / "new", tmp_path / "new" / "hub.db", tmp_path / "new" / "secret")
    new.folder.mkdir()
    restore(tmp_path / "copy.db", new, Overwrite.REFUSE)
    assert new.secret.read_bytes() == data.secret.read_bytes()
    assert fingerprint(new.certificate) == fingerprint(data.certificate)
    server_context(new.certificate)
    assert stat.S_IMODE(new.secret.stat().st_mode) == stat.S_IMODE(new.database.stat().st_mode) == 0o600
    assert text_of(new.database, source) == "one"
    with closing(sqlite3.connect(new.database)) as database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
    assert not {"backup_secret", "backup_certificate"} & tables


def test_a_backup_without_the_secret_keeps_the_present_one(tmp_path: Path) -> None:
    """`--without-secret`: the copy holds no secret, and restoring it changes none."""
    data, _ = filled(tmp_path / "old")
    copy = tmp_path / "copy.db"
    backup(data, copy, Overwrite.REFUSE, with_secret=False)
    assert data.secret.read_bytes() not in copy.read_bytes()
    other, _ = filled(tmp_path / "other")
    before = other.secret.read_bytes()
    restore(copy, other, Overwrite.REPLACE)
    assert other.secret.read_bytes() == before


def test_a_restore_keeps_what_it_replaces(tmp_path: Path) -> None:
    """Existing data needs --force and remains beside; a damaged copy changes nothing; a running hub is not touched."""
    data, source = filled(tmp_path / "hub")
    copy = tmp_path / "copy.db"
    backup(data, copy, Overwrite.REFUSE, with_secret=True)
    hub = InProcess(SqlStore(sqlite_url(data.database)))
    hub.push(source, upsert("a.md", "two", sha("one")))
    hub.store.close()
    with pytest.raises(StoreError, match="--force"):
        restore(copy, data, Overwrite.REFUSE)
    damaged = tmp_path / "damaged.db"
    damaged.write_bytes(copy.read_bytes()[:5000])
    with pytest.raises(StoreError):
        restore(damaged, data, Overwrite.REPLACE)
    assert text_of(data.database, source) == "two"
    with FolderLock(data.folder):
        refused = Home(tmp_path).run("hub", "restore", str(copy), "--data", str(data.folder), "--force")
    assert refused.code == 1 and "Another hub serves" in refused.err
    restore(copy, data, Overwrite.REPLACE)
    assert text_of(data.database, source) == "one"
    [kept] = [path for path in data.folder.glob("hub.db.before-restore.*") if path.suffix.count("-") == 0]
    assert text_of(kept, source) == "two"


KILLED_AT_EACH_STEP = """
import itertools, os, shutil, signal, sys
from pathlib import Path
from agent.hub.store.backup import HubData, Overwrite, restore

template, copy, place = map(Path, sys.argv[1:])
for last in itertools.count():
    folder = place / str(last)
    shutil.copytree(template, folder)
    child = os.fork()
    if child == 0:
        steps = itertools.count()
        watched = ("os.rename", "os.link", "os.remove", "sqlite3.connect", "open")

        def step(event, arguments):
            if event in watched and next(steps) == last:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(step)
        restore(copy, HubData(folder, folder / "hub.db", folder / "secret"), Overwrite.REPLACE)
        os._exit(0)
    if os.waitpid(child, 0)[1] == 0:
        break
"""
"""Restore into copies of a hub. Kill the first one before its first file operation, the next before its second."""


def with_unwritten_log(folder: Path, into: Path) -> str:
    """Copy a hub whose newest text "two" is only in the log, as after a crash. Return its source."""
    data, source = filled(folder)
    hub = InProcess(SqlStore(sqlite_url(data.database)))
    hub.push(source, upsert("a.md", "two", sha("one")))
    shutil.copytree(folder, into)
    hub.store.close()
    (into / "hub.db-shm").unlink()
    assert (into / "hub.db-wal").stat().st_size
    return source


def test_a_restore_killed_at_any_step_loses_nothing(tmp_path: Path) -> None:
    """The hub is the old or the restored one, complete, with a secret; a replaced database is complete beside it."""
    template, copy, place = tmp_path / "template", tmp_path / "copy.db", tmp_path / "killed"
    source = with_unwritten_log(tmp_path / "hub", template)
    backup(HubData(template, template / "hub.db", template / "secret"), copy, Overwrite.REFUSE, with_secret=True)
    other = with_unwritten_log(tmp_path / "other", tmp_path / "old")
    place.mkdir()
    command = [sys.executable, "-P", "-c", KILLED_AT_EACH_STEP, str(tmp_path / "old"), str(copy), str(place)]
    subprocess.run(command, check=True, timeout=120)
    found = []
    for step in sorted(place.iterdir(), key=lambda path: int(path.name)):
        assert (step / "hub.db").stat().st_size, step.name
        assert (step / "secret").stat().st_size, step.name
        restored = text_of(step / "hub.db", source)
        if restored is None:
            assert text_of(step / "hub.db", other) == "two", step.name
        else:
            [kept] = [path for path in step.glob("hub.db.before-restore.*") if "-" not in path.name[22:]]
            assert (restored, text_of(kept, other)) == ("two", "two"), step.name
        found.append(restored)
    assert found[0] is None and found[-1] == "two"
    assert len(found) > 6 and found == sorted(found, key=lambda text: text is not None)


def test_a_restore_keeps_a_database_sqlite_cannot_read(tmp_path: Path) -> None:
    """The damaged file and its log remain beside the restored database, which has no log."""
    data, source = filled(tmp_path / "hub")
    copy = tmp_path / "copy.db"
    backup(data, copy, Overwrite.REFUSE, with_secret=True)
    data.database.write_bytes(b"not a database" * 100)
    log = data.folder / "hub.db-wal"
    log.write_bytes(b"a log")
    restore(copy, data, Overwrite.REPLACE)
    assert not log.exists()
    assert text_of(data.database, source) == "one"
    kept = {path.read_bytes() for path in data.folder.glob("hub.db.before-restore.*")}
    assert kept == {b"not a database" * 100, b"a log"}


def test_a_restore_never_replaces_a_database_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction of another program ends the restore with a sentence; afterwards it works."""
    monkeypatch.setattr("agent.hub.store.backup._BUSY_SECONDS", 0.05)
    data, source = filled(tmp_path / "hub")
    copy = tmp_path / "copy.db"
    backup(data, copy, Overwrite.REFUSE, with_secret=True)
    with closing(sqlite3.connect(data.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match=r"in use|cannot be kept"):
            restore(copy, data, Overwrite.REPLACE)
    assert text_of(data.database, source) == "one"
    assert not list(data.folder.glob("*before-restore*"))
    restore(copy, data, Overwrite.REPLACE)
    assert text_of(data.database, source) == "one"


def test_a_backup_has_the_large_contents(tmp_path: Path) -> None:
    """Files of the hub's folder are in the copy; a hub restored elsewhere reads and copies them again."""
    content = os.urandom(3_000_000)

    def drive_of(folder: Path) -> Drive:
        return Drive(InProcess(SqlStore(sqlite_url(folder / "hub.db"))), folder)

    data, _ = filled(tmp_path / "hub")
    before = drive_of(data.folder).set_up()
    file = before.upload(content, file_name="video")["file_id"]
    backup(data, tmp_path / "copy", Overwrite.REFUSE, with_secret=True)
    for name in ("second", "third"):
        (tmp_path / name).mkdir()
        there = HubData(tmp_path / name, tmp_path / name / "hub.db", tmp_path / name / "secret")
        restore(tmp_path / "copy", there, Overwrite.REFUSE)
        restored = drive_of(tmp_path / name)
        assert restored.content(file) == content
        restored.raven.store.close()
        backup(there, tmp_path / "copy", Overwrite.REPLACE, with_secret=True)
    stored = before.versions(file)[0]["checksum_sha256"]
    (data.folder / "blobs" / stored[:2] / stored).unlink()
    with pytest.raises(StoreError, match="missing"):
        backup(data, tmp_path / "other", Overwrite.REFUSE, with_secret=True)
    assert not (tmp_path / "other").exists()
    before.raven.store.close()
