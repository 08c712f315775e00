"""Pinakes' API on the hub, request by request, as its seed lists them; bodies are this project's choice."""

from __future__ import annotations

import ast
import hashlib
import os
from pathlib import Path
from urllib.parse import quote

import httpx
import msgspec
import orjson
import pytest

from agent.hub.auth import token_id
from agent.hub.pinakes import wire
from agent.hub.pinakes.face import PREFIXES, ROUTES, description, match
from agent.hub.pinakes.openapi import ANSWERS, BODIES, QUERIES, WITH_DEVICE, key_of
from agent.hub.pinakes.report import ReportVerdict, judge
from agent.hub.pinakes.uploads import status_of
from hub.drive import Drive, updated
from hub.fixtures import STRANGER, InProcess, Running, delete, sha, token, upsert
from hub.pinakes import CHUNK, Pinakes

LARGE = os.urandom(3 * CHUNK + 17)


@pytest.fixture(params=["sha256", "blake3"])
def pinakes(request: pytest.FixtureRequest, hub: InProcess, tmp_path: Path) -> Pinakes:
    """A device on either database, with either hash; large contents as files beside SQLite."""
    blobs = None if hub.store.is_shared else tmp_path
    return Pinakes(hub, blobs, algorithm=request.param).set_up()


@pytest.fixture
def light_pinakes(light: InProcess) -> Pinakes:
    """A device on a database in memory."""
    return Pinakes(light).set_up()


@pytest.mark.parametrize(
    ("wanted", "base", "head", "verdict"),
    [
        ("a", None, None, ReportVerdict.APPLY),
        ("b", "a", "a", ReportVerdict.APPLY),
        (None, "a", "a", ReportVerdict.APPLY),
        ("a", None, "a", ReportVerdict.NOTHING),
        ("a", "z", "a", ReportVerdict.NOTHING),
        (None, "a", None, ReportVerdict.NOTHING),
        (None, None, None, ReportVerdict.NOTHING),
        ("b", None, "a", ReportVerdict.CONFLICT),
        ("b", "z", "a", ReportVerdict.CONFLICT),
        ("b", "a", None, ReportVerdict.CONFLICT),
        (None, None, "a", ReportVerdict.CONFLICT),
        (None, "z", "a", ReportVerdict.CONFLICT),
    ],
)
def test_a_change_is_judged_by_its_base(
    wanted: str | None, base: str | None, head: str | None, verdict: ReportVerdict
) -> None:
    """Equal contents never conflict; a missing base means that the path must be free."""
    assert judge(wanted, base, head) is verdict


# Paths


def test_both_spellings_and_prefixes_lead_to_one_api(light_pinakes: Pinakes) -> None:
    """`/pinakes/api/v1`, `/pinakes/api` and `/api`; `/api/v1` stays ScaiDrive's."""
    for prefix in PREFIXES:
        answer = light_pinakes.send("GET", "sync/devices", prefix=prefix)
        assert [each["id"] for each in orjson.loads(answer.read())] == [light_pinakes.device]
    assert match("GET", "/api/v1/sync/devices") is None
    assert match("POST", "/api/local-sync/sources") is None
    for path in ("/api/sync/download", "/api/sync/devices/1/2", "/api/sync/nothing"):
        assert match("GET", path) is None


def test_the_document_has_every_route_and_every_record() -> None:
    """Each route with its method; no table names a route that is not there; every reference leads to a schema."""
    document = orjson.loads(description())
    shown = {(method, path) for path, methods in document["paths"].items() for method in methods}
    assert len(shown) == len(ROUTES)
    keys = {key_of(route) for route in ROUTES}
    assert ANSWERS.keys() | BODIES.keys() | QUERIES.keys() | WITH_DEVICE <= keys
    silent = {key_of(route) for route in ROUTES if route.status == 204}
    assert keys - ANSWERS.keys() == silent | {"POST auth/logout", "GET sync/download/{*}"}
    references = set(orjson.dumps(document["paths"]).decode().split('"#/components/schemas/')[1:])
    assert {each.split('"')[0] for each in references} <= document["components"]["schemas"].keys()


# Devices


