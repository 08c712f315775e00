"""The feed, the listings and what a workspace can see, on SQLite and on PostgreSQL."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from agent.core.model import Mode
from agent.core.state_digest import state_digest
from agent.hub.answers import event_id
from agent.hub.domain.ids import new_uuid
from agent.hub.domain.model import Event, EventType, Source, SourceStatus
from agent.hub.raven import files
from agent.hub.raven.endpoints import HANDLERS
from hub.fixtures import SENTINEL, STRANGER, UNKNOWN, InProcess, Running, delete, headers, sha, token, upsert


def test_pages_follow_each_other_without_gap_or_overlap(hub: InProcess) -> None:
    """100 events by default, `limit` otherwise; the last page echoes its cursor."""
    source = hub.source()
    hub.push(source, *[upsert(f"{i}.md", str(i)) for i in range(100)])
    hub.push(source, *[upsert(f"b{i}.md", str(i)) for i in range(30)])
    first = hub.ok("sources/deltas", sourceId=source)
    assert (len(first["events"]), first["cursor"], first["nextCursor"]) == (100, 0, 100)
    second = hub.ok("sources/deltas", sourceId=source, cursor=100, limit=500)
    assert [e["cursor"] for e in second["events"]] == list(range(101, 131))
    beyond = hub.ok("sources/deltas", sourceId=source, cursor=1_000_000)
    assert (beyond["nextCursor"], beyond["events"]) == (1_000_000, [])
    assert len({e["id"] for e in first["events"] + second["events"]}) == 130


def test_an_event_id_differs_after_a_restore() -> None:
    """The same however often it is read, another for another moment, also in the end that readers keep."""
    source = Source(1, new_uuid(), "w", "u", "notes", Mode.BIDIRECTIONAL, "c", SourceStatus.ACTIVE, (), (), 0, 0, 0, 0)
    first, again, other = (Event(7, EventType.UPSERT, 1, "a.md", None, None, {}, at) for at in (1000, 1000, 2000))
    assert event_id(source, first) == event_id(source, again)
    assert event_id(source, first)[-8:] != event_id(source, other)[-8:]
    assert uuid.UUID(event_id(source, other)).version == 8


def test_a_page_ends_before_its_texts_exceed_four_mebibytes(hub: InProcess) -> None:
    """Answers stay bounded, and every event comes."""
    source = hub.source()
    for i in range(7):
        hub.push(source, upsert(f"{i}.md", f"{i}" * 1_000_000))
    page = hub.ok("sources/deltas", sourceId=source, limit=500)
    assert (len(page["events"]), page["nextCursor"]) == (4, 4)
    assert [e["cursor"] for e in hub.events(source)] == list(range(1, 8))


def test_latest_only_leaves_out_texts_superseded_within_the_page(hub: InProcess) -> None:
    """Every event still comes with its hash; the last text of each file, and only that, comes whole."""
    source = hub.source()
    hub.push(source, upsert("a.md", "1"), upsert("b.md", "b"), upsert("a.md", "2", sha("1")))
    hub.push(source, upsert("a.md", "3", sha("2")), upsert("c.md", "c"), delete("c.md", sha("c")))
    events = hub.ok("sources/deltas", sourceId=source, latestOnly=True)["events"]
    assert [e["payload"].get("content") for e in events] == [None, "b", None, "3", None, None]
    assert [e["payload"].get("hash") for e in events] == [sha("1"), sha("b"), sha("2"), sha("3"), sha("c"), None]


def test_latest_only_tells_which_events_are_current(hub: InProcess) -> None:
    """However far behind the page the next change of a file is told; nobody else is told of it."""
    source = hub.source()
    hub.push(source, upsert("a.md", "1"), upsert("b.md", "b"), upsert("c.md", "c"))
    hub.push(source, upsert("a.md", "2", sha("1")), delete("c.md", sha("c")))
    first = hub.ok("sources/deltas", sourceId=source, latestOnly=True, limit=3)["events"]
    assert [e.get("latest") for e in first] == [None, True, None]
    rest = hub.ok("sources/deltas", sourceId=source, latestOnly=True, cursor=3)["events"]
    assert [e.get("latest") for e in rest] == [True, None]
    assert not any("latest" in e for e in hub.events(source))


def test_latest_only_fits_more_events_into_a_page(hub: InProcess) -> None:
    """Superseded texts do not count against the page's size."""
    source = hub.source()
    texts = [str(i) * 1_000_000 for i in range(7)]
    for before, after in zip([None, *texts], texts, strict=False):
        hub.push(source, upsert("a.md", after, SENTINEL if before is None else sha(before)))
    events = hub.ok("sources/deltas", sourceId=source, latestOnly=True)["events"]
    assert [("content" in e["payload"]) for e in events] == [False] * 6 + [True]


