"""Devices, cursors, apply, conflicts and limits of the hub's second API."""

from __future__ import annotations

import os
from pathlib import Path

import orjson
import pytest

from hub.drive import Drive, deleted, moved, updated
from hub.fixtures import STRANGER, InProcess, sha, upsert


@pytest.fixture
def drive(hub: InProcess, tmp_path: Path) -> Drive:
    """A user with a share, on either database."""
    return Drive(hub, None if hub.store.is_shared else tmp_path).set_up()


def test_a_device_is_registered_once_under_its_own_id(drive: Drive) -> None:
    """Again is fine; listed, renamed, alive, removed; another user's device with the same id is another."""
    body = {"device_id": "dev", "device_name": "new", "platform": "macos", "client_version": "2"}
    first = drive.ok("GET", "sync/devices")[0]
    assert drive.send("POST", "sync/devices", orjson.dumps(body)).status == 201
    [again] = drive.ok("GET", "sync/devices")
    assert (again["device_name"], again["created_at"]) == ("new", first["created_at"])
    other = Drive(drive.raven, user=STRANGER)
    assert other.ok("GET", "sync/devices") == []
    assert other.refused("POST", "sync/devices/dev/heartbeat") == 404
    assert drive.refused("POST", "sync/devices", {**body, "platform": "amiga"}) == 422
    drive.raven.wall.now += 1000
    assert drive.ok("POST", "sync/devices/dev/heartbeat") is None
    seen = drive.ok("PATCH", "sync/devices/dev", {"device_name": "third", "is_active": False})
    assert (seen["device_name"], seen["is_active"]) == ("third", False)
    assert seen["last_seen_at"] > first["last_seen_at"]
    drive.ok("GET", "sync/status", share_id=drive.share, device_id="dev")
    assert drive.ok("DELETE", "sync/devices/dev") is None
    assert drive.refused("GET", "sync/status", share_id=drive.share, device_id="dev") == 404


def test_a_cursor_begins_at_the_head_and_never_moves_back(drive: Drive) -> None:
    """The first status makes it; beyond the head and malformed ones are 400; omitted: the head, no history."""
    drive.create("a.md", b"1")
    status = drive.ok("GET", "sync/status", share_id=drive.share, device_id="dev")
    assert status == {"cursor_position": 1, "last_sync_at": None, "pending_changes": 0, "has_conflicts": False}
    drive.create("b.md", b"2")
    assert drive.ok("GET", "sync/status", share_id=drive.share, device_id="dev")["pending_changes"] == 1
    for position, reached in ((2, 2), (1, 2)):
        where = {"share_id": drive.share, "device_id": "dev", "position": position}
        assert drive.ok("POST", "sync/cursor", **where)["cursor_position"] == reached
    assert drive.refused("POST", "sync/cursor", share_id=drive.share, device_id="dev", position=3) == 400
    assert drive.ok("GET", "sync/changes", share_id=drive.share) == {
        "changes": [],
        "cursor": 2,
        "has_more": False,
        "share_id": drive.share,
    }
    for cursor in ("3", "x", "-1", "9" * 30):
        status_code, answer = drive.ask("GET", "sync/changes", share_id=drive.share, cursor=cursor)
        assert (status_code, answer["error"]["code"]) == (400, "SYNC_CURSOR_INVALID")
    assert drive.refused("GET", "sync/changes", share_id=drive.share, limit=5001) == 422
    pages = drive.changes(limit=1)
    assert [change["new_path"] for change in pages] == ["/a.md", "/b.md"]