def test_a_device_is_registered_shown_changed_and_removed(pinakes: Pinakes) -> None:
    """200 with a token that is shown once; PUT renames and switches off; 204 for the removal; then 404."""
    body = {"name": "phone", "device_type": "mobile", "client_version": "2", "os_info": "Android 16"}
    made = pinakes.ok("POST", "sync/devices", body)
    phone = made["device"]
    assert phone["name"] == "phone" and phone["os_info"] == "Android 16" and phone["enabled"] is True
    assert (phone["last_sync_at"], phone["sync_cursor"]) == (None, 0)
    listed = pinakes.ok("GET", "sync/devices")
    assert [each["name"] for each in listed] == ["laptop", "phone"] and listed[1] == phone
    path = f"sync/devices/{phone['id']}"
    assert pinakes.ok("GET", path) == phone
    assert pinakes.ok("PUT", path, {"name": "old phone", "enabled": False})["name"] == "old phone"
    assert pinakes.ok("GET", path)["enabled"] is False
    assert pinakes.send("DELETE", path).status == 204
    for method in ("GET", "PUT", "DELETE"):
        assert pinakes.refused(method, path, {})[0] == 404


def test_a_device_of_another_user_is_forbidden(light_pinakes: Pinakes) -> None:
    """403 on every call for it; another workspace's does not exist."""
    other = Pinakes(light_pinakes.raven, user=STRANGER)
    path = f"sync/devices/{light_pinakes.device}"
    for method, end in (("GET", ""), ("PUT", ""), ("DELETE", ""), ("POST", "/token")):
        assert other.refused(method, path + end, {})[0] == 403
    assert other.ok("GET", "sync/devices") == []
    other.bearer = token(workspace="99999999-1111-4111-8111-111111111111")
    assert other.refused("GET", path)[0] == 404


def test_a_new_device_token_ends_the_old_one(light_pinakes: Pinakes) -> None:
    """A call that needs a device takes the newest token only; a device that is switched off is refused."""
    old = light_pinakes.device_token
    path = f"sync/devices/{light_pinakes.device}"
    light_pinakes.device_token = light_pinakes.ok("POST", f"{path}/token")["device_token"]
    assert light_pinakes.ok("POST", "sync/ack", {"cursor": 0}) == {"cursor": 0}
    for wrong in (old, "", "x"):
        status, message = Pinakes.refused(_with_token(light_pinakes, wrong), "POST", "sync/report", {"changes": []})
        assert (status, message) == (401, "The device token is missing or not valid")
    light_pinakes.ok("PUT", path, {"enabled": False})
    assert light_pinakes.refused("POST", "sync/report", {"changes": []}) == (401, "The device is switched off")


def _with_token(pinakes: Pinakes, device_token: str) -> Pinakes:
    other = Pinakes.__new__(Pinakes)
    other.__dict__.update(pinakes.__dict__)
    other.device_token = device_token
    return other


def test_devices_of_two_apis_are_apart(light_pinakes: Pinakes) -> None:
    """ScaiDrive's list of devices has none of Pinakes', and the other way round."""
    drive = Drive(light_pinakes.raven).set_up()
    assert [each["id"] for each in drive.ok("GET", "sync/devices")] == ["dev"]
    assert [each["id"] for each in light_pinakes.ok("GET", "sync/devices")] == [light_pinakes.device]
    assert drive.refused("POST", f"sync/devices/{light_pinakes.device}/heartbeat") == 404
    assert light_pinakes.refused("GET", "sync/devices/dev")[0] == 404


# The account


def test_the_account_is_the_oldest_source_in_both_directions(hub: InProcess) -> None:
    """It is chosen once: a source that is made later, or one that is not bidirectional, never takes its place."""
    hub.source("import_only")
    notes = hub.source()
    hub.push(notes, upsert("a.md", "1"))
    pinakes = Pinakes(hub).set_up()
    hub.push(hub.source(), upsert("b.md", "2"))
    assert [change["path"] for change in pinakes.changes()] == ["a.md"]
    again = Pinakes(hub).set_up()
    again.put("c.md", "3")
    assert hub.text(notes, "c.md") == "3" and pinakes.content("c.md") == b"3"


