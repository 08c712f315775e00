"""Files, folders, versions and uploads of the hub's second API."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.hub.domain.drive_model import UPLOAD_IDLE_MS
from hub.drive import BOUNDARY, Drive, form
from hub.fixtures import InProcess, sha, upsert


@pytest.fixture
def drive(hub: InProcess, tmp_path: Path) -> Drive:
    """A user with a share, on either database; large contents are where that database has them."""
    return Drive(hub, None if hub.store.is_shared else tmp_path).set_up()


def test_a_file_is_created_shown_and_downloaded(drive: Drive) -> None:
    """By a form; the record has every field of the documentation; the same name again is 409."""
    made = drive.create("spec.md", b"# Spec\n")
    assert made["path"] == "/spec.md" and made["version"] == 1 and made["folder_id"] is None
    assert made["checksum_sha256"] == sha("# Spec\n") and made["mime_type"] == "text/markdown"
    shown = drive.ok("GET", f"files/{made['id']}")
    assert shown == made
    assert drive.content(made["id"]) == b"# Spec\n"
    body = form(b"x", "spec.md", share_id=drive.share)
    again = drive.send("POST", "files", body, {"content-type": f"multipart/form-data; boundary={BOUNDARY}"})
    assert again.status == 409
    assert drive.raven.text(drive.share, "spec.md") == "# Spec\n"


def test_raven_and_drive_share_one_log(drive: Drive) -> None:
    """A text pushed by Raven is a file here with folders; one created here is Raven's next event."""
    drive.raven.push(drive.share, upsert("a/b/one.md", "1"))
    drive.create("two.md", b"2")
    assert drive.tree() == {"/a/b/one.md": b"1", "/two.md": b"2"}
    assert [(c["change_type"], c["old_path"], c["new_path"]) for c in drive.changes()] == [
        ("created", None, "/a/b/one.md"),
        ("created", None, "/two.md"),
    ]
    assert [(e["cursor"], e["relativePath"]) for e in drive.raven.events(drive.share)] == [
        (1, "a/b/one.md"),
        (2, "two.md"),
    ]


@pytest.mark.parametrize("size", [0, 5, 65_536, 1_048_576, 1_048_577, 3_000_001])
def test_an_upload_of_any_size_becomes_a_file(drive: Drive, size: int) -> None:
    """In chunks; binary; the whole and a range come back; the version's hash is the content's."""
    content = (b"\xff" + os.urandom(size))[:size]
    done = drive.upload(content, file_name="video.mp4")
    shown = drive.ok("GET", f"files/{done['file_id']}")
    assert (shown["size"], shown["checksum_sha256"]) == (size, done["checksum_sha256"])
    # An empty content is a text, whatever the name says.
    assert shown["mime_type"] == ("video/mp4" if size else "text/markdown")
    assert drive.content(done["file_id"]) == content
    if size > 3:
        assert drive.content(done["file_id"], range_start=size - 3, range_end=size + 5) == content[-3:]
    [version] = drive.versions(done["file_id"])
    assert version["id"] == done["version_id"]
    if size:
        assert drive.raven.ok("sources/files", sourceId=drive.share) == []


def test_an_upload_continues_and_repeats(drive: Drive) -> None:
    """Chunks in any order and twice; the session names those that arrived; completing twice is one file."""
    content = os.urandom(200_000)
    begun = drive.ok(
        "POST", "uploads",
        {"share_id": drive.share, "file_name": "f", "file_size": len(content), "chunk_size": 65_536},
    )  # fmt: skip
    session = begun["session_id"]
    assert begun["total_chunks"] == 4
    for index in (3, 0, 0, 1):
        drive.send("PUT", f"uploads/{session}/chunks/{index}", content[index * 65_536 :][:65_536])
    assert drive.ok("GET", f"uploads/{session}")["received_chunks"] == [0, 1, 3]
    assert drive.refused("POST", f"uploads/{session}/complete") == 400
    assert drive.send("PUT", f"uploads/{session}/chunks/2", b"short").status == 422
    assert drive.send("PUT", f"uploads/{session}/chunks/4", b"").status == 422
    drive.send("PUT", f"uploads/{session}/chunks/2", content[2 * 65_536 :][:65_536])
    done = drive.ok("POST", f"uploads/{session}/complete")
    assert drive.ok("POST", f"uploads/{session}/complete") == done
    assert drive.ok("GET", f"uploads/{session}")["status"] == "completed"
    assert len(drive.changes()) == 1
    assert drive.content(done["file_id"]) == content


