"""The removal of deleted sources: what goes, and above all what stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.hub.domain.retention import DAY_MS
from agent.hub.store import purging
from agent.hub.store.purging import Purge, plan_purge, purge
from agent.hub.store.sql_store import SqlStore, sqlite_url
from agent.hub.store.workspaces import WorkspaceRegistry
from hub.drive import Drive
from hub.fixtures import WORKSPACE, InProcess, delete, sha, upsert
from hub.test_retention import edit, stored
from support.processes import Home

TABLES = ("files", "versions", "events", "operations", "conflicts", "places", "folders", "upload_sessions")


def purged(hub: InProcess, days: int = 30, later_days: int = 31) -> Purge:
    """Remove what was deleted, some days later. The plan is what was done."""
    hub.wall.now += later_days * DAY_MS
    plan = plan_purge(hub.store, days, hub.wall.now)
    done = purge(hub.store, plan, hub.wall.now)
    assert (done.contents, done.bytes) == (plan.contents, plan.bytes)
    return done


def rows_of(hub: InProcess, number: int) -> int:
    """Rows of a source in all tables that name it."""
    with hub.store.read() as session:
        db = session.transaction
        return sum(db.rows(f"SELECT count(*) FROM {table} WHERE source = {number:d}")[0][0] for table in TABLES)


def number_of(hub: InProcess, source: str) -> int:
    """The number of a source."""
    with hub.store.read() as session:
        found = session.source(WORKSPACE, source)
        assert found is not None
        return found.number


def test_a_deleted_source_goes_with_what_only_it_names(hub: InProcess) -> None:
    """Texts that another source has, had, or holds in a conflict stay, and so do those of another workspace."""
    gone, kept = hub.source(), hub.source()
    edit(hub, gone, "a.md", "only", "head", "past", "refused", "last")
    edit(hub, gone, "dir/b.md", "gone too")
    hub.push(gone, delete("dir/b.md", sha("gone too")))
    hub.outcome(gone, upsert("a.md", "own conflict", sha("head")))
    edit(hub, kept, "h.md", "head")
    edit(hub, kept, "p.md", "past", "present")
    edit(hub, kept, "c.md", "c")
    assert hub.outcome(kept, upsert("c.md", "refused"))["status"] == "conflict"
    beside = hub.beside("elsewhere")
    beside.wall = hub.wall
    elsewhere = beside.source()
    edit(beside, elsewhere, "a.md", "only")
    number = number_of(hub, gone)
    hub.ok("sources/delete", sourceId=gone)
    used = WorkspaceRegistry(hub.store).one(WORKSPACE).used

    done = purged(hub)
    assert [source.id for source in done.sources] == [gone] and done.sources[0].versions == 6
    texts = ("only", "last", "gone too", "own conflict")
    assert (done.contents, done.bytes) == (4, sum(map(len, texts)))
    assert rows_of(hub, number) == 0
    assert WorkspaceRegistry(hub.store).one(WORKSPACE).used == used - done.bytes
    # The empty text of the delete is named by nothing. It has no bytes.
    assert stored(hub) - {sha("")} == {sha(text) for text in ("head", "past", "refused", "present", "c", "only")}
    assert hub.past(kept, "p.md") == ["past", "present"]
    assert hub.conflicts(kept)[0]["localContent"] == "refused"
    assert beside.text(elsewhere, "a.md") == "only"
    assert hub.refused("sources/deltas", sourceId=gone) == (404, "Local sync source not found")
    assert purged(hub).sources == []


def test_the_kept_period_is_counted_from_the_deletion(hub: InProcess) -> None:
    """A source that is there, or was only archived, is never in a plan."""
    gone, archived, present = hub.source(), hub.source(), hub.source()
    for source in (gone, archived, present):
        edit(hub, source, "a.md", source)
    hub.wall.now += 20 * DAY_MS
    hub.ok("sources/archive", sourceId=archived)
    hub.ok("sources/delete", sourceId=gone)
    assert purged(hub, later_days=29).sources == []
    assert stored(hub) == {sha(text) for text in (gone, archived, present)}
    assert [source.id for source in purged(hub, later_days=2).sources] == [gone]
    assert stored(hub) == {sha(text) for text in (archived, present)}


def test_uploads_and_large_contents(hub: InProcess, tmp_path: Path) -> None:
    """Those of a deleted share go, finished or not; one that another share has too stays, and can be read."""
    drive = Drive(hub, None if hub.store.is_shared else tmp_path).set_up()
    shared, own = b"\x00" + b"s" * 2_000_000, b"\x00" + b"o" * 2_000_000
    drive.upload(shared, file_name="shared")
    drive.upload(own, file_name="own")
    gone, number = drive.share, number_of(hub, drive.share)
    begun = drive.ok("POST", "uploads", {"share_id": gone, "file_name": "open", "file_size": 70_000})
    drive.send("PUT", f"uploads/{begun['session_id']}/chunks/0", b"x" * 70_000)
    owner = drive.caller.user
    drive.share = drive.ok("POST", "shares", {"name": "t", "share_type": "project", "owner_id": owner})["id"]
    kept = drive.upload(shared, file_name="kept")["file_id"]
    hub.ok("sources/delete", sourceId=gone)
    assert purged(hub).contents == 1
    assert rows_of(hub, number) == 0
    assert drive.content(kept) == shared
    with hub.store.read() as session:
        held = session.transaction.rows("SELECT coalesce(sum(length(data)), 0) FROM pieces")[0][0]
    assert held == (len(shared) if hub.store.is_shared else 0)


def test_a_purge_that_was_interrupted_is_finished(hub: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """The events go last and name the contents, so the next purge finds both."""
    gone = hub.source()
    edit(hub, gone, "a.md", "one", "two")
    hub.ok("sources/delete", sourceId=gone)
    with monkeypatch.context() as patched:

        def interrupted(*_: object) -> None:
            raise KeyboardInterrupt

        patched.setattr(purging, "remove_contents", interrupted)
        with pytest.raises(KeyboardInterrupt):
            purged(hub)
    assert stored(hub) == {sha("one"), sha("two")}
    assert purged(hub).contents == 2
    assert stored(hub) == set()


def test_the_command_shows_a_plan_and_asks(tmp_path: Path) -> None:
    """Without a terminal and without `--yes` it removes nothing."""
    home, data = Home(tmp_path), tmp_path / "data"
    data.mkdir()
    hub = InProcess(SqlStore(sqlite_url(data / "hub.db")))
    hub.wall.now -= 40 * DAY_MS
    source = hub.source()
    edit(hub, source, "a.md", "one")
    hub.ok("sources/delete", sourceId=source)
    place = ("--data", str(data))
    planned = home.json("hub", "purge", "--dry-run", *place)
    assert (planned["removed"], planned["contents"], planned["bytes"]) == (False, 1, 3)
    assert [each["id"] for each in planned["sources"]] == [source]
    refused = home.run("hub", "purge", *place)
    assert refused.code == 2 and source in refused.err and "--yes" in refused.err
    assert stored(hub) == {sha("one")}
    assert home.json("hub", "purge", "--yes", *place) == {**planned, "removed": True}
    assert stored(hub) == set()
    assert home.json("hub", "purge", *place)["sources"] == []
    hub.store.close()
