"""FU1: a backup never damages what it copies or replaces, and a restored hub is the hub that was copied."""

from __future__ import annotations

import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from agent.hub.auth import hub_secret
from agent.hub.listening import FolderLock
from agent.hub.listening import ServeError as ServeError
from agent.hub.store.backup import HubData, Overwrite, backup, restore
from agent.hub.store.migrations import StoreError
from agent.hub.store.sql_store import SqlStore, sqlite_url
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
    """On a new machine the old tokens work, and the secret is in no table of the restored database."""
    data, source = filled(tmp_path / "old")
    backup(data, tmp_path / "copy.db", Overwrite.REFUSE, with_secret=True)
    new = HubData(tmp_path / "new", tmp_path / "new" / "hub.db", tmp_path / "new" / "secret")
    new.folder.mkdir()
    restore(tmp_path / "copy.db", new, Overwrite.REFUSE)
    assert new.secret.read_bytes() == data.secret.read_bytes()
    assert stat.S_IMODE(new.secret.stat().st_mode) == stat.S_IMODE(new.database.stat().st_mode) == 0o600
    assert text_of(new.database, source) == "one"
    with closing(sqlite3.connect(new.database)) as database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
    assert "backup_secret" not in tables


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