def test_a_workspace_without_a_source_gets_one(hub: InProcess) -> None:
    """The first file makes it; signing in and reading make none. Two devices share it."""
    first, second = Pinakes(hub).set_up(), Pinakes(hub).set_up()
    assert first.changes() == first.conflicts() == hub.ok("sources/list") == []
    assert first.content("a.md") is None and first.ok("POST", "sync/ack", {"cursor": 0}) == {"cursor": 0}
    assert first.refused("GET", "sync/changes", cursor=1)[0] == 400
    first.put("a.md", "1")
    assert second.content("a.md") == b"1"
    assert [each["name"] for each in hub.ok("sources/list")] == ["pinakes"]


def test_a_paused_account_asks_for_patience(light_pinakes: Pinakes) -> None:
    """503 with Retry-After for a change; reading goes on."""
    light_pinakes.put("a.md", "1")
    [source] = light_pinakes.raven.ok("sources/list")
    light_pinakes.raven.ok("sources/pause", sourceId=source["id"])
    answer = light_pinakes.send("POST", "sync/report", b'{"changes":[]}')
    assert (answer.status, answer.headers["retry-after"]) == (503, "60")
    assert light_pinakes.content("a.md") == b"1"


# Report, upload, changes


def test_a_file_lives_through_report_upload_and_changes(pinakes: Pinakes) -> None:
    """Created, modified, moved, deleted: each is one change with its device, hash and size, in the order of commits."""
    assert pinakes.changes() == []
    pinakes.put("a/ö.md", "one")
    pinakes.put("a/ö.md", "two!", "one")
    moved = pinakes.report(pinakes.change("b.md", "two!", "two!", change_type="moved", old_path="a/ö.md"))
    assert moved == {"accepted": ["b.md"], "upload_required": [], "conflicts": []}
    assert pinakes.content("b.md") == b"two!" and pinakes.content("a/ö.md") is None
    assert pinakes.report(pinakes.change("b.md", None, "two!"))["accepted"] == ["b.md"]
    found = pinakes.changes(limit=1)
    assert found == pinakes.changes()
    shown = [(c["change_type"], c["path"], c["old_path"], c["content_hash"], c["file_size"]) for c in found]
    one, two = pinakes.hash("one"), pinakes.hash("two!")
    assert shown == [
        ("created", "a/ö.md", None, one, 3),
        ("modified", "a/ö.md", None, two, 4),
        ("moved", "b.md", "a/ö.md", two, 4),
        ("deleted", "b.md", None, None, None),
    ]
    assert {c["changed_by_device"] for c in found} == {pinakes.device}
    sequences = [c["sequence"] for c in found]
    assert sequences == sorted(set(sequences)) and len({c["id"] for c in found}) == 4
    assert len(pinakes.committed) == 4


def test_a_repeated_report_changes_nothing(light_pinakes: Pinakes) -> None:
    """What is so already is accepted, whatever its base; nothing is added to the log."""
    light_pinakes.put("a.md", "1")
    light_pinakes.put("b.md", "2")
    move = light_pinakes.change("c.md", "2", "2", change_type="moved", old_path="b.md")
    light_pinakes.report(move, light_pinakes.change("a.md", None, "1"))
    before = light_pinakes.changes()
    again = light_pinakes.report(move, light_pinakes.change("a.md", None, "1"), light_pinakes.change("c.md", "2", None))
    assert again["accepted"] == ["c.md", "a.md", "c.md"] and light_pinakes.changes() == before


