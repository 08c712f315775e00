"""Closing conflicts and editing on the server, on SQLite and on PostgreSQL."""

from __future__ import annotations

from typing import Any

import pytest

from hub.fixtures import SENTINEL, InProcess, delete, sha, upsert


def edit_edit(hub: InProcess) -> tuple[str, str]:
    """A source where `a.md` is "head" and "mine" was refused; with the conflict's id."""
    source = hub.source()
    hub.push(source, upsert("a.md", "base"), upsert("a.md", "head", sha("base")))
    return source, hub.outcome(source, upsert("a.md", "mine", sha("base")))["conflictId"]


def resolve(hub: InProcess, source: str, conflict: str, resolution: str, **more: Any) -> Any:
    """The answer to a successful resolution."""
    return hub.ok("sources/conflicts/resolve", sourceId=source, conflictId=conflict, resolution=resolution, **more)


@pytest.mark.parametrize(
    ("resolution", "more", "text"),
    [
        ("keep_local", {}, "mine"),
        ("keep_raven", {}, "head"),
        ("manual_merge", {"resolvedContent": "both"}, "both"),
        ("manual_merge", {"resolvedContent": ""}, ""),
    ],
)
def test_a_resolution_sets_the_head_and_tells_it_in_two_events(
    hub: InProcess, resolution: str, more: dict[str, str], text: str
) -> None:
    """conflict.resolved with the text, then file.upsert of it under the operation id `resolve-<conflictId>`."""
    source, conflict = edit_edit(hub)
    before = hub.events(source)[-1]["cursor"]
    answer = resolve(hub, source, conflict, resolution, **more)
    assert answer.keys() == {"conflictId", "status", "resolution", "resolvedAt"}
    resolved, upserted = hub.events(source, before)
    assert (resolved["type"], resolved["payload"]) == (
        "conflict.resolved",
        {"hash": sha(text), "content": text, "conflictId": conflict, "resolution": resolution},
    )
    assert (upserted["type"], upserted["payload"]) == (
        "file.upsert",
        {"hash": sha(text), "content": text, "contentType": "text/markdown", "operationId": f"resolve-{conflict}"},
    )
    assert hub.text(source, "a.md") == text
    assert hub.conflicts(source) == []
    assert "head" in hub.past(source, "a.md")


def test_keep_raven_keeps_the_head_of_now_and_not_of_then(hub: InProcess) -> None:
    """A push that came after the conflict opened is not reverted."""
    source, conflict = edit_edit(hub)
    hub.push(source, upsert("a.md", "newer", sha("head")))
    resolve(hub, source, conflict, "keep_raven")
    assert hub.text(source, "a.md") == "newer"
    assert hub.past(source, "a.md") == ["base", "head", "newer"]


def test_keep_local_over_a_moved_head_keeps_it_in_history(hub: InProcess) -> None:
    """Nothing a resolution replaces is lost."""
    source, conflict = edit_edit(hub)
    hub.push(source, upsert("a.md", "newer", sha("head")))
    resolve(hub, source, conflict, "keep_local")
    assert hub.past(source, "a.md") == ["base", "head", "newer", "mine"]


def test_a_resolution_that_expects_another_head_is_refused(hub: InProcess) -> None:
    """409, and the conflict stays open; with the right hash it goes through."""
    source, conflict = edit_edit(hub)
    wish = {"sourceId": source, "conflictId": conflict, "resolution": "keep_local"}
    assert hub.refused("sources/conflicts/resolve", **wish, expectedRemoteHash=sha("base"))[0] == 409
    assert len(hub.conflicts(source)) == 1
    assert hub.text(source, "a.md") == "head"
    resolve(hub, source, conflict, "keep_local", expectedRemoteHash=sha("head"))
    assert hub.text(source, "a.md") == "mine"


