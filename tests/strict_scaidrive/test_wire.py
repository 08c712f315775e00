"""Bodies and refusals of ScaiDrive as tables: what is read, what is refused as garbled, what each status means."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from agent.core.errors import ProblemKind, RemoteError
from agent.remotes.http.failures import of_status
from agent.remotes.scaidrive import wire, wire_uploads
from agent.remotes.scaidrive.position import ChangePosition, Walked
from agent.remotes.scaidrive.profile import MEANINGS, scaidrive_profile, unwrap

HASH = "ab" * 32
PROFILE = scaidrive_profile("")
SERVER = "drive (https://drive.example)"

K = ProblemKind
STATUSES = [
    (400, "sync/changes", K.CURSOR_LOST),
    (400, "sync/apply", K.BAD_REQUEST),
    (400, "sync/cursor", K.BAD_REQUEST),
    (401, "sync/changes", K.SIGNED_OUT),
    (403, "files", K.FORBIDDEN),
    (403, "sync/apply", K.FORBIDDEN),
    (404, "sync/changes", K.NOT_FOUND),
    (404, "sync/devices/{}/heartbeat", K.NOT_FOUND),
    (404, "files/{}", K.NOT_FOUND),
    (404, "uploads/{}", K.GONE),
    (404, "sync/conflicts/{}/resolve", K.STALE),
    (409, "files", K.STALE),
    (409, "folders", K.STALE),
    (409, "sync/apply", K.STALE),
    (409, "shares", K.STALE),
    (410, "files/{}", K.GONE),
    (410, "uploads/{}/chunks/{}", K.GONE),
    (410, "folders/{}/children", K.GONE),
    (413, "uploads", K.TOO_LARGE),
    (422, "sync/apply", K.BAD_REQUEST),
    (429, "sync/changes", K.BUSY),
    (500, "sync/apply", K.SERVER_FAULT),
    (502, "sync/apply", K.OFFLINE),
    (503, "sync/apply", K.BUSY),
    (504, "sync/apply", K.OFFLINE),
    (507, "files", K.NO_SPACE),
]


@pytest.mark.parametrize(("status", "endpoint", "kind"), STATUSES)
@pytest.mark.parametrize("body", [b"", b"<html>", b'{"detail":"words"}', b'{"error":{"code":"X","message":"words"}}'])
def test_a_status_means_the_same_whatever_its_body(status: int, endpoint: str, kind: K, body: bytes) -> None:
    """Errors carry no machine code: endpoint and status decide, and words only explain."""
    failure = of_status(status, httpx.Headers(), body, "token", 0.0, SERVER, endpoint, PROFILE)
    assert failure.problem.kind is kind
    assert failure.reason == ("words" if b"words" in body else None)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"detail":"text"}', "text"),
        (b'{"detail":[{"loc":["body"],"msg":"one","type":"t"},{"loc":[],"msg":"two","type":"t"}]}', "one; two"),
        (b'{"error":{"code":"NOT_FOUND","message":"text"}}', "text"),
        (b'{"error":{"code":"NOT_FOUND"}}', None),
        (b'{"status":"error","error":{"code":"RATE_LIMITED","message":"slow"},"meta":{}}', "slow"),
        (b'{"detail":"text","error":{"code":"X","message":"other"}}', "text"),
        (b'{"data":{"detail":"text"},"status":"error"}', "text"),
        (b'{"detail":null}', None),
        (b"[]", None),
    ],
)
def test_every_shape_of_an_error_is_read(body: bytes, words: str | None) -> None:
    """The four documented shapes, the hub's, and broken ones."""
    assert of_status(422, httpx.Headers(), body, "token", 0.0, SERVER, "files", PROFILE).reason == words


def test_each_special_meaning_is_for_one_endpoint() -> None:
    """A sentence that fills in the server, and a kind that is not the general one or another sentence."""
    for (status, endpoint), refusal in MEANINGS.items():
        failure = of_status(status, httpx.Headers(), b"", "t", 0.0, SERVER, endpoint, PROFILE)
        assert failure.problem.kind is refusal.kind
        assert "{server}" not in failure.problem.message