def test_a_stale_report_is_a_conflict_and_changes_nothing(pinakes: Pinakes) -> None:
    """For an edit, a delete, a new file on a taken path and an edit of a deleted file; the same one is opened once."""
    pinakes.put("a.md", "1")
    pinakes.put("a.md", "2", "1")
    pinakes.put("gone.md", "x")
    pinakes.report(pinakes.change("gone.md", None, "x"))
    before = pinakes.changes()
    stale = [
        pinakes.change("a.md", "mine", "1"),
        pinakes.change("a.md", None, "1"),
        pinakes.change("a.md", "new", None),
        pinakes.change("gone.md", "edited", "x"),
        pinakes.change("a.md", "1", "1", change_type="moved", old_path="gone.md"),
    ]
    answer = pinakes.report(*stale)
    assert answer["accepted"] == answer["upload_required"] == []
    shown = [(c["path"], c["local_hash"], c["server_hash"]) for c in answer["conflicts"]]
    h = pinakes.hash
    two = h("2")
    assert shown == [
        ("a.md", h("mine"), two), ("a.md", None, two), ("a.md", h("new"), two), ("gone.md", h("edited"), None),
        ("a.md", h("1"), two),
    ]  # fmt: skip
    again = pinakes.report(*stale)
    assert [c["id"] for c in again["conflicts"]] == [c["id"] for c in answer["conflicts"]]
    assert {c["id"] for c in pinakes.conflicts()} == {c["id"] for c in answer["conflicts"]}
    assert {c["device_id"] for c in pinakes.conflicts()} == {pinakes.device}
    assert pinakes.changes() == before and pinakes.content("a.md") == b"2"


def test_a_report_that_is_malformed_changes_nothing(light_pinakes: Pinakes) -> None:
    """400 for a path that no machine should write, a missing hash, a move without its other path, or no JSON."""
    good = light_pinakes.change("gone.md", None, None)
    bad = [
        light_pinakes.change("../up.md", "x", None),
        light_pinakes.change("a\\b.md", "x", None),
        light_pinakes.change("a.md", "x", None, content_hash=None),
        light_pinakes.change("a.md", "x", None, content_hash="12"),
        light_pinakes.change("a.md", "x", None, change_type="renamed"),
        light_pinakes.change("a.md", "x", "x", change_type="moved"),
        {"path": "a.md"},
    ]
    for each in bad:
        assert light_pinakes.refused("POST", "sync/report", {"changes": [good, each]})[0] == 400
    assert light_pinakes.send("POST", "sync/report", b"[").status == 400
    assert light_pinakes.refused("POST", "sync/report", {"changes": [good] * 1001})[0] == 400
    assert light_pinakes.changes() == [] and light_pinakes.conflicts() == []


def test_an_upload_shows_its_state_and_takes_chunks_in_any_order(pinakes: Pinakes) -> None:
    """Sent twice or backwards; what is missing is listed; complete is 400 until all are there, then repeatable."""
    session = pinakes.begin("video.mp4", LARGE, None)
    assert (session["status"], session["chunk_count"], session["expected_hash"]) == ("pending", 4, pinakes.hash(LARGE))
    path = f"sync/upload/{session['id']}"
    pinakes.send_chunks(session, LARGE, 3, 1, 1)
    assert pinakes.ok("GET", path)["received_chunks"] == [1, 3]
    assert pinakes.ok("GET", path)["status"] == "in_progress"
    assert pinakes.refused("POST", f"{path}/complete") == (400, "2 chunks are missing")
    pinakes.send_chunks(session, LARGE, 2, 0)
    done = pinakes.ok("POST", f"{path}/complete")
    assert done["status"] == "completed" and pinakes.ok("POST", f"{path}/complete") == done
    assert pinakes.content("video.mp4") == LARGE
    assert [c["change_type"] for c in pinakes.changes()] == ["created"]
    # Raven's face has no such file.
    assert (
        pinakes.raven.ok("sources/files", sourceId=pinakes.context.accounts[pinakes.raven.headers["x-workspace-id"]])
        == []
    )