def test_a_resolution_is_superseded_by_the_upsert_that_follows(hub: InProcess) -> None:
    """With `latestOnly` the text of a resolution comes once."""
    source = hub.source()
    hub.push(source, upsert("a.md", "one"))
    conflict = hub.outcome(source, upsert("a.md", "mine"))["conflictId"]
    hub.ok("sources/conflicts/resolve", sourceId=source, conflictId=conflict, resolution="keep_local")
    events = hub.ok("sources/deltas", sourceId=source, latestOnly=True)["events"]
    assert [e["payload"].get("content") for e in events] == [None, None, None, "mine"]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("limit", 0, "limit must not be less than 1"),
        ("limit", 501, "limit must not be greater than 500"),
        ("limit", 2.5, "limit must be an integer number"),
        ("cursor", -1, "cursor must not be less than 0"),
        ("cursor", "1", "cursor must not be less than 0"),
        ("cursor", 1.5, "cursor must be an integer number"),
        ("cursor", 2**31, "cursor must not be greater than 2147483647"),
        ("cursor", True, "cursor must not be less than 0"),
        ("waitMs", -1, "waitMs must not be less than 0"),
        ("latestOnly", "yes", "latestOnly must be a boolean value"),
    ],
)
def test_a_wrong_number_is_refused_by_name(light: InProcess, field: str, value: object, message: str) -> None:
    """400 where the real server answers 500 for some."""
    assert light.refused("sources/deltas", sourceId=light.source(), **{field: value}) == (400, [message])


def test_pausing_and_resuming_add_an_event_only_on_a_change(hub: InProcess) -> None:
    """And the source answered is the one that stands afterwards."""
    source = hub.source()
    turns = [("pause", "paused"), ("pause", "paused"), ("resume", "active"), ("resume", "active")]
    for endpoint, status in turns:
        assert hub.ok(f"sources/{endpoint}", sourceId=source)["status"] == status
    assert [(e["type"], e["payload"], "relativePath" in e) for e in hub.events(source)] == [
        ("source.paused", {}, False),
        ("source.resumed", {}, False),
    ]


def test_a_paused_source_takes_neither_pushes_nor_edits(hub: InProcess) -> None:
    """Reading goes on."""
    source = hub.source()
    hub.push(source, upsert("a.md", "one"))
    hub.ok("sources/pause", sourceId=source)
    assert hub.refused("sources/push-batch", sourceId=source, items=[upsert("b.md", "b")]) == (400, "Source is paused")
    edit = {"sourceId": source, "relativePath": "a.md", "content": "x"}
    assert hub.refused("sources/file/update", **edit) == (400, "Source is paused")
    assert hub.text(source, "a.md") == "one"


def test_files_come_in_the_order_of_their_utf8_bytes(hub: InProcess) -> None:
    """Also on a database whose own language sorts otherwise; pages join to the whole."""
    source = hub.source()
    paths = ["a.md", "B.md", "é.md", "e.md", "_.md", "a/b.md", "a-b.md", "\U0001f426.md", "\uff5e.md"]
    hub.push(source, *[upsert(path, path) for path in paths], upsert("gone.md", "x"), delete("gone.md", sha("x")))
    whole = hub.ok("sources/files", sourceId=source)
    assert [f["relativePath"] for f in whole] == sorted(paths, key=str.encode)
    paged: list[Any] = []
    while page := hub.ok(
        "sources/files", sourceId=source, limit=2, **({"after": paged[-1]["relativePath"]} if paged else {})
    ):
        paged += page
    assert paged == whole


def test_a_listing_longer_than_a_piece_is_streamed_whole(light: InProcess) -> None:
    """2,300 files come as one array."""
    source = light.source()
    for batch in range(23):
        light.push(source, *[upsert(f"{batch}/{i}.md", "x") for i in range(100)])
    listed = [f["relativePath"] for f in light.ok("sources/files", sourceId=source)]
    assert listed == sorted(listed)
    assert len(listed) == 2300


def test_a_file_shows_twenty_versions_unless_all_are_requested(hub: InProcess) -> None:
    """Oldest first, as on the real server."""
    source = hub.source()
    hub.push(source, *[upsert("a.md", str(i), sha(str(i - 1)) if i else SENTINEL) for i in range(30)])
    for endpoint in ("sources/file", "sources/history"):
        wish = {"sourceId": source, "relativePath": "a.md"}
        assert [v["content"] for v in hub.ok(endpoint, **wish)["versions"]] == [str(i) for i in range(10, 30)]
        assert len(hub.ok(endpoint, **wish, allVersions=True)["versions"]) == 30


def test_a_deleted_file_is_not_found_and_its_history_is(hub: InProcess) -> None:
    """The path is absent, its texts are not."""
    source = hub.source()
    hub.push(source, upsert("a.md", "one"), delete("a.md", sha("one")))
    wish = {"sourceId": source, "relativePath": "a.md"}
    assert hub.refused("sources/file", **wish) == (404, "File not found")
    assert [v["content"] for v in hub.ok("sources/history", **wish)["versions"]] == ["one"]


