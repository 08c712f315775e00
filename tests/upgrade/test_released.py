"""What every release left on a disk is opened by this one, and what a newer one left is refused and left alone."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
from pathlib import Path

import pytest

from agent.hub.store.sql_store import SqlStore, StoreError, sqlite_url
from agent.hub.store.tables import SCHEMA_VERSION as HUB_SCHEMA
from agent.index import open_index
from agent.index.migrate import SCHEMA_VERSION
from agent.settings.home import Home as AgentHome
from agent.settings.machine_id import machine_id
from agent.settings.registry_file import load_registry
from support.processes import Home
from support.servers import HubServer
from upgrade.frozen import KEPT, MINE, QUEUED, RELEASES, THEIRS, thaw

every_release = pytest.mark.parametrize("release", sorted(RELEASES.iterdir()), ids=lambda path: path.name)
NEWER = 99


def schema(database: Path) -> set[str]:
    """Tables and indexes of a database, without comments and what a migration keeps for itself."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
        return {re.sub(r"(--[^\n]*|\s)+", " ", sql).strip() for name, sql in rows if not name.startswith("sqlite_")}


def fresh_index(folder: Path) -> Path:
    """An index as this release makes it."""
    open_index(folder / "fresh.sqlite").close()
    return folder / "fresh.sqlite"


def fresh_hub(folder: Path) -> Path:
    """A hub's database as this release makes it."""
    SqlStore(sqlite_url(folder / "fresh.db")).close()
    return folder / "fresh.db"


@every_release
def test_an_index_of_every_release_becomes_one_of_this_release(release: Path, tmp_path: Path) -> None:
    """Its tables are then those of a fresh one, and what it knew is known."""
    thaw(release / "index.sql", tmp_path / "index.sqlite")
    with contextlib.closing(open_index(tmp_path / "index.sqlite")) as index:
        assert {row.path for row in index.trees.all(1)} == {*KEPT, "both.md", "queued.md"}
        assert [(c.path, c.mine) for c in index.conflicts.live(1)] == [("both.md", True)]
        assert index.sources.get(1).cursor == "9"
    assert schema(tmp_path / "index.sqlite") == schema(fresh_index(tmp_path))


@every_release
def test_hub_data_of_every_release_is_migrated(release: Path, tmp_path: Path) -> None:
    """Its tables are then those of a fresh one."""
    thaw(release / "hub.sql", tmp_path / "hub.db")
    SqlStore(sqlite_url(tmp_path / "hub.db")).close()
    assert schema(tmp_path / "hub.db") == schema(fresh_hub(tmp_path))


def test_a_changed_schema_has_a_new_number_and_a_frozen_release(tmp_path: Path) -> None:
    """The newest frozen release has exactly today's tables: whoever changes them adds a number, a migration and a
    folder, and the folders before it stay as they are.
    """
    newest = max(RELEASES.iterdir(), key=lambda path: int(path.name.rpartition("-")[2]))
    thaw(newest / "index.sql", tmp_path / "index.sqlite")
    thaw(newest / "hub.sql", tmp_path / "hub.db")
    assert schema(tmp_path / "index.sqlite") == schema(fresh_index(tmp_path))
    assert schema(tmp_path / "hub.db") == schema(fresh_hub(tmp_path))
    with contextlib.closing(sqlite3.connect(tmp_path / "index.sqlite")) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
    with contextlib.closing(sqlite3.connect(tmp_path / "hub.db")) as connection:
        assert connection.execute("SELECT version FROM schema_info").fetchone() == (HUB_SCHEMA,)


def thawed(release: Path, top: Path, server: HubServer) -> Home:
    """The machine of a release, with its folder, at another place and signed in to its server at another address."""
    home = Home(top, "one")
    for path, text in {**KEPT, "both.md": MINE, "queued.md": QUEUED}.items():
        home.write(path, text)
    thaw(release / "index.sql", home.path / "index.sqlite")
    document = json.loads((release / "registry.json").read_text())
    found = home.folder.stat()
    document["servers"][0] |= {
        "url": server.url,
        "machine_id": machine_id(AgentHome.from_environment(home.env), home.env),
    }
    document["sources"][0] |= {"root": str(home.folder), "root_device": found.st_dev, "root_inode": found.st_ino}
    (home.path / "registry.json").write_text(json.dumps(document))
    home.login(server)
    return home


@every_release
def test_machine_and_server_of_every_release_continue(release: Path, tmp_path: Path) -> None:
    """Same connector, same conflict; what waited is sent, nothing else is, and the decision that comes now is carried
    out.
    """
    thaw(release / "hub.sql", tmp_path / "hub" / "hub.db")
    with HubServer.serving(tmp_path / "hub") as server:
        home = thawed(release, tmp_path, server)
        registry = load_registry(home.path / "registry.json")
        source = registry.sources[0].source_id
        assert (
            registry.servers[0].connector_id
            == json.loads((release / "registry.json").read_text())["servers"][0]["connector_id"]
        )
        report = home.sync(code=3)
        assert (report["pushed"], report["pulled"], report["deleted_remote"], report["deleted_local"]) == (1, 0, 0, 0)
        assert {path: server.text(source, path) for path in KEPT} == KEPT
        assert (server.text(source, "queued.md"), server.text(source, "both.md")) == (QUEUED, THEIRS)
        [conflict] = home.json("conflicts")
        assert home.run("resolve", conflict["id"], "keep_local").code == 0
        home.sync(code=0)
        assert server.text(source, "both.md") == MINE


def _made_newer(database: Path, statement: str) -> bytes:
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(statement)
    return database.read_bytes()


@pytest.mark.parametrize("words", ["status", "sync", "run", "doctor"])
def test_an_index_of_a_newer_release_is_refused_untouched(words: str, tmp_path: Path) -> None:
    """Exit code 1; nothing is set aside, nothing is changed."""
    home = Home(tmp_path, "one")
    assert home.run("status").code == 0
    index = home.path / "index.sqlite"
    before = _made_newer(index, f"PRAGMA user_version = {NEWER}")
    ran = home.run(words, seconds=30)
    assert ran.code == 1
    assert f"{NEWER}" in ran.out + ran.err and "a newer release wrote it" in ran.out + ran.err
    assert index.read_bytes() == before
    assert not list(home.path.glob("index.sqlite.damaged*"))


def test_hub_data_of_a_newer_release_is_refused_untouched(tmp_path: Path) -> None:
    """``hub serve`` ends with 1; the agent whose hub it is says the same sentence in its status."""
    home = Home(tmp_path, "one")
    home.write("a.md", "a\n")
    assert home.run("up", home.folder, "--once", "--port", "0").code == 0
    data = home.path / "hub"
    before = _made_newer(data / "hub.db", f"UPDATE schema_info SET version = {NEWER}")
    with pytest.raises(StoreError, match=f"schema {NEWER}"):
        SqlStore(sqlite_url(data / "hub.db"))
    served = home.run("hub", "serve", "--data", data, seconds=30)
    assert served.code == 1 and f"schema {NEWER}" in served.err
    home.write("a.md", "b\n")
    ran = home.run("sync")
    assert ran.code != 0 and f"schema {NEWER}" in ran.out + ran.err
    assert (data / "hub.db").read_bytes() == before
