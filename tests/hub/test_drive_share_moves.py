"""Moves between shares on the hub's second API."""

from __future__ import annotations

from pathlib import Path

import pytest

from hub.drive import Drive
from hub.fixtures import InProcess


@pytest.fixture
def drive(hub: InProcess, tmp_path: Path) -> Drive:
    """A user with a share, on either database."""
    return Drive(hub, None if hub.store.is_shared else tmp_path).set_up()


def second_share(drive: Drive) -> Drive:
    """The same user and device in another share."""
    other = Drive(drive.raven, device=drive.device)
    other.context, other.face = drive.context, drive.face
    body = {"name": "t", "share_type": "project", "owner_id": drive.caller.user}
    other.share = drive.ok("POST", "shares", body)["id"]
    return other


def test_a_file_moves_to_another_share(drive: Drive) -> None:
    """A created one there, a deleted one here, both announced; the versions of before remain with the old id."""
    other = second_share(drive)
    folder = other.ok("POST", "folders", {"share_id": other.share, "name": "docs"})["id"]
    file = drive.create("a.png", b"\x89one\xff")["id"]
    drive.update(file, drive.versions(file)[0]["id"], b"\x89two\xff")
    here, there = drive.changes()[-1]["id"], len(other.changes())
    drive.committed.clear()
    made = drive.ok("POST", f"files/{file}/move", {"target_share_id": other.share.upper(), "target_folder_id": folder})
    assert (made["share_id"], made["folder_id"], made["path"]) == (other.share, folder, "/docs/a.png")
    assert made["id"] != file
    assert sorted(drive.committed) == sorted((drive.share, other.share))
    assert [c["change_type"] for c in drive.changes()][-1] == "deleted" and drive.changes()[-1]["id"] != here
    [change] = other.changes()[there:]
    assert (change["change_type"], change["resource_id"], change["new_path"]) == ("created", made["id"], "/docs/a.png")
    assert (drive.tree(), other.tree()) == ({}, {"/docs/a.png": b"\x89two\xff"})
    assert drive.refused("GET", f"files/{file}") == 410
    assert [version["size"] for version in drive.versions(file)] == [5, 5]


def test_a_folder_moves_to_another_share_whole(drive: Drive) -> None:
    """With empty folders and with texts that Raven's face pushed."""
    other = second_share(drive)
    outer = drive.ok("POST", "folders", {"share_id": drive.share, "name": "a"})["id"]
    inner = drive.ok("POST", "folders", {"share_id": drive.share, "name": "b", "parent_id": outer})["id"]
    drive.ok("POST", "folders", {"share_id": drive.share, "name": "empty", "parent_id": inner})
    for name, folder in (("1.md", outer), ("2.md", inner), ("kept.md", None)):
        drive.create(name, name.encode(), folder)
    made = drive.ok("POST", f"folders/{outer}/move", {"target_share_id": other.share})
    assert made["share_id"] == other.share and made["path"] == "/a"
    assert drive.tree() == {"/kept.md": b"kept.md"}
    assert other.tree() == {"/a/1.md": b"1.md", "/a/b/2.md": b"2.md"}
    assert {c["new_path"] for c in other.changes()} == {"/a", "/a/b", "/a/b/empty", "/a/1.md", "/a/b/2.md"}
    assert drive.refused("GET", f"folders/{outer}") == 410
    assert drive.raven.text(other.share, "a/b/2.md") == "2.md"
    assert drive.raven.text(drive.share, "a/b/2.md") is None


@pytest.mark.parametrize("kind", ["files", "folders"])
def test_a_refused_move_to_a_share_changes_neither(drive: Drive, kind: str) -> None:
    """A name that is taken, a folder of the wrong share, a share that is unknown, of another workspace, or paused."""
    other = second_share(drive)
    own = drive.ok("POST", "folders", {"share_id": drive.share, "name": "own"})["id"]
    if kind == "files":
        moved = drive.create("x", b"x")["id"]
    else:
        moved = drive.ok("POST", "folders", {"share_id": drive.share, "name": "x"})["id"]
    other.create("x", b"y")
    before = drive.changes(), other.changes()
    foreign = drive.raven.beside("elsewhere").source()
    for status, body in (
        (409, {"target_share_id": other.share}),
        (404, {"target_share_id": other.share, "target_folder_id": own}),
        (404, {"target_share_id": foreign}),
        (404, {"target_share_id": "00000000-0000-4000-8000-ffffffffffff"}),
    ):
        assert drive.refused("POST", f"{kind}/{moved}/move", body) == status
    drive.raven.ok("sources/pause", sourceId=other.share)
    assert drive.refused("POST", f"{kind}/{moved}/move", {"target_share_id": other.share}) == 403
    drive.raven.ok("sources/resume", sourceId=other.share)
    assert (drive.changes(), [c for c in other.changes() if c["resource_type"] != "share"]) == before