def test_a_digest_covers_every_present_file(hub: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is that of the listing, in any number of queries, and changes with each text and each path."""
    monkeypatch.setattr(files, "DIGESTED", 2)
    source, seen = hub.source(), set()
    for item in (upsert("b.md", "one"), upsert("a/ä.md", "two"), upsert("a.md", "three"), delete("b.md", sha("one"))):
        hub.push(source, item)
        listed = [(f["relativePath"], f["lastSyncedHash"]) for f in hub.ok("sources/files", sourceId=source)]
        found = hub.ok("sources/digest", sourceId=source)
        assert found == {"sourceId": source, "digest": state_digest([listed])}
        seen.add(found["digest"])
    assert len(seen) == 4


def test_sources_are_listed_newest_first(hub: InProcess) -> None:
    """Those of one millisecond too."""
    made = [hub.source() for _ in range(3)]
    assert [s["id"] for s in hub.ok("sources/list")] == made[::-1]


def test_a_heartbeat_answers_capabilities_or_not_found(hub: InProcess) -> None:
    """It is how an agent learns that the server it talks to has changed."""
    connector = hub.connector()
    hub.wall.now += 60_000
    beat = hub.ok("connectors/heartbeat", connectorId=connector)
    assert beat["capabilities"] == [
        "wait_ms",
        "item_results",
        "ordered_feed",
        "expected_hash",
        "latest_only",
        "connector_id",
        "state_digest",
        "poll_heartbeat",
        "machines",
        "rename_connector",
    ]
    assert hub.refused("connectors/heartbeat", connectorId=UNKNOWN) == (404, "Connector not found")


REQUESTS: dict[str, dict[str, Any]] = {
    "sources/pause": {},
    "sources/resume": {},
    "sources/rename": {"name": "stolen"},
    "sources/archive": {},
    "sources/delete": {},
    "sources/machines": {},
    "sources/leave": {"connectorId": UNKNOWN},
    "sources/files": {},
    "sources/digest": {},
    "sources/file": {"relativePath": "a.md"},
    "sources/file/update": {"relativePath": "a.md", "content": "stolen"},
    "sources/push-batch": {"items": [upsert("a.md", "stolen", sha("secret"))]},
    "sources/deltas": {},
    "sources/conflicts": {},
    "sources/conflicts/preview": {"conflictId": UNKNOWN},
    "sources/conflicts/resolve": {"conflictId": UNKNOWN, "resolution": "keep_local"},
    "sources/history": {"relativePath": "a.md"},
}


def test_a_workspace_sees_nothing_of_another(hub: InProcess) -> None:
    """On every endpoint that names a source or connector, another workspace's is as unknown as one that never was."""
    assert REQUESTS.keys() == HANDLERS.keys() - {
        "connectors/register",
        "connectors/heartbeat",
        "connectors/rename",
        "sources",
        "sources/list",
    }
    source, connector = hub.source(), hub.connector()
    hub.push(source, upsert("a.md", "secret"))
    conflict = hub.outcome(source, upsert("a.md", "mine"))["conflictId"]
    stranger = hub.beside(STRANGER)
    for endpoint, body in REQUESTS.items():
        wish = body | ({"conflictId": conflict} if "conflictId" in body else {})
        known = stranger.ask(endpoint, wish | {"sourceId": source})
        unknown = stranger.ask(endpoint, wish | {"sourceId": UNKNOWN})
        assert known[0] == unknown[0] == 404, endpoint
        assert known[1]["message"] == unknown[1]["message"] == "Local sync source not found"
    assert stranger.ok("sources/list") == []
    assert stranger.refused("connectors/heartbeat", connectorId=connector) == (404, "Connector not found")
    assert stranger.refused("connectors/rename", connectorId=connector, name="x") == (404, "Connector not found")
    assert stranger.refused("sources", name="n", mode="bidirectional", connectorId=connector) == (
        400,
        "Invalid connectorId for this workspace",
    )
    assert hub.text(source, "a.md") == "secret"


def test_a_conflict_of_another_source_is_not_open_in_this_one(hub: InProcess) -> None:
    """A conflict id is good only together with its source."""
    source, other = hub.source(), hub.source()
    hub.push(source, upsert("a.md", "one"))
    conflict = hub.outcome(source, upsert("a.md", "mine"))["conflictId"]
    wish = {"sourceId": other, "conflictId": conflict}
    assert hub.refused("sources/conflicts/preview", **wish) == (404, "Open conflict not found")
    assert hub.refused("sources/conflicts/resolve", **wish, resolution="keep_local") == (404, "Open conflict not found")


def test_a_token_of_another_workspace_is_refused(process: Running) -> None:
    """Over HTTP, where headers are what clients make of them."""
    client = process.client()
    bearer = token(secret=(process.data / "secret").read_bytes())
    url = f"{process.url}/api/local-sync/sources/list"
    sent = headers(bearer)
    assert client.http.post(url, headers=sent, content=b"{}").status_code == 200
    other = client.http.post(url, headers=sent | {"x-workspace-id": STRANGER}, content=b"{}")
    assert (other.status_code, other.json()["message"]) == (401, "Workspace does not match")
    del sent["x-workspace-id"]
    client.http.headers.pop("x-workspace-id")
    assert client.http.post(url, headers=sent, content=b"{}").status_code == 400