def test_an_upload_with_another_hash_makes_nothing(drive: Drive) -> None:
    """400; no file, and the same content may be sent again."""
    begun = drive.ok(
        "POST", "uploads",
        {"share_id": drive.share, "file_name": "f", "file_size": 1, "checksum_sha256": sha("a")},
    )  # fmt: skip
    drive.send("PUT", f"uploads/{begun['session_id']}/chunks/0", b"b")
    assert drive.refused("POST", f"uploads/{begun['session_id']}/complete") == 400
    assert drive.changes() == []
    drive.send("PUT", f"uploads/{begun['session_id']}/chunks/0", b"a")
    drive.ok("POST", f"uploads/{begun['session_id']}/complete")
    assert drive.tree() == {"/f": b"a"}


def test_an_idle_upload_ends_after_a_day(drive: Drive) -> None:
    """410 after 24 hours without activity; its bytes go with the next upload a day later."""
    body = {"share_id": drive.share, "file_name": "f", "file_size": 70_000, "chunk_size": 65_536}
    session = drive.ok("POST", "uploads", body)["session_id"]
    drive.send("PUT", f"uploads/{session}/chunks/0", os.urandom(65_536))
    drive.raven.wall.now += UPLOAD_IDLE_MS + 1
    assert drive.refused("GET", f"uploads/{session}") == 410
    assert len(b"".join(drive.context.blobs.uploaded(session, 65_536))) == 65_536
    drive.raven.wall.now += UPLOAD_IDLE_MS
    drive.ok("POST", "uploads", body)
    assert drive.refused("GET", f"uploads/{session}") == 404
    with pytest.raises((LookupError, FileNotFoundError)):
        list(drive.context.blobs.uploaded(session, 1))


def test_equal_contents_are_stored_once(drive: Drive) -> None:
    """Two files of one large content; deleting the first upload's bytes harms neither."""
    content = os.urandom(1_500_000)
    one, two = (drive.upload(content, file_name=name)["file_id"] for name in ("one", "two"))
    assert drive.content(one) == drive.content(two) == content
    made = drive.create("three", content)
    assert drive.content(made["id"]) == content


def test_a_range_has_both_ends_and_the_header_wins(drive: Drive) -> None:
    """206 with Content-Range; 416 behind the end; a header that is no range is ignored."""
    made = drive.create("f", b"0123456789")

    def get(header: str | None = None, **query: object) -> tuple[int, bytes, str | None]:
        sent = {} if header is None else {"range": header}
        answer = drive.send("GET", f"sync/download/{made['id']}", b"", sent, **query)  # type: ignore[arg-type]
        return answer.status, answer.read(), answer.headers.get("content-range")

    assert get("bytes=0-3") == (206, b"0123", "bytes 0-3/10")
    assert get("bytes=8-") == (206, b"89", "bytes 8-9/10")
    assert get("bytes=-2") == (206, b"89", "bytes 8-9/10")
    assert get("bytes=5-99", range_start=0, range_end=1) == (206, b"56789", "bytes 5-9/10")
    assert get(range_start=2, range_end=4) == (206, b"234", "bytes 2-4/10")
    assert get("lines=1-2") == (200, b"0123456789", None)
    for unmet in ("bytes=10-", "bytes=5-4", "bytes=-0"):
        status, _, place = get(unmet)
        assert (status, place) == (416, "bytes */10")


def test_versions_have_ids_numbers_and_contents(drive: Drive) -> None:
    """Newest first; each is downloaded by its number; the head's id is the newest one's."""
    file = drive.create("f.md", b"1")["id"]
    first = drive.versions(file)[0]["id"]
    drive.update(file, first, b"2")
    listed = drive.versions(file)
    assert [(v["version_number"], v["checksum_sha256"]) for v in listed] == [(2, sha("2")), (1, sha("1"))]
    assert [drive.content(file, version=number) for number in (1, 2)] == [b"1", b"2"]
    assert drive.refused("GET", f"sync/download/{file}", version=3) == 404
    assert [c["version_id"] for c in drive.changes()] == [listed[1]["id"], listed[0]["id"]]
    assert [c["metadata"]["version"] for c in drive.changes()] == [1, 2]


def test_a_deleted_file_is_410_and_keeps_its_versions(drive: Drive) -> None:
    """Its name is free again, for another file with another id."""
    file = drive.create("f.md", b"1")["id"]
    drive.ok("DELETE", f"files/{file}")
    assert drive.refused("GET", f"files/{file}") == 410
    assert drive.refused("DELETE", f"files/{file}") == 410
    assert drive.refused("GET", f"sync/download/{file}") == 410
    assert drive.content(file, version=1) == b"1"
    again = drive.create("f.md", b"2")
    assert again["id"] != file and again["version"] == 1
    listed = drive.ok("GET", "folders/root/children", share_id=drive.share, include_deleted="true")["items"]
    assert [(item["id"], item["is_deleted"]) for item in listed] == [(again["id"], False)]
    drive.ok("PATCH", f"files/{again['id']}", {"name": "g.md"})
    listed = drive.ok("GET", "folders/root/children", share_id=drive.share, include_deleted="true")["items"]
    assert [(item["name"], item["is_deleted"]) for item in listed] == [("g.md", False)]
    drive.ok("DELETE", f"files/{again['id']}")
    listed = drive.ok("GET", "folders/root/children", share_id=drive.share, include_deleted="true")["items"]
    assert [(item["id"], item["is_deleted"]) for item in listed] == [(again["id"], True)]
    last = drive.changes()[1]
    assert (last["change_type"], last["resource_id"], last["old_path"]) == ("deleted", file, "/f.md")
    assert (last["new_path"], last["version_id"], last["metadata"]) == (None, None, {})