def test_apply_publishes_an_uploaded_version_once(drive: Drive) -> None:
    """Before it the old content is the head; again it changes nothing; the upload then names the real version."""
    file = drive.create("f.md", b"1")["id"]
    base = drive.versions(file)[0]["id"]
    made = drive.upload(b"2", replace_file_id=file)
    assert drive.content(file) == b"1" and len(drive.changes()) == 1
    answer = drive.apply(updated(file, base, made["version_id"]))
    head = drive.versions(file)[0]["id"]
    assert [(row["resource_id"], row["version_id"]) for row in answer["applied"]] == [(file, head)]
    assert (answer["conflicts"], answer["cursor"]) == ([], 2)
    assert drive.content(file) == b"2"
    again = drive.apply(updated(file, base, made["version_id"]))
    assert again["applied"][0]["version_id"] == head and again["conflicts"] == []
    assert len(drive.changes()) == 2
    assert drive.refused("POST", "sync/apply", _body(drive, updated(file, head, None))) == 422
    assert drive.refused("POST", "sync/apply", _body(drive, updated(file, head, "ver_1-999"))) == 404
    other = Drive(drive.raven, user=STRANGER)
    assert other.refused("POST", "sync/apply", _body(drive, updated(file, head, made["version_id"]))) == 404


def _body(drive: Drive, *changes: object, resolution: str = "MANUAL") -> object:
    return {
        "device_id": "dev", "share_id": drive.share, "changes": list(changes), "conflict_resolution": resolution,
    }  # fmt: skip


def test_a_stale_base_is_a_conflict_and_nothing_is_replaced(drive: Drive) -> None:
    """MANUAL: open, with all three versions, once however often it is sent; a missing base is stale too."""
    file = drive.create("f.md", b"base")["id"]
    base = drive.versions(file)[0]["id"]
    drive.raven.push(drive.share, upsert("f.md", "theirs", sha("base")))
    made = drive.upload(b"mine", replace_file_id=file)
    change = updated(file, base, made["version_id"])
    [conflict] = drive.apply(change)["conflicts"]
    head = drive.versions(file)[0]["id"]
    assert (conflict["base_version_id"], conflict["server_version_id"]) == (base, head)
    assert (conflict["client_version_id"], conflict["path"]) == (made["version_id"], "/f.md")
    assert conflict["metadata"] == {"checksum_sha256": sha("mine"), "size": 4}
    assert drive.apply(change)["conflicts"] == [conflict]
    assert drive.ok("GET", "sync/conflicts", share_id=drive.share, device_id="dev") == [conflict]
    assert drive.ok("GET", "sync/conflicts", device_id="other") == []
    assert drive.ok("GET", "sync/status", share_id=drive.share, device_id="dev")["has_conflicts"] is True
    assert drive.content(file) == b"theirs"
    for change in (updated(file, None, made["version_id"]), deleted(file, None), deleted(file, base)):
        assert drive.apply(change)["applied"] == []
    assert drive.content(file) == b"theirs"


@pytest.mark.parametrize(
    ("word", "head", "beside"),
    [
        ("SERVER_WINS", b"theirs", []),
        ("MANUAL", b"theirs", []),
        ("CLIENT_WINS", b"mine", []),
        ("LAST_WRITER_WINS", b"mine", []),
        ("KEEP_BOTH", b"theirs", [b"mine"]),
    ],
)
def test_each_resolution_closes_a_conflict_its_way(drive: Drive, word: str, head: bytes, beside: list[bytes]) -> None:
    """No version is ever lost; a second resolution is 409; an unknown word is 422."""
    file = drive.create("f.md", b"base")["id"]
    base = drive.versions(file)[0]["id"]
    drive.update(file, base, b"theirs")
    [conflict] = drive.update(file, base, b"mine")["conflicts"]
    where = f"sync/conflicts/{conflict['id']}/resolve"
    assert drive.refused("POST", where, resolution="NEITHER") == 422
    closed = drive.ok("POST", where, resolution=word)
    assert closed["resolution"] == word and closed["resolved_at"] is not None
    assert drive.refused("POST", where, resolution=word) == 409
    tree = drive.tree()
    assert tree.pop("/f.md") == head
    assert list(tree.values()) == beside
    assert b"theirs" in [drive.content(file, version=v["version_number"]) for v in drive.versions(file)]
    assert drive.ok("GET", "sync/conflicts") == []
    assert drive.ok("GET", "sync/conflicts", include_resolved="true") == [closed]
    assert drive.refused("POST", "sync/conflicts/cfl_none/resolve", resolution=word) == 404


