"""Outcomes of pushed items, on SQLite and on PostgreSQL."""

from __future__ import annotations

import orjson
import pytest

from hub.fixtures import SENTINEL, UNKNOWN, InProcess, delete, sha, upsert


@pytest.mark.parametrize("base", [SENTINEL, None, ""])
def test_a_push_that_expects_no_file_creates_one(hub: InProcess, base: str | None) -> None:
    """The sentinel, null and the empty string all say that the file must not exist."""
    source = hub.source()
    item = upsert("a.md", "one", base)
    answer = hub.push(source, item)
    assert (answer["applied"], answer["conflicts"], answer["eventCursor"]) == (1, 0, 1)
    assert answer["items"] == [{"operationId": item["operationId"], "status": "applied", "hash": sha("one")}]
    assert hub.text(source, "a.md") == "one"


@pytest.mark.parametrize("base", [SENTINEL, None, ""])
def test_a_push_that_expects_no_file_never_overwrites_one(hub: InProcess, base: str | None) -> None:
    """An existing file with other text stays, and the pushed text stands in a conflict."""
    source = hub.source()
    hub.push(source, upsert("a.md", "theirs"))
    result = hub.outcome(source, upsert("a.md", "mine", base))
    assert (result["status"], result["reason"]) == ("conflict", "no_base")
    assert hub.text(source, "a.md") == "theirs"
    (conflict,) = hub.conflicts(source)
    assert conflict["id"] == result["conflictId"]
    assert (conflict["localContent"], conflict["remoteContent"]) == ("mine", "theirs")
    assert conflict["baseHash"] == (base or None)
    assert hub.events(source)[-1]["payload"]["reason"] == "no_base"


@pytest.mark.parametrize("base", [SENTINEL, None, "f" * 64])
def test_equal_text_is_applied_as_a_no_op_whatever_the_base(hub: InProcess, base: str | None) -> None:
    """It counts as applied, adds no event and no version, and opens no conflict."""
    source = hub.source()
    hub.push(source, upsert("a.md", "one"))
    answer = hub.push(source, upsert("a.md", "one", base))
    assert (answer["applied"], answer["conflicts"], answer["eventCursor"]) == (1, 0, 1)
    assert hub.past(source, "a.md") == ["one"]
    assert hub.conflicts(source) == []


@pytest.mark.parametrize("count", [1, 19, 20, 21, 40, 53, 100])
def test_a_batch_of_any_length_is_applied_whole_and_in_its_order(hub: InProcess, count: int) -> None:
    """Rows are written in groups: none is left out at the end of one, and none comes twice."""
    source = hub.source()
    items = [upsert(f"n/{number * 37 % count:03}-{number}.md", f"text {number}") for number in range(count)]
    answer = hub.push(source, *items)
    assert (answer["applied"], answer["eventCursor"]) == (count, count)
    assert [event["relativePath"] for event in hub.events(source)] == [item["relativePath"] for item in items]
    assert {item["relativePath"]: hub.text(source, item["relativePath"]) for item in items} == {
        item["relativePath"]: item["content"] for item in items
    }
    again = hub.push(source, *items)
    assert {item["status"] for item in again["items"]} == {"duplicate"}


def test_a_stale_base_is_a_conflict_and_keeps_the_head(hub: InProcess) -> None:
    """Both texts are kept, the file's state says so, and the event has no reason, as on the real server."""
    source = hub.source()
    hub.push(source, upsert("a.md", "one"), upsert("a.md", "two", sha("one")))
    result = hub.outcome(source, upsert("a.md", "mine", sha("one")))
    assert (result["status"], result["reason"]) == ("conflict", "stale_base")
    opened = hub.events(source)[-1]
    assert opened["type"] == "conflict.opened"
    assert opened["payload"] == {
        "conflictId": result["conflictId"],
        "localHash": sha("mine"),
        "remoteHash": sha("two"),
    }
    assert hub.ok("sources/file", sourceId=source, relativePath="a.md")["state"] == "conflict"