@pytest.mark.parametrize(
    ("value", "data"),
    [
        ({"data": {"a": 1}}, {"a": 1}),
        ({"data": [1], "status": "success", "meta": {}}, [1]),
        ({"data": 1, "success": True, "error": None}, 1),
        ({"data": 1, "cursor": 5}, {"data": 1, "cursor": 5}),
        ({"status": "success"}, {"status": "success"}),
        ([{"data": 1}], [{"data": 1}]),
    ],
)
def test_only_an_envelope_is_taken_off(value: Any, data: Any) -> None:
    """An object with other keys is an answer that has a field of this name."""
    assert unwrap(value) == data


CHANGE = {
    "id": "chg_1", "resource_type": "file", "resource_id": "fil_1", "change_type": "updated", "old_path": "/d/a.md",
    "new_path": "/d/a.md", "version_id": "ver_1",
    "metadata": {"checksum_sha256": HASH.upper(), "size": 3, "version": 2},
}  # fmt: skip


def change(**other: Any) -> wire.ChangeRow:
    """One decoded change."""
    page = wire.changes_of({"changes": [{**CHANGE, **other}], "cursor": 5, "has_more": False})
    return page.changes[0]


def test_a_change_is_read_without_its_leading_slashes() -> None:
    """And its checksum in lower case, as contents are compared by it."""
    assert change() == wire.ChangeRow("chg_1", "file", "fil_1", "updated", "d/a.md", "d/a.md", "ver_1", HASH, 3, 2)


@pytest.mark.parametrize("metadata", [None, {}, [], "x", {"checksum_sha256": "short", "size": -1, "version": "2"}])
def test_metadata_is_optional_and_never_trusted(metadata: Any) -> None:
    """Whatever is there instead, the file is asked for."""
    found = change(metadata=metadata)
    assert (found.hash, found.size, found.number) == (None, None, None)


@pytest.mark.parametrize(
    ("other", "is_delete"),
    [
        ({}, False),
        ({"change_type": "deleted", "new_path": None}, True),
        ({"change_type": "deleted"}, True),
        ({"change_type": "moved", "new_path": None}, True),
    ],
)
def test_a_change_without_a_new_path_is_a_delete(other: dict[str, Any], is_delete: bool) -> None:
    """Also one that names the old path again."""
    assert change(**other).is_delete is is_delete


@pytest.mark.parametrize(
    "value",
    [
        None, [], {}, {"changes": []}, {"changes": {}, "cursor": 1}, {"changes": [1], "cursor": 1},
        {"changes": [], "cursor": None}, {"changes": [], "cursor": True}, {"changes": [], "cursor": ""},
        {"changes": [{**CHANGE, "resource_id": 5}], "cursor": 1}, {"changes": [{**CHANGE, "new_path": 5}], "cursor": 1},
    ],
)  # fmt: skip
def test_a_page_of_another_shape_is_garbled(value: Any) -> None:
    """Nothing is guessed from it."""
    with pytest.raises(RemoteError) as error:
        wire.changes_of(value)
    assert error.value.problem.kind is K.GARBLED


@pytest.mark.parametrize(
    ("cursor", "head", "beyond"),
    [("5", "4", True), ("4", "4", False), ("3", "4", False), ("10", "9", True), ("x5", "4", False), ("5", "x", False)],
)
def test_cursors_are_compared_only_as_numbers(cursor: str, head: str, beyond: bool) -> None:
    """They are opaque, and a number today."""
    assert wire.is_beyond(cursor, head) is beyond


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"applied": [{"resource_id": "f", "version_id": "v"}], "conflicts": []}, ({"f": "v"}, 1, 0)),
        ({"applied": [{"resource_id": "f"}]}, ({"f": None}, 1, 0)),
        ({"applied": 2, "conflicts": 1}, (None, 2, 1)),
        ({"applied": 2, "conflicts": []}, (None, 2, 0)),
    ],
)
def test_an_answer_of_apply_is_a_list_or_a_count(value: Any, expected: Any) -> None:
    """Both forms are read; a missing list of conflicts is an empty one."""
    answer = wire.apply_answer_of(value)
    assert (answer.applied, answer.applied_count, answer.conflict_count) == expected