def test_a_conflict_is_resolved_once(hub: InProcess) -> None:
    """The second of two resolutions is told that the conflict is not open."""
    source, conflict = edit_edit(hub)
    resolve(hub, source, conflict, "keep_local")
    wish = {"sourceId": source, "conflictId": conflict, "resolution": "keep_raven"}
    assert hub.refused("sources/conflicts/resolve", **wish) == (404, "Open conflict not found")
    assert hub.refused("sources/conflicts/preview", sourceId=source, conflictId=conflict)[0] == 404
    assert hub.text(source, "a.md") == "mine"


def test_a_merge_needs_its_text(hub: InProcess) -> None:
    """Left out it is refused and the conflict stays open; empty is a text."""
    source, conflict = edit_edit(hub)
    wish = {"sourceId": source, "conflictId": conflict, "resolution": "manual_merge"}
    assert hub.refused("sources/conflicts/resolve", **wish) == (400, "resolvedContent is required for manual_merge")
    assert len(hub.conflicts(source)) == 1


def test_keep_local_of_a_delete_deletes(hub: InProcess) -> None:
    """conflict.resolved without a hash, then file.delete; the deleted text stays in history."""
    source = hub.source()
    hub.push(source, upsert("a.md", "one"), upsert("a.md", "two", sha("one")))
    conflict = hub.outcome(source, delete("a.md", sha("one")))["conflictId"]
    before = hub.events(source)[-1]["cursor"]
    resolve(hub, source, conflict, "keep_local")
    resolved, deleted = hub.events(source, before)
    assert resolved["payload"] == {"hash": None, "conflictId": conflict, "resolution": "keep_local"}
    assert (deleted["type"], deleted["payload"]) == ("file.delete", {"operationId": f"resolve-{conflict}"})
    assert hub.text(source, "a.md") is None
    assert hub.past(source, "a.md") == ["one", "two"]


@pytest.mark.parametrize(("resolution", "text"), [("keep_local", "mine"), ("keep_raven", None)])
def test_an_edit_against_a_delete_is_created_or_stays_deleted(
    hub: InProcess, resolution: str, text: str | None
) -> None:
    """keep_local brings the edit, keep_raven keeps the path absent; 64 zeros expect it absent."""
    source = hub.source()
    hub.push(source, upsert("a.md", "one"), delete("a.md", sha("one")))
    conflict = hub.outcome(source, upsert("a.md", "mine", sha("one")))["conflictId"]
    resolve(hub, source, conflict, resolution, expectedRemoteHash=SENTINEL)
    assert hub.text(source, "a.md") == text
    assert hub.events(source)[-1]["type"] == ("file.upsert" if text else "conflict.resolved")


def test_resolving_goes_on_while_paused(hub: InProcess) -> None:
    """As on the real server."""
    source, conflict = edit_edit(hub)
    hub.ok("sources/pause", sourceId=source)
    resolve(hub, source, conflict, "keep_local")
    assert hub.text(source, "a.md") == "mine"


def test_a_page_edit_without_base_keeps_the_replaced_version(hub: InProcess) -> None:
    """The event is as any other, with the actor; the replaced text stands in history."""
    source = hub.source()
    hub.push(source, upsert("a.md", "one"))
    answer = hub.ok("sources/file/update", sourceId=source, relativePath="a.md", content="two")
    assert answer == {"status": "ok", "relativePath": "a.md", "hash": sha("two")}
    assert hub.past(source, "a.md") == ["one", "two"]
    payload = hub.events(source)[-1]["payload"]
    assert (payload["actor"], payload["content"], payload["hash"]) == ("raven", "two", sha("two"))
    assert payload["operationId"].startswith("raven-")