def test_a_real_base_on_an_absent_path_is_edit_against_delete(hub: InProcess) -> None:
    """A deleted file does not come back by an edit that did not know of the delete."""
    source = hub.source()
    hub.push(source, upsert("a.md", "one"), delete("a.md", sha("one")))
    result = hub.outcome(source, upsert("a.md", "mine", sha("one")))
    assert (result["status"], result["reason"]) == ("conflict", "edit_delete")
    assert hub.text(source, "a.md") is None
    (conflict,) = hub.conflicts(source)
    assert (conflict["localContent"], conflict["remoteHash"], conflict["remoteContent"]) == ("mine", None, None)


def test_a_real_base_on_an_unknown_path_is_edit_against_delete(hub: InProcess) -> None:
    """The path gets a conflict without ever having had a text."""
    source = hub.source()
    assert hub.outcome(source, upsert("ghost.md", "mine", "1" * 64))["reason"] == "edit_delete"
    assert hub.ok("sources/files", sourceId=source) == []
    assert hub.refused("sources/history", sourceId=source, relativePath="ghost.md")[0] == 404


@pytest.mark.parametrize("base", ["one", None])
def test_a_stale_delete_is_a_conflict(hub: InProcess, base: str | None) -> None:
    """A delete that does not name the head deletes nothing."""
    source = hub.source()
    hub.push(source, upsert("a.md", "one"), upsert("a.md", "two", sha("one")))
    result = hub.outcome(source, delete("a.md", None if base is None else sha(base)))
    assert (result["status"], result["reason"]) == ("conflict", "delete_mismatch")
    assert hub.text(source, "a.md") == "two"
    assert hub.events(source)[-1]["payload"]["reason"] == "delete_mismatch"


def test_deleting_an_absent_file_applies_with_an_event(hub: InProcess) -> None:
    """As on the real server."""
    source = hub.source()
    answer = hub.push(source, delete("never.md", sha("x"), operationId="gone"))
    assert (answer["applied"], answer["eventCursor"]) == (1, 1)
    (event,) = hub.events(source)
    assert (event["type"], event["relativePath"], event["payload"]) == (
        "file.delete",
        "never.md",
        {"operationId": "gone"},
    )


def test_history_and_open_conflicts_survive_a_delete(hub: InProcess) -> None:
    """A fresh delete takes the head and nothing else; a file made again goes on with the same past."""
    source = hub.source()
    hub.push(source, upsert("a.md", "one"))
    hub.push(source, upsert("a.md", "mine"))
    assert hub.outcome(source, delete("a.md", sha("one")))["status"] == "applied"
    assert hub.past(source, "a.md") == ["one"]
    assert [c["localContent"] for c in hub.conflicts(source)] == ["mine"]
    hub.push(source, upsert("a.md", "again"))
    assert hub.past(source, "a.md") == ["one", "again"]


def test_a_fresh_base_push_applies_while_a_conflict_is_open(hub: InProcess) -> None:
    """The state is ok again, the conflict stays."""
    source = hub.source()
    hub.push(source, upsert("a.md", "one"))
    hub.push(source, upsert("a.md", "mine"))
    assert hub.outcome(source, upsert("a.md", "two", sha("one")))["status"] == "applied"
    assert hub.ok("sources/file", sourceId=source, relativePath="a.md")["state"] == "ok"
    assert len(hub.conflicts(source)) == 1


def test_one_open_conflict_per_path_and_connector_is_renewed(hub: InProcess) -> None:
    """The same conflict id, the newer text, a new event; another connector's conflict is its own."""
    source, mine, other = hub.source(), hub.connector(), hub.connector()
    hub.push(source, upsert("a.md", "head"))
    first = hub.outcome(source, upsert("a.md", "mine 1"), connectorId=mine)
    second = hub.outcome(source, upsert("a.md", "mine 2"), connectorId=mine)
    third = hub.outcome(source, upsert("a.md", "other"), connectorId=other)
    assert first["conflictId"] == second["conflictId"] != third["conflictId"]
    assert {c["id"]: c["localContent"] for c in hub.conflicts(source)} == {
        second["conflictId"]: "mine 2",
        third["conflictId"]: "other",
    }
    opened = [e["payload"]["localHash"] for e in hub.events(source) if e["type"] == "conflict.opened"]
    assert opened == [sha("mine 1"), sha("mine 2"), sha("other")]