def test_a_wrong_chunk_or_hash_is_refused(light_pinakes: Pinakes) -> None:
    """400 for a wrong size, an unknown index and a wrong content; 404 for an unknown, cancelled or old upload."""
    session = light_pinakes.begin("a.bin", LARGE, None, expected_hash="0" * 64)
    path = f"sync/upload/{session['id']}"
    for index, piece in (("0", b"x"), ("4", b""), ("x", b""), ("-1", b"")):
        assert light_pinakes.send("PUT", f"{path}/chunks/{index}", piece).status == 400
    light_pinakes.send_chunks(session, LARGE)
    assert light_pinakes.refused("POST", f"{path}/complete") == (400, "The chunks do not have the expected_hash")
    assert light_pinakes.send("DELETE", path).status == 204
    old = light_pinakes.begin("b.bin", LARGE, None)
    light_pinakes.raven.wall.now += 25 * 3_600_000
    for each in (path, f"sync/upload/{old['id']}", "sync/upload/none"):
        assert light_pinakes.refused("GET", each)[0] == 404
        assert light_pinakes.refused("POST", f"{each}/complete")[0] == 404
    assert light_pinakes.changes() == []
    too_large = {"target_path": "c", "expected_hash": "0" * 64, "expected_size": 2**43}
    assert light_pinakes.refused("POST", "sync/upload", too_large)[0] == 400
    assert (
        light_pinakes.refused("POST", "sync/upload", {**too_large, "target_path": "../c", "expected_size": 1})[0] == 400
    )


@pytest.mark.parametrize("content", [b"mine", LARGE], ids=["small", "large"])
def test_complete_compares_the_base_again(pinakes: Pinakes, content: bytes) -> None:
    """A head that moved after the report: 400 that names the conflict, which has both sides; repeated, the same."""
    pinakes.put("a.md", "1")
    assert pinakes.report(pinakes.change("a.md", content, "1"))["upload_required"] == ["a.md"]
    session = pinakes.begin("a.md", content, "1")
    pinakes.send_chunks(session, content)
    pinakes.beside("desktop").put("a.md", "2", "1")
    refusals = [pinakes.refused("POST", f"sync/upload/{session['id']}/complete") for _ in range(2)]
    [conflict] = pinakes.conflicts()
    assert refusals == [(400, f"The file has changed since its base_hash: conflict {conflict['id']}")] * 2
    assert (conflict["local_hash"], conflict["server_hash"]) == (pinakes.hash(content), pinakes.hash("2"))
    assert conflict["device_id"] == pinakes.device and pinakes.content("a.md") == b"2"
    # A device that did not get the refusal asks for the session: its content is not published.
    shown = pinakes.ok("GET", f"sync/upload/{session['id']}")
    assert (shown["status"], len(shown["received_chunks"])) == ("in_progress", session["chunk_count"])
    # The refused content is kept: a person may still choose it.
    assert pinakes.ok("POST", f"sync/conflicts/{conflict['id']}/resolve", {"resolution": "client_wins"})
    assert pinakes.content("a.md") == content and pinakes.conflicts() == []


def test_only_a_published_content_is_shown_as_completed() -> None:
    """Every state of a session: open with and without chunks, published, and refused."""
    for received in (None, [], [0]):
        assert status_of({}, received) == "completed"
        assert status_of({"conflict": "id"}, received) == "in_progress"
        assert status_of(None, received) == ("in_progress" if received else "pending")


def test_an_upload_without_base_never_replaces_a_file(light_pinakes: Pinakes) -> None:
    """A missing base means "must not exist", also for a content that was reported before."""
    light_pinakes.put("a.md", "1")
    status, answer = light_pinakes.upload("a.md", "2", None)
    assert (status, light_pinakes.content("a.md")) == (400, b"1")
    assert light_pinakes.conflicts()[0]["id"] in answer["error"]
    assert light_pinakes.upload("a.md", "1", None)[0] == 200


# Changes and ack


def test_the_cursor_is_the_clients_and_ack_is_bookkeeping(light_pinakes: Pinakes) -> None:
    """An acknowledged position is shown with the device and never moves back; reading does not depend on it."""
    for number in range(5):
        light_pinakes.put(f"{number}.md", str(number))
    page = light_pinakes.ok("GET", "sync/changes", cursor=0, limit=2)
    assert (len(page["changes"]), page["cursor"], page["has_more"]) == (2, 2, True)
    assert light_pinakes.ok("POST", "sync/ack", {"cursor": 4}) == {"cursor": 4}
    assert light_pinakes.ok("POST", "sync/ack", {"cursor": 2}) == {"cursor": 4}
    device = light_pinakes.ok("GET", f"sync/devices/{light_pinakes.device}")
    assert device["sync_cursor"] == 4 and device["last_sync_at"] is not None
    assert len(light_pinakes.changes()) == 5 and light_pinakes.ok("GET", "sync/changes", cursor=5)["changes"] == []
    assert light_pinakes.refused("POST", "sync/ack", {"cursor": 6})[0] == 400
    for query in ({"cursor": 6}, {"cursor": "x"}, {"cursor": -1}, {"limit": 0}, {"limit": 1001}):
        assert light_pinakes.refused("GET", "sync/changes", **query)[0] == 400