def test_a_page_edit_on_a_stale_base_is_a_swapped_conflict(hub: InProcess) -> None:
    """localContent is the head, remoteContent the refused edit; keeping a side keeps what is shown as that side."""
    source = hub.source()
    hub.push(source, upsert("a.md", "one"), upsert("a.md", "two", sha("one")))
    edit = {"sourceId": source, "relativePath": "a.md", "baseHash": sha("one")}
    ids = [hub.ok("sources/file/update", **edit, content=f"edit {i}")["conflictId"] for i in range(2)]
    shown = {c["id"]: (c["localContent"], c["remoteContent"]) for c in hub.conflicts(source)}
    assert shown == {ids[0]: ("two", "edit 0"), ids[1]: ("two", "edit 1")}
    assert hub.events(source)[-1]["payload"]["reason"] == "raven_edit_stale_base"
    resolve(hub, source, ids[0], "keep_local")
    assert hub.text(source, "a.md") == "two"
    resolve(hub, source, ids[1], "keep_raven")
    assert hub.text(source, "a.md") == "edit 1"


def test_an_edit_on_the_server_that_changes_nothing_adds_nothing(hub: InProcess) -> None:
    """Equal text is a no-op, also with a stale base."""
    source = hub.source()
    hub.push(source, upsert("a.md", "one"))
    edit = {"sourceId": source, "relativePath": "a.md", "content": "one", "baseHash": "f" * 64}
    assert hub.ok("sources/file/update", **edit)["status"] == "ok"
    assert len(hub.events(source)) == 1


def test_an_edit_on_the_server_creates_nothing(hub: InProcess) -> None:
    """An unknown and a deleted path are not found."""
    source = hub.source()
    hub.push(source, upsert("a.md", "one"), delete("a.md", sha("one")))
    for path in ("a.md", "none.md"):
        edit = {"sourceId": source, "relativePath": path, "content": "x"}
        assert hub.refused("sources/file/update", **edit) == (404, "File not found")


@pytest.mark.parametrize("mode", ["import_only", "local_to_cloud"])
def test_one_way_sources_take_pushes_and_no_edits_on_the_server(hub: InProcess, mode: str) -> None:
    """As on the real server."""
    source = hub.source(mode)
    assert hub.outcome(source, upsert("a.md", "one"))["status"] == "applied"
    edit = {"sourceId": source, "relativePath": "a.md", "content": "x"}
    assert hub.refused("sources/file/update", **edit) == (
        400,
        "Raven-side editing is only allowed for bidirectional sources",
    )


def preview(hub: InProcess, local: str, remote: str, **more: Any) -> Any:
    """The preview of a conflict between two texts."""
    source = hub.source()
    hub.push(source, upsert("a.md", remote))
    conflict = hub.outcome(source, upsert("a.md", local))["conflictId"]
    return hub.ok("sources/conflicts/preview", sourceId=source, conflictId=conflict, **more)


def test_a_preview_is_a_real_diff(light: InProcess) -> None:
    """One inserted line is one difference, not a difference on every line behind it."""
    shown = preview(light, "a\nb\nc\nd", "a\nnew\nb\nc\nd")
    assert shown["summary"] == {"localLines": 4, "remoteLines": 5, "differentLines": 1}
    assert shown["changes"] == [{"line": 2, "local": None, "remote": "new"}]


def test_a_preview_shows_as_many_equal_lines_as_are_asked_for(light: InProcess) -> None:
    """`contextLines` on each side of a change, and none twice where two changes are near."""
    lines = [f"l{i}" for i in range(12)]
    remote = list(lines)
    remote[4], remote[7] = "x", "y"
    changes = preview(light, "\n".join(lines), "\n".join(remote), contextLines=2)["changes"]
    assert [c["line"] for c in changes] == [3, 4, 5, 6, 7, 8, 9, 10]
    assert [c["line"] for c in changes if c["local"] != c["remote"]] == [5, 8]


def test_a_preview_of_large_texts_without_common_lines_is_cheap(light: InProcess) -> None:
    """Beyond a bound the middle is one replaced block; the answer still has every line."""
    local, remote = ("\n".join(f"{side}{i}" for i in range(30_000)) for side in "lr")
    shown = preview(light, local, remote)
    assert shown["summary"]["differentLines"] == 30_000