@pytest.mark.parametrize(
    ("word", "head", "beside", "applied"),
    [
        ("SERVER_WINS", b"theirs", [], 0),
        ("CLIENT_WINS", b"mine", [], 1),
        ("LAST_WRITER_WINS", b"mine", [], 1),
        ("KEEP_BOTH", b"theirs", [b"mine"], 0),
    ],
)
def test_apply_settles_conflicts_by_its_rule(
    drive: Drive, word: str, head: bytes, beside: list[bytes], applied: int
) -> None:
    """The conflict is recorded as resolved; the replaced version stays in the history."""
    file = drive.create("f.md", b"base")["id"]
    base = drive.versions(file)[0]["id"]
    drive.update(file, base, b"theirs")
    answer = drive.update(file, base, b"mine", resolution=word)
    assert len(answer["applied"]) == applied
    tree = drive.tree()
    assert (tree.pop("/f.md"), list(tree.values())) == (head, beside)
    [known] = drive.ok("GET", "sync/conflicts", include_resolved="true")
    assert known["resolution"] == word
    assert b"theirs" in [drive.content(file, version=v["version_number"]) for v in drive.versions(file)]


def test_apply_moves_deletes_and_makes_folders(drive: Drive) -> None:
    """A moved file sends no content; folders come into being; a taken name is a conflict under every rule."""
    content = os.urandom(1_200_000)
    file = drive.upload(content, file_name="video")["file_id"]
    base = drive.versions(file)[0]["id"]
    assert drive.apply(moved(file, "/a/b/video", base))["applied"][0]["version_id"] == base
    assert drive.tree() == {"/a/b/video": content}
    taken = drive.create("taken", b"x")["id"]
    for word in ("MANUAL", "LAST_WRITER_WINS"):
        answer = drive.apply(moved(file, "/taken", base), resolution=word)
        assert (answer["applied"], answer["conflicts"][0]["resolution"]) == ([], None)
    assert drive.apply(moved(file, "/a/b/video"))["applied"][0]["resource_id"] == file
    assert drive.apply(deleted(taken, drive.versions(taken)[0]["id"]))["applied"][0]["version_id"] is None
    assert drive.apply(deleted(taken, "ver_1-1"))["applied"][0]["resource_id"] == taken
    made = drive.apply({"resource_type": "folder", "change_type": "created", "new_path": "/c/d"})["applied"][0]
    assert drive.apply(moved(made["resource_id"], "/e", kind="folder"))["conflicts"] == []
    assert drive.ok("GET", f"folders/{made['resource_id']}")["path"] == "/e"
    folder = drive.ok("GET", f"files/{file}")["folder_id"]
    assert drive.apply(moved(folder, "/e/b", kind="folder"))["conflicts"] == []
    assert drive.tree() == {"/e/b/video": content}


def test_a_batch_sees_its_own_changes(drive: Drive) -> None:
    """A file moved and then deleted, two that change places through a third name, folders between files."""
    one, two = drive.create("one", b"1")["id"], drive.create("two", b"2")["id"]
    answer = drive.apply(moved(one, "/x/t"), moved(two, "/one"), moved(one, "/two"))
    assert len(answer["applied"]) == 3 and drive.tree() == {"/one": b"2", "/two": b"1"}
    folder = drive.ok("POST", "folders", {"share_id": drive.share, "name": "d"})["id"]
    drive.apply(moved(one, "/d/one"), moved(folder, "/e", kind="folder"), moved(one, "/e/in"))
    assert drive.tree() == {"/e/in": b"1", "/one": b"2"}
    base = drive.versions(two)[0]["id"]
    drive.apply(moved(two, "/three", base), deleted(two, base))
    assert drive.tree() == {"/e/in": b"1"}