# Downloads


def test_a_download_answers_ranges_by_its_etag(pinakes: Pinakes) -> None:
    """200 and 206 with the hash as ETag; a range that cannot be met, or of another version, gets the whole content."""
    pinakes.put("dir/a file.bin", LARGE)
    tag = f'"{pinakes.hash(LARGE)}"'
    path = "sync/download/dir/a%20file.bin"
    whole = pinakes.send("GET", path)
    assert (whole.status, whole.headers["etag"], whole.read()) == (200, tag, LARGE)
    for header, part in (("bytes=5-9", LARGE[5:10]), (f"bytes={CHUNK}-", LARGE[CHUNK:]), ("bytes=-3", LARGE[-3:])):
        answer = pinakes.send("GET", path, headers={"range": header, "if-range": tag})
        assert (answer.status, answer.headers["etag"], answer.read()) == (206, tag, part)
    for sent in ({"range": f"bytes={len(LARGE)}-"}, {"range": "bytes=5-9", "if-range": '"old"'}, {"range": "lines=1"}):
        answer = pinakes.send("GET", path, headers=sent)
        assert (answer.status, answer.read()) == (200, LARGE)
    assert pinakes.refused("GET", "sync/download/none")[0] == 404


# Sessions


def test_a_session_is_extended_and_ends_with_its_hub_token(light_pinakes: Pinakes) -> None:
    """Refresh moves the end of the same token; after its end, a logout or a revocation it is 401."""
    hub_token, wall = light_pinakes.bearer, light_pinakes.raven.wall

    def login() -> str:
        made = light_pinakes.ok("POST", "auth/login", {"username": "ada", "password": hub_token})
        light_pinakes.bearer = made["token"]
        return str(made["expires_at"])

    light_pinakes.bearer = ""
    first = login()
    assert light_pinakes.ok("GET", "auth/me")["id"] == light_pinakes.ok("GET", "auth/me")["username"]
    wall.now += 20 * 3_600_000
    assert light_pinakes.ok("POST", "auth/refresh")["expires_at"] > first
    wall.now += 20 * 3_600_000
    assert len(light_pinakes.ok("GET", "sync/devices")) == 1
    wall.now += 5 * 3_600_000
    assert light_pinakes.refused("POST", "auth/refresh")[0] == light_pinakes.refused("GET", "sync/devices")[0] == 401
    login()
    light_pinakes.ok("POST", "auth/logout")
    assert light_pinakes.refused("GET", "auth/me")[0] == 401
    login()
    light_pinakes.revoked.add(token_id(hub_token))
    assert light_pinakes.refused("GET", "auth/me")[0] == 401
    assert light_pinakes.refused("POST", "auth/login", {"username": "ada", "password": hub_token})[0] == 401


def test_a_token_of_the_hub_needs_no_session(light_pinakes: Pinakes) -> None:
    """It is a bearer like a session; its end does not move, and refresh shows it."""
    shown = light_pinakes.ok("POST", "auth/refresh")["expires_at"]
    light_pinakes.raven.wall.now += 1000
    assert light_pinakes.ok("POST", "auth/refresh")["expires_at"] == shown
    light_pinakes.bearer = "pns_unknown"
    assert light_pinakes.refused("GET", "sync/devices")[0] == 401


# Conflicts


