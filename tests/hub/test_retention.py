"""Retention, quotas and the count of bytes: what is removed, and above all what is not."""

from __future__ import annotations

import itertools
import threading
from pathlib import Path

import pytest

from agent.hub.domain.retention import DAY_MS, GRACE_MS, PastVersion, Retention, expired_versions
from agent.hub.store.pruning import Pruned, prune
from agent.hub.store.sql_store import SqlStore, sqlite_url
from agent.hub.store.workspaces import WorkspaceRegistry
from agent.hub.upkeep import Upkeep
from hub.fixtures import WORKSPACE, InProcess, delete, sha, together, upsert
from support.processes import Home


def versions(*times: int) -> list[PastVersion]:
    """Versions recorded at these days."""
    return [PastVersion(cursor, day * DAY_MS) for cursor, day in enumerate(times, 1)]


@pytest.mark.parametrize(
    ("rule", "present", "removed"),
    [
        (Retention(), True, []),
        (Retention(versions=1), True, [1, 2, 3]),
        (Retention(versions=0), True, [1, 2, 3]),
        (Retention(versions=3), True, [1]),
        (Retention(versions=9), True, []),
        # Versions of the days 1, 2, 50 and 60 ended on the days 2, 50, 60 and 70. It is day 100.
        (Retention(days=60), True, [1]),
        (Retention(days=45), True, [1, 2]),
        (Retention(days=0), True, [1, 2, 3]),
        (Retention(days=0), False, [1, 2, 3, 4]),
        (Retention(days=45, versions=2), True, [1, 2]),
        (Retention(versions=1), False, [1, 2, 3]),
    ],
)
def test_a_version_goes_by_its_rank_or_its_end(rule: Retention, present: bool, removed: list[int]) -> None:
    """The age counts from the replacement of a text. The text of a present file never goes."""
    found = expired_versions(versions(1, 2, 50, 60), rule, 100 * DAY_MS, is_present=present, ended_at=70 * DAY_MS)
    assert found == removed


def test_a_text_stays_an_hour_whatever_the_rule() -> None:
    """A wrong rule can be set right before it removes what was just replaced."""
    past = versions(1, 2)
    for rule in (Retention(versions=1), Retention(days=0)):
        for after, removed in ((GRACE_MS - 1, []), (GRACE_MS, [1])):
            now = 2 * DAY_MS + after
            assert expired_versions(past, rule, now, is_present=True, ended_at=2 * DAY_MS) == removed


def pruned(hub: InProcess, rule: Retention, later_ms: int = 2 * GRACE_MS) -> Pruned:
    """Apply a rule some time later."""
    hub.wall.now += later_ms
    registry = WorkspaceRegistry(hub.store)
    return prune(hub.store, registry.limit(WORKSPACE, None, rule), hub.wall.now)


def edit(hub: InProcess, source: str, path: str, *texts: str) -> None:
    """Give a path these texts, one after the other."""
    base = hub.text(source, path)
    for text in texts:
        hub.wall.now += 1000
        assert hub.outcome(source, upsert(path, text, None if base is None else sha(base)))["status"] == "applied"
        base = text


def stored(hub: InProcess) -> set[str]:
    """Hashes of all contents in the database."""
    with hub.store.read() as session:
        return {bytes(row[0]).hex() for row in session.transaction.rows("SELECT hash FROM contents")}


def test_old_versions_go_with_their_contents(hub: InProcess) -> None:
    """By count; heads, open conflicts with their bases, and texts that another file has are kept. Usage shrinks."""
    source, other = hub.source(), hub.source()
    edit(hub, source, "a.md", "a1", "a2", "a3")
    edit(hub, other, "b.md", "b1", "a1")
    edit(hub, source, "c.md", "c1", "c2")
    refused = hub.outcome(source, upsert("c.md", "mine", sha("c1")))
    assert refused["status"] == "conflict"
    edit(hub, source, "gone.md", "g1", "g2")
    hub.push(source, delete("gone.md", sha("g2")))
    used = WorkspaceRegistry(hub.store).one(WORKSPACE).used
    done = pruned(hub, Retention(versions=1))
    # Three texts, and the empty one of the delete.
    assert done == Pruned(versions=4, contents=4, bytes=6)
    assert stored(hub) == {sha(text) for text in ("a1", "a3", "c1", "c2", "mine", "g2")}
    assert WorkspaceRegistry(hub.store).one(WORKSPACE).used == used - 6
    assert (hub.past(source, "a.md"), hub.past(other, "b.md")) == (["a3"], ["a1"])
    assert hub.past(source, "c.md") == ["c1", "c2"]
    assert hub.past(source, "gone.md") == ["g2"]
    [conflict] = hub.conflicts(source)
    assert (conflict["localContent"], conflict["remoteContent"]) == ("mine", "c2")
    assert pruned(hub, Retention(versions=1)) == Pruned(0, 0, 0)