def test_a_renamed_and_moved_file_is_one_file(drive: Drive) -> None:
    """Same id, same versions; one change each, with both paths; a taken name is 409."""
    folder = drive.ok("POST", "folders", {"share_id": drive.share, "name": "docs"})["id"]
    file = drive.create("f.md", b"1")["id"]
    version = drive.versions(file)[0]["id"]
    assert drive.ok("PATCH", f"files/{file}", {"name": "g.md"})["path"] == "/g.md"
    assert drive.ok("POST", f"files/{file}/move", {"target_folder_id": folder})["folder_id"] == folder
    assert [(c["change_type"], c["old_path"], c["new_path"], c["version_id"]) for c in drive.changes()[2:]] == [
        ("renamed", "/f.md", "/g.md", version),
        ("moved", "/g.md", "/docs/g.md", version),
    ]
    assert [v["id"] for v in drive.versions(file)] == [version]
    drive.create("h.md", b"2", folder)
    assert drive.refused("PATCH", f"files/{file}", {"name": "h.md"}) == 409
    assert drive.refused("PATCH", f"files/{file}", {"name": "a/b"}) == 422


def test_folders_are_renamed_moved_and_deleted_whole(drive: Drive) -> None:
    """A renamed folder keeps its id; every file below it has a change; a deleted one takes its files with it."""
    outer = drive.ok("POST", "folders", {"share_id": drive.share, "name": "outer"})
    inner = drive.ok("POST", "folders", {"share_id": drive.share, "parent_id": outer["id"], "name": "inner"})
    assert inner["path"] == "/outer/inner" and inner["parent_id"] == outer["id"]
    assert drive.refused("POST", "folders", {"share_id": drive.share, "name": "outer"}) == 409
    file = drive.create("f.md", b"1", inner["id"])["id"]
    cursor = drive.ok("GET", "sync/changes", share_id=drive.share)["cursor"]
    assert drive.ok("PATCH", f"folders/{outer['id']}", {"name": "new"})["path"] == "/new"
    changes = drive.changes(cursor)
    assert [(c["resource_type"], c["change_type"], c["old_path"], c["new_path"]) for c in changes] == [
        ("folder", "renamed", "/outer", "/new"),
        ("file", "renamed", "/outer/inner/f.md", "/new/inner/f.md"),
    ]
    assert drive.ok("GET", f"folders/{inner['id']}")["path"] == "/new/inner"
    assert drive.refused("POST", f"folders/{outer['id']}/move", {"target_folder_id": inner["id"]}) == 409
    assert drive.ok("POST", f"folders/{inner['id']}/move", {"target_folder_id": None})["path"] == "/inner"
    assert drive.tree() == {"/inner/f.md": b"1"}
    drive.ok("DELETE", f"folders/{inner['id']}")
    assert drive.tree() == {}
    assert drive.refused("GET", f"folders/{inner['id']}") == 410
    assert drive.refused("GET", f"folders/{inner['id']}/children", share_id=drive.share) == 410
    assert drive.refused("GET", f"files/{file}") == 410
    assert [(c["resource_type"], c["change_type"]) for c in drive.changes()[-2:]] == [
        ("file", "deleted"),
        ("folder", "deleted"),
    ]


def test_another_workspace_sees_nothing(drive: Drive) -> None:
    """404 for the share, its files and its folders, as for unknown ones."""
    from agent.hub.domain.model import Caller

    file = drive.create("f.md", b"1")["id"]
    folder = drive.ok("POST", "folders", {"share_id": drive.share, "name": "d"})["id"]
    drive.caller = Caller("mallory", "another")
    assert drive.ok("GET", "users/me/shares") == {"shares": [], "total": 0}
    for path in (f"files/{file}", f"files/{file}/versions", f"sync/download/{file}", f"folders/{folder}"):
        assert drive.refused("GET", path) == 404
    assert drive.refused("GET", "sync/changes", share_id=drive.share) == 404
    assert drive.refused("DELETE", f"files/{file}") == 404