def test_a_connector_renews_its_conflict_within_one_batch(hub: InProcess) -> None:
    """Two refused versions of one path in one batch are one conflict, with the later text."""
    source, mine = hub.source(), hub.connector()
    hub.push(source, upsert("a.md", "head"))
    results = hub.push(source, upsert("a.md", "m1"), upsert("a.md", "m2"), connectorId=mine)["items"]
    assert results[0]["conflictId"] == results[1]["conflictId"]
    assert [c["localContent"] for c in hub.conflicts(source)] == ["m2"]


def test_without_a_connector_each_refusal_is_its_own_conflict(hub: InProcess) -> None:
    """As on the real server."""
    source = hub.source()
    hub.push(source, upsert("a.md", "head"))
    hub.push(source, upsert("a.md", "m1"), upsert("a.md", "m2"))
    hub.wall.now += 5
    hub.push(source, upsert("a.md", "m3"))
    newest, *older = [c["localContent"] for c in hub.conflicts(source)]
    assert newest == "m3"
    assert sorted(older) == ["m1", "m2"]


def test_a_repeated_operation_answers_its_first_outcome(hub: InProcess) -> None:
    """Applied, conflicting and rejected ones alike; a repeat counts as nothing and changes nothing."""
    source = hub.source()
    items = [upsert("a.md", "one"), upsert("a.md", "mine"), upsert("../b.md", "bad")]
    first = hub.push(source, *items)
    again = hub.push(source, *[item | {"content": "other", "contentHash": sha("other")} for item in items])
    assert (again["applied"], again["conflicts"], again["eventCursor"]) == (0, 0, first["eventCursor"])
    for before, after in zip(first["items"], again["items"], strict=True):
        assert after == before | {"status": "duplicate", "first": before["status"]}
    assert hub.text(source, "a.md") == "one"


def test_an_operation_repeated_within_its_batch_is_applied_once(hub: InProcess) -> None:
    """And operation ids are those of one source only."""
    one, two = hub.source(), hub.source()
    item = upsert("a.md", "one")
    results = hub.push(one, item, item | {"content": "two", "contentHash": sha("two")})["items"]
    assert [r["status"] for r in results] == ["applied", "duplicate"]
    assert hub.outcome(two, item)["status"] == "applied"


def test_items_of_one_batch_build_on_each_other(hub: InProcess) -> None:
    """Create, edit, delete and create again in one batch."""
    source = hub.source()
    answer = hub.push(
        source,
        upsert("a.md", "1"),
        upsert("a.md", "2", sha("1")),
        delete("a.md", sha("2")),
        upsert("a.md", "3"),
    )
    assert answer["applied"] == 4
    assert hub.past(source, "a.md") == ["1", "2", "3"]
    assert [e["type"] for e in hub.events(source)] == ["file.upsert", "file.upsert", "file.delete", "file.upsert"]


POISON = {
    "a content hash that is not the content's": upsert("x.md", "x", contentHash=sha("y")),
    "NUL in the content": upsert("x.md", "a\0b"),
    "NUL in the path": upsert("x\0.md", "x"),
    "a path above the root": upsert("../x.md", "x"),
    "an absolute path": upsert("/etc/x.md", "x"),
    "a drive letter": upsert("C:\\x.md", "x"),
    "an empty path": upsert("", "x"),
    "a dot": upsert(".", "x"),
    "a trailing slash": upsert("dir/", "x"),
    "a doubled slash": upsert("a//x.md", "x"),
    "a path too long to index": upsert("/".join(["p" * 200] * 20), "x"),
    "an operation id too long to keep": upsert("x.md", "x", operationId="o" * 256),
    "a base too long to keep": upsert("x.md", "x", "f" * 65),
    "a content type too long to keep": upsert("x.md", "x", contentType="t" * 129),
    "a delete of an unsafe path": delete("../x.md", None),
}