def test_a_deleted_file_goes_after_its_days(hub: InProcess) -> None:
    """And can be pushed anew afterwards, also with the text that went. The feed is whole, without the lost texts."""
    source = hub.source()
    edit(hub, source, "a.md", "one")
    hub.push(source, delete("a.md", sha("one")))
    assert pruned(hub, Retention(days=30), 29 * DAY_MS).versions == 0
    assert pruned(hub, Retention(days=30), 2 * DAY_MS) == Pruned(1, 1, 3)
    assert hub.refused("sources/history", sourceId=source, relativePath="a.md")[0] == 404
    events = hub.events(source)
    assert [event["type"] for event in events] == ["file.upsert", "file.delete"]
    assert "content" not in events[0]["payload"]
    edit(hub, source, "a.md", "one")
    assert hub.text(source, "a.md") == "one"
    assert hub.events(source, 2)[0]["payload"]["content"] == "one"


def test_pushes_beside_a_removal_keep_their_texts(hub: InProcess) -> None:
    """Writers push the very texts that retention removes at that moment; every head can be read, always."""
    source = hub.source()
    texts = [f"text {number}" for number in range(6)]
    done = threading.Event()

    def write(path: str) -> None:
        base = None
        for number in itertools.count():
            text = texts[number % len(texts)]
            hub.push(source, upsert(path, text, base))
            base = sha(text)
            if done.is_set():
                return

    def remove() -> int:
        total = 0
        try:
            for _ in range(25):
                total += prune(hub.store, workspace, hub.wall.now + 2 * GRACE_MS).contents
        finally:
            done.set()
        return total

    workspace = WorkspaceRegistry(hub.store).limit(WORKSPACE, None, Retention(versions=1))
    removed = together(remove, *[lambda path=path: write(path) for path in ("a.md", "b.md")])[0]
    assert removed > 0
    assert hub.text(source, "a.md") in texts
    assert hub.text(source, "b.md") in texts


def test_one_hub_a_day_applies_retention(hub: InProcess) -> None:
    """Of three that look at once one does; on the next day again one."""
    source = hub.source()
    edit(hub, source, "a.md", "one", "two")
    registry = WorkspaceRegistry(hub.store)
    assert registry.claim(hub.wall.now) == []
    registry.limit(WORKSPACE, None, Retention(versions=1))
    for _ in range(2):
        hub.wall.now += 25 * 3_600_000
        claims = together(*[lambda: registry.claim(hub.wall.now) for _ in range(3)])
        assert sorted(len(claim) for claim in claims) == [0, 0, 1]
    hub.wall.now += 25 * 3_600_000
    Upkeep(hub.store, hub.wall).work()
    assert hub.past(source, "a.md") == ["two"]


def test_a_full_workspace_takes_no_new_text(hub: InProcess) -> None:
    """507; known texts, deletes, pausing and other workspaces go on. With room again, texts are taken."""
    source = hub.source()
    other = hub.beside("99999999-8888-4777-8666-555555555555")
    edit(hub, source, "a.md", "12345")
    registry = WorkspaceRegistry(hub.store)
    registry.limit(WORKSPACE, 8, Retention())
    refused = hub.refused("sources/push-batch", sourceId=source, items=[upsert("b.md", "6789")])
    assert refused == (507, "The workspace's quota is used up")
    assert hub.text(source, "b.md") is None
    assert hub.outcome(source, upsert("b.md", "12345"))["status"] == "applied"
    assert hub.outcome(source, upsert("c.md", "678"))["status"] == "applied"
    assert hub.outcome(source, delete("a.md", sha("12345")))["status"] == "applied"
    assert other.outcome(other.source(), upsert("b.md", "678910"))["status"] == "applied"
    registry.limit(WORKSPACE, 12, Retention())
    assert hub.outcome(source, upsert("d.md", "6789"))["status"] == "applied"
    assert registry.one(WORKSPACE).used == 12


def test_the_commands_set_limits_and_prune(tmp_path: Path) -> None:
    """`hub workspaces`, `hub limit` and `hub prune`, on a hub that may serve meanwhile."""
    home, data = Home(tmp_path), tmp_path / "data"
    data.mkdir()
    hub = InProcess(SqlStore(sqlite_url(data / "hub.db")))
    hub.wall.now -= 3 * DAY_MS
    source = hub.source()
    edit(hub, source, "a.md", "one", "three")
    place = ("--data", str(data))
    [listed] = home.json("hub", "workspaces", *place)
    assert listed == {
        "id": WORKSPACE, "sources": 1, "bytes": 8, "quota": None, "keep_versions": None, "keep_days": None,
    }  # fmt: skip
    set_ = home.json("hub", "limit", WORKSPACE, "--quota", "2MB", "--keep-versions", "1", *place)
    assert (set_["quota"], set_["keep_versions"], set_["keep_days"]) == (2_000_000, 1, None)
    # What is not named stays as it is.
    set_ = home.json("hub", "limit", WORKSPACE, "--quota", "none", "--keep-days", "30", *place)
    assert (set_["quota"], set_["keep_versions"], set_["keep_days"]) == (None, 1, 30)
    assert home.json("hub", "prune", *place) == [
        {"id": WORKSPACE, "versions": 1, "contents": 1, "bytes": 3},
    ]
    assert hub.past(source, "a.md") == ["three"]
    unknown = home.run("hub", "limit", "nobody", "--quota", "1GB", *place)
    assert unknown.code == 1 and "no workspace" in unknown.err
    hub.store.close()