@pytest.mark.parametrize("value", [{}, {"applied": "2"}, {"applied": [5]}, {"applied": 1, "conflicts": "1"}, []])
def test_another_answer_of_apply_is_garbled(value: Any) -> None:
    """It proves nothing, so the outcome is uncertain."""
    with pytest.raises(RemoteError):
        wire.apply_answer_of(value)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b"])
def test_an_entry_with_a_name_that_is_a_path_is_garbled(name: str) -> None:
    """It could lead out of the folder that is listed."""
    with pytest.raises(RemoteError):
        wire.children_of({"items": [{"id": "f", "name": name, "type": "file"}]})


def test_entries_of_unknown_types_are_left_out() -> None:
    """And do not count as missing."""
    rows = [{"id": "f", "name": "a", "type": "file", "size": 1}, {"id": "s", "name": "b", "type": "shortcut"}]
    assert wire.children_of({"items": rows, "total": 2}) == ([wire.ChildRow("f", "a", False, 1, None)], 1)


def test_versions_are_the_newest_first_in_any_order() -> None:
    """The server's order is not relied on."""
    rows = [
        {"id": f"v{n}", "version_number": n, "size": 1, "checksum_sha256": HASH, "created_by": "u"} for n in (2, 3, 1)
    ]
    assert [version.rev for version in wire.versions_of({"versions": rows, "total": 3})] == ["v3", "v2", "v1"]


@pytest.mark.parametrize(
    ("status", "complete"), [("active", False), ("completed", True), ("complete", True), (None, False)]
)
def test_a_session_is_complete_by_its_own_word(status: str | None, complete: bool) -> None:
    """Nothing is concluded from the chunks alone."""
    found = wire_uploads.upload_status_of({"status": status, "received_chunks": [0, 2], "total_chunks": 3})
    assert (found.complete, found.received) == (complete, frozenset({0, 2}))


def test_a_form_holds_its_fields_and_the_bytes_unchanged() -> None:
    """A name with a quote or a line end does not end its field."""
    body = wire_uploads.form_body({"share_id": "s"}, 'a"\r\nb.md', b"\r\n--x\x00\xff", "mark")
    head, content = body.split(b"application/octet-stream\r\n\r\n")
    assert content == b"\r\n--x\x00\xff\r\n--mark--\r\n"
    assert b'filename="a%22%0D%0Ab.md"' in head
    assert b'name="share_id"\r\n\r\ns\r\n' in head


def test_an_optional_field_of_an_upload_is_left_out() -> None:
    """Null and missing may mean different things to a server."""
    assert wire_uploads.upload_body("s", None, "n", 3, HASH, None, None) == {
        "share_id": "s", "file_name": "n", "file_size": 3, "checksum_sha256": HASH,
    }  # fmt: skip
    assert wire_uploads.upload_body("s", "d", "n", 3, HASH, "f", 8)["replace_file_id"] == "f"


def test_a_position_is_read_as_it_was_written() -> None:
    """And nothing else is: a reader that cannot read its state begins anew."""
    position = ChangePosition("x7", 3, [Walked("fld", "d", "fil"), Walked(None, "")], 2, "chg", "x1", "chg0", True)
    assert ChangePosition.from_json(position.to_json()) == position
    for state in (None, "", "null", "[]", '{"cursor":5,"count":0,"walk":[]}', '{"cursor":"5"}', "\ud800"):
        assert ChangePosition.from_json(state) is None