@pytest.mark.parametrize("name", POISON)
def test_one_bad_item_of_a_hundred_is_one_rejected_item(hub: InProcess, name: str) -> None:
    """The other 99 commit together, and the refusal says why."""
    source = hub.source()
    items = [upsert(f"n/{i}.md", f"text {i}") for i in range(99)]
    items.insert(42, POISON[name])
    answer = hub.push(source, *items)
    assert (answer["applied"], answer["conflicts"]) == (99, 0)
    assert [r["status"] for r in answer["items"]].count("rejected") == 1
    assert answer["items"][42]["status"] == "rejected"
    assert answer["items"][42]["reason"]
    assert len(hub.ok("sources/files", sourceId=source)) == 99


def test_a_lone_surrogate_is_one_rejected_item(hub: InProcess) -> None:
    """Written as an escape it is valid JSON but no text; the answer itself stays valid."""
    source = hub.source()
    for number, place in enumerate((b'"content":"B"', b'"relativePath":"b.md"', b'"operationId":"OP2"')):
        items = [upsert("a.md", "A"), upsert("b.md", "B", operationId=f"OP{number}")]
        raw = orjson.dumps({"sourceId": source, "items": items})
        assert place in raw
        body = raw.replace(place, place[:-1] + b'\\ud800"')
        status, _, answer = hub.send("POST", "/api/local-sync/sources/push-batch", hub.headers, body)
        assert status == 200, answer
        assert [r["status"] for r in orjson.loads(answer)["data"]["items"]][1] == "rejected"


def test_a_batch_with_a_wrong_shape_is_refused_whole(hub: InProcess) -> None:
    """As on the real server: a missing field is the client's error, not a bad file."""
    source = hub.source()
    item = upsert("a.md", "one")
    del item["content"]
    assert hub.refused("sources/push-batch", sourceId=source, items=[upsert("b.md", "b"), item]) == (
        400,
        ["items.1.content must be a string"],
    )
    assert hub.events(source) == []


def test_an_upper_case_hash_is_accepted_and_stored_lower_case(hub: InProcess) -> None:
    """The identity of a text has one spelling."""
    source = hub.source()
    item = upsert("a.md", "one", contentHash=sha("one").upper())
    assert hub.outcome(source, item)["hash"] == sha("one")


def test_an_empty_batch_answers_the_last_cursor_unless_paused(hub: InProcess) -> None:
    """It is how a client sees that a server was restored from a backup."""
    source = hub.source()
    assert hub.push(source)["eventCursor"] == 0
    hub.push(source, upsert("a.md", "one"))
    assert hub.push(source) == {"sourceId": source, "applied": 0, "conflicts": 0, "eventCursor": 1, "items": []}
    hub.ok("sources/pause", sourceId=source)
    assert hub.refused("sources/push-batch", sourceId=source, items=[]) == (400, "Source is paused")


def test_an_unknown_connector_id_only_groups_conflicts(hub: InProcess) -> None:
    """The real server strips the field; a push does not fail for it here either."""
    source = hub.source()
    assert hub.outcome(source, upsert("a.md", "one"), connectorId=UNKNOWN)["status"] == "applied"


def test_equal_texts_are_stored_once(light: InProcess) -> None:
    """Ten files of one text, and a text that comes back, add one content each."""
    source = light.source()
    light.push(source, *[upsert(f"{i}.md", "same" * 100) for i in range(10)])
    light.push(source, upsert("0.md", "new", sha("same" * 100)))
    light.push(source, upsert("0.md", "same" * 100, sha("new")))
    with light.store.read() as session:
        assert session.transaction.rows("SELECT count(*) FROM contents") == [(2,)]


def test_every_text_comes_back_byte_for_byte(hub: InProcess) -> None:
    """Byte order marks, CRLF, the empty text, astral characters, large and incompressible texts."""
    source = hub.source()
    texts = ["", "\ufeff# x\r\ny\r\n", "\U0001f426 é e\u0301", "z" * 300_000, "".join(map(chr, range(1, 5000)))]
    hub.push(source, *[upsert(f"{i}.md", text) for i, text in enumerate(texts)])
    assert [hub.text(source, f"{i}.md") for i in range(len(texts))] == texts