def test_a_conflict_is_resolved_by_each_word(light_pinakes: Pinakes) -> None:
    """server_wins and manual change no file; keep_both needs the bytes; a closed conflict is closed."""
    light_pinakes.put("a.md", "1")
    light_pinakes.upload("a.md", "mine", None)
    light_pinakes.upload("a.md", "second", None)
    light_pinakes.report(light_pinakes.change("a.md", "third", None), light_pinakes.change("a.md", None, None))
    by_hash = {c["local_hash"]: f"sync/conflicts/{c['id']}/resolve" for c in light_pinakes.conflicts()}
    before = light_pinakes.changes()
    closed = light_pinakes.ok("POST", by_hash[sha("mine")], {"resolution": "server_wins"})
    assert (closed["resolution"], closed["resolved_at"] is not None) == ("server_wins", True)
    assert light_pinakes.refused("POST", by_hash[sha("mine")], {"resolution": "server_wins"})[0] == 400
    for word in ("client_wins", "keep_both"):
        assert light_pinakes.refused("POST", by_hash[sha("third")], {"resolution": word})[0] == 400
    light_pinakes.ok("POST", by_hash[sha("third")], {"resolution": "manual"})
    assert light_pinakes.changes() == before
    light_pinakes.ok("POST", by_hash[sha("second")], {"resolution": "keep_both"})
    [beside] = [c["path"] for c in light_pinakes.changes()[len(before) :]]
    assert beside.startswith("a (conflict ") and light_pinakes.content(beside) == b"second"
    light_pinakes.ok("POST", by_hash[None], {"resolution": "client_wins"})
    assert light_pinakes.content("a.md") is None and light_pinakes.conflicts() == []
    assert light_pinakes.refused("POST", "sync/conflicts/none/resolve", {"resolution": "manual"})[0] == 400


def test_conflicts_of_every_api_are_listed_here(pinakes: Pinakes) -> None:
    """Raven's with its connector, ScaiDrive's with its device; and ScaiDrive lists and closes those of Pinakes."""
    raven = pinakes.raven
    raven.source()
    [source] = raven.ok("sources/list")
    connector = raven.connector()
    raven.push(source["id"], upsert("a.md", "1"))
    raven.push(source["id"], upsert("a.md", "of raven"), connectorId=connector)
    drive = Drive(raven).set_up()
    drive.share = source["id"]
    [file] = [item["id"] for item in drive.ok("GET", "folders/root/children", share_id=drive.share)["items"]]
    drive.apply(updated(file, None, None, metadata={"checksum_sha256": sha("of drive"), "size": 8}))
    pinakes.report(pinakes.change("a.md", "of pinakes", None))
    shown = {c["device_id"]: c for c in pinakes.conflicts()}
    assert shown.keys() == {connector, "dev", pinakes.device}
    assert shown[connector]["local_hash"] == pinakes.hash("of raven")
    # Bytes that never arrived have a hash here only if the two APIs use the same algorithm.
    known = pinakes.hash("of drive") if pinakes.algorithm == "sha256" else None
    assert shown["dev"]["local_hash"] == known
    assert shown[pinakes.device]["local_hash"] == pinakes.hash("of pinakes")
    assert {c["server_hash"] for c in shown.values()} == {pinakes.hash("1")}
    theirs = {c["device_id"]: c for c in drive.ok("GET", "sync/conflicts", share_id=drive.share)}
    assert theirs[pinakes.device]["path"] == "/a.md" and theirs.keys() == shown.keys()
    # Raven's API has a conflict of another one with the texts that are here, as its hash is known by sha256 only.
    others = {"of drive"} | ({"of pinakes"} if pinakes.algorithm == "sha256" else set())
    listed = raven.conflicts(source["id"])
    assert {c["localHash"]: c["localContent"] for c in listed} == {
        sha("of raven"): "of raven", **dict.fromkeys(map(sha, others)),
    }  # fmt: skip
    assert {c["remoteContent"] for c in listed} == {"1"}
    opened = [e["payload"]["localHash"] for e in raven.events(source["id"]) if e["type"] == "conflict.opened"]
    assert set(opened) == {c["localHash"] for c in listed}
    drive.ok("POST", f"sync/conflicts/{shown[pinakes.device]['id']}/resolve", resolution="SERVER_WINS")
    assert {c["device_id"] for c in pinakes.conflicts()} == {connector, "dev"}
    assert (
        pinakes.refused("POST", f"sync/conflicts/{shown[connector]['id']}/resolve", {"resolution": "manual"})[0] == 400
    )