def test_preferences_are_stored_and_announced(drive: Drive) -> None:
    """One, several, all or none; an unknown share is 404; both lists at once are 422."""
    one = drive.ok("PUT", f"sync/devices/dev/preferences/{drive.share}", {"selected_folders": ["fld_1-1"]})
    assert one == {
        "share_id": drive.share,
        "sync_enabled": True,
        "selected_folders": ["fld_1-1"],
        "excluded_folders": None,
    }
    off = {"share_id": drive.share, "sync_enabled": False, "selected_folders": None, "excluded_folders": None}
    unknown = {**off, "share_id": "99999999-9999-4999-8999-999999999999"}
    assert drive.refused("PUT", "sync/devices/dev/preferences", {"preferences": [off, unknown]}) == 404
    assert drive.ok("GET", "sync/devices/dev/preferences") == {"preferences": [one]}
    assert drive.ok("PUT", "sync/devices/dev/preferences", {"preferences": [off]}) == {"preferences": [off]}
    assert drive.ok("GET", "sync/devices/dev/preferences") == {"preferences": [off]}
    both = {"selected_folders": ["a"], "excluded_folders": ["b"]}
    assert drive.refused("PUT", f"sync/devices/dev/preferences/{drive.share}", both) == 422
    assert drive.preferences == [("dev", drive.share)] * 2


def test_shares_are_listed_by_pages(drive: Drive) -> None:
    """Fifty by default, a hundred at most; each with its size."""
    for number in range(3):
        owner = drive.ok("GET", "users/me")["id"]
        drive.ok("POST", "shares", {"name": f"s{number}", "share_type": "personal", "owner_id": owner})
    drive.create("f", b"12345")
    pages = [drive.ok("GET", "users/me/shares", limit=3, offset=offset) for offset in (0, 3, 6)]
    assert [len(page["shares"]) for page in pages] == [3, 1, 0] and pages[0]["total"] == 4
    assert drive.ok("GET", f"shares/{drive.share}")["used_bytes"] == 5
    assert drive.refused("GET", "users/me/shares", limit=101) == 422


def test_the_limit_is_429_with_its_headers(drive: Drive) -> None:
    """A thousand tokens a minute; on this machine none are refused, and the headers come all the same."""
    first = drive.send("GET", "users/me", limited=True)
    assert first.headers["x-ratelimit-limit"] == "1000"
    left = int(first.headers["x-ratelimit-remaining"])
    for _ in range(left):
        assert drive.send("GET", "users/me", limited=True).status == 200
    refused = drive.send("GET", "users/me", limited=True)
    answer = orjson.loads(refused.read())
    assert (refused.status, answer["error"]["code"]) == (429, "RATE_LIMITED")
    wait = int(refused.headers["retry-after"])
    assert answer["error"]["retry_after"] == wait and 0 < wait <= 60
    assert drive.send("GET", "users/me").status == 200
    drive.raven.wall.now += wait * 1000
    assert drive.send("GET", "users/me", limited=True).status == 200


def test_answers_are_bare_or_wrapped_by_their_prefix(drive: Drive) -> None:
    """`/api/v1`, `/scaidrive/api/v1`, and `/scaidrive-data` with `data` around; errors are never wrapped."""
    bare = [
        orjson.loads(drive.send("GET", "users/me", prefix=prefix).read())
        for prefix in ("/api/v1/", "/scaidrive/api/v1/")
    ]
    wrapped = orjson.loads(drive.send("GET", "users/me", prefix="/scaidrive-data/api/v1/").read())
    assert bare[0] == bare[1] and wrapped == {"data": bare[0]}
    missing = drive.send("GET", "files/none", prefix="/scaidrive-data/api/v1/")
    assert orjson.loads(missing.read()) == {
        "detail": "File not found",
        "error": {"code": "NOT_FOUND", "message": "File not found"},
    }
    wrong = drive.send("POST", "sync/devices", b"{}")
    assert orjson.loads(wrong.read())["detail"] == [
        {"loc": ["body", "device_id"], "msg": "Field required", "type": "missing"}
    ]