def test_changes_of_the_other_apis_come_without_a_device(pinakes: Pinakes) -> None:
    """Raven's pushes and ScaiDrive's moves; a resolution of Raven that changes no text is no change."""
    raven = pinakes.raven
    raven.source()
    [source] = raven.ok("sources/list")
    raven.push(source["id"], upsert("a.md", "1"))
    conflict = raven.outcome(source["id"], upsert("a.md", "2"))["conflictId"]
    raven.ok("sources/conflicts/resolve", sourceId=source["id"], conflictId=conflict, resolution="keep_raven")
    raven.push(source["id"], upsert("b.md", "3"), delete("a.md", sha("1")))
    found = [(c["change_type"], c["path"], c["content_hash"], c["changed_by_device"]) for c in pinakes.changes()]
    h = pinakes.hash
    assert found == [
        ("created", "a.md", h("1"), None), ("created", "b.md", h("3"), None), ("deleted", "a.md", None, None)
    ]  # fmt: skip
    pinakes.put("b.md", "4", "3")
    assert raven.text(source["id"], "b.md") == "4" and raven.past(source["id"], "b.md") == ["3", "4"]


# Over HTTP


def test_the_api_over_http_signs_in_and_serves_three_apis(process: Running) -> None:
    """Login needs no token, and its session is a bearer; a path is decoded once; a wrong token ends before the body."""
    hub_token = token(secret=(process.data / "secret").read_bytes())
    with httpx.Client(base_url=process.url) as http:
        for path in ("/api/sync/devices", "/pinakes/api/v1/sync/devices", "/pinakes/api/sync/devices"):
            for sent in ({}, {"authorization": "Bearer pns_no"}, {"authorization": "Bearer no"}):
                answer = http.get(path, headers=sent)
                assert (answer.status_code, answer.json()) == (401, {"error": "Unauthorized"})
        assert http.get("/api/v1/sync/devices").json()["detail"] == "Unauthorized"
        assert http.post("/pinakes/api/v1/auth/login", json={"username": "a", "password": "b"}).status_code == 401
        made = http.post("/pinakes/api/v1/auth/login", json={"username": "a", "password": hub_token}).json()
        http.headers["authorization"] = f"Bearer {made['token']}"
        device = {"name": "l", "device_type": "desktop", "client_version": "1"}
        registered = http.post("/api/sync/devices", json=device).json()
        http.headers["x-device-token"] = registered["device_token"]
        data = b"a b\n"
        path = "dir/50% ä#?.md"
        body = {"target_path": path, "expected_hash": hashlib.sha256(data).hexdigest(), "expected_size": len(data)}
        session = http.post("/pinakes/api/sync/upload", json=body).json()
        assert http.put(f"/api/sync/upload/{session['id']}/chunks/0", content=data).status_code == 200
        assert http.post(f"/api/sync/upload/{session['id']}/complete").json()["status"] == "completed"
        assert http.get(f"/pinakes/api/v1/sync/download/{quote(path)}").content == data
        [change] = http.get("/api/sync/changes").json()["changes"]
        assert (change["path"], change["changed_by_device"]) == (path, registered["device"]["id"])
        assert http.get("/pinakes/api/v1/openapi.json").json()["info"]["title"] == "Pinakes sync (embedded hub)"
        assert http.post("/pinakes/api/v1/auth/logout").status_code == 200
        assert http.get("/api/sync/changes").status_code == 401
    client = process.client()
    [source] = client.ok("sources/list")
    assert client.text(source["id"], path) == "a b\n"


def test_the_bodies_are_named_in_one_file() -> None:
    """No field of a body of Pinakes' is written anywhere else in its API's room."""
    room = Path(wire.__file__).parent
    records = [each for each in vars(wire).values() if isinstance(each, type) and issubclass(each, msgspec.Struct)]
    fields = {name for record in records if record is not msgspec.Struct for name in record.__struct_fields__}
    # Words of this program as well, and of every API.
    plain = {"id", "path", "name", "error", "status", "device", "hash", "size", "cursor", "token"}
    assert len(fields - plain) > 30
    for path in room.glob("*.py"):
        if path.name != "wire.py":
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    assert node.value not in fields - plain, (path.name, node.lineno)
