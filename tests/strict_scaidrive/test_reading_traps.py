"""What a server may do to a machine that reads: logs that are cut, folders that move, versions that vanish."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping

import pytest

from agent.core.errors import ProblemKind, RemoteError
from agent.core.events import Delete, FeedEvent, Move, Unreadable, Upsert
from agent.core.supply import Transfer
from remotes.suite.account import kind_of
from remotes.suite.transfers import LARGE, joined, received, transfer_of
from remotes.suite.world import replay, sha
from strict_raven.wire import Response
from strict_scaidrive.api import TOKEN, hide
from strict_scaidrive.state import DriveTraps
from strict_scaidrive.test_pushing_traps import Make, trapped
from strict_scaidrive.world import LIMITS, ScaiDriveWorld

__all__ = ["trapped"]


def drained_slowly(world: ScaiDriveWorld, state: str | None = None) -> tuple[list[FeedEvent], int]:
    """Every event, and the number of waits: a call that is not allowed yet is made again when it is."""
    events: list[FeedEvent] = []
    waits = 0
    while waits < 200:
        try:
            page = world.remote.pull(world.source, state, 0, world.clock.now)
        except RemoteError as error:
            assert error.problem.kind is ProblemKind.BUSY
            assert error.problem.retry_after is not None
            world.clock.now += error.problem.retry_after + 1
            waits += 1
            continue
        world.book.commit_page(page)
        events += page.events
        state = page.state
        if not page.more:
            return events, waits
    raise AssertionError("the feed does not end")


def test_a_first_sync_within_fifty_tokens_never_meets_429(trapped: Make) -> None:
    """PR8: a page ends where the calls end, and the next one goes on there; no file is delivered twice."""
    world = trapped(DriveTraps(limit=50))
    for number in range(60):
        world.put(f"d{number % 3}/{number}.md", str(number))
    events, waits = drained_slowly(world)
    assert replay(events) == {path: sha(content) for path, content in world.held().items()}
    assert len([event for event in events if isinstance(event, Upsert)]) == 60
    assert waits >= 5
    assert 429 not in world.api.statuses


def test_changes_within_fifty_tokens_never_meet_429(trapped: Make) -> None:
    """PR8: the same for changes, of which one page holds more than the calls of a minute resolve."""
    world = trapped(DriveTraps(limit=50, no_hash=True))
    _, state = world.drain()
    for number in range(40):
        world.put(f"{number}.md", str(number))
    events, waits = drained_slowly(world, state)
    assert [event.path for event in events if isinstance(event, Upsert)] == [f"{number}.md" for number in range(40)]
    assert waits >= 3
    assert 429 not in world.api.statuses


def test_a_cut_log_loses_the_cursor_and_nothing_else(trapped: Make) -> None:
    """The engine reads from the beginning, and has every file; the device's old cursor is not used again."""
    world = trapped(DriveTraps())
    world.put("a.md", "A")
    _, state = world.drain()
    world.put("b.md", "B")
    world.server.cut_log()
    world.put("c.md", "C")
    assert kind_of(lambda: world.remote.pull(world.source, state, 0, world.clock.now)) is ProblemKind.CURSOR_LOST
    assert not world.remote.was_restored_from_older_copy(world.source, state)
    assert replay(world.drain(None)[0]) == {path: sha(content) for path, content in world.held().items()}


def test_the_cursor_moves_past_the_entries_of_others(trapped: Make) -> None:
    """Positions of other shares lie between. A log that is cut behind them loses no reader who missed nothing."""
    world = trapped(DriveTraps())
    world.put("a.md", "A")
    _, state = world.drain()
    world.server.put(world.server.add_share("other").id, "x.md", b"x")
    events, state = world.drain(state)
    assert events == []
    world.server.cut_log()
    world.put("b.md", "B")
    assert replay(world.drain(state)[0]) == {"b.md": sha("B")}


def test_a_file_that_moves_to_another_share_changes_both(trapped: Make) -> None:
    """It is gone in the one and new in the other, with its content, although it keeps its id."""
    world = trapped(DriveTraps())
    for path in ("a.md", "b.md"):
        world.put(path, path)
    _, state = world.drain()
    here, there = world.source, world.server.add_share("other").id
    folder = world.server.ensure_folder(there, "in")
    body = json.dumps({"target_share_id": there, "target_folder_id": folder}).encode()
    headers = {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}
    file = world.file("a.md").id
    answer = world.handle("POST", f"/api/v1/files/{file}/move", headers, body)
    assert answer.status == 200
    events, _ = world.drain(state)
    assert [event.path for event in events if isinstance(event, Delete)] == ["a.md"] and len(events) == 1
    assert world.held() == {"b.md": b"b.md"}
    world.source = there
    assert replay(world.drain(None)[0]) == {"in/a.md": sha("a.md")}
    assert world.held() == {"in/a.md": b"a.md"} and here != there


def test_files_made_during_the_walk_are_in_the_changes(trapped: Make) -> None:
    """The cursor is older than the walk: nothing falls between them, wherever a page ends."""
    world = trapped(DriveTraps())
    for number in range(LIMITS.walked * 2):
        world.put(f"d{number % 4}/{number:02}.md", str(number))
    page = world.remote.pull(world.source, None, 0, 0)
    world.book.commit_page(page)
    world.put("d0/aa.md", "early")
    world.put("d3/zz.md", "late")
    world.remove("d1/01.md")
    world.drain(page.state)
    held = {path: sha(content) for path, content in world.held().items()}
    assert {path: entry.hash for path, entry in world.book.files.items()} == held


def test_a_page_ends_before_an_event_that_needs_the_book(trapped: Make) -> None:
    """Read again without a commit, it ends there again; after the commit the folder's files are known."""
    world = trapped(DriveTraps())
    world.put("d/a.md", "A")
    _, state = world.drain()
    world.put("d/b.md", "B")
    world.move("d", "e")
    world.move("e", "f")
    first = world.remote.pull(world.source, state, 0, 0)
    assert (first.barrier, first.more) == (True, True)
    assert [event.path for event in first.events if isinstance(event, Upsert)] == ["d/b.md"]
    assert world.remote.pull(world.source, state, 0, 0) == first
    world.book.commit_page(first)
    second = world.remote.pull(world.source, first.state, 0, 0)
    moves = [(event.old_path, event.path) for event in second.events if isinstance(event, Move)]
    assert (second.barrier, moves) == (True, [("d/a.md", "e/a.md"), ("d/b.md", "e/b.md")])
    world.book.commit_page(second)
    world.drain(second.state)
    assert sorted(world.book.files) == ["f/a.md", "f/b.md"]


@pytest.mark.parametrize("traps", [{}, {"child_entries": True}, {"no_folder_entry": True}])
def test_a_deleted_folder_deletes_its_files(trapped: Make, traps: dict[str, bool]) -> None:
    """By one entry, by one for each file, or by both, which is no harm."""
    world = trapped(DriveTraps(**traps))
    world.put("d/a.md", "A")
    world.put("d/e/b.md", "B")
    world.put("c.md", "C")
    _, state = world.drain()
    world.remove_folder("d")
    world.drain(state)
    assert {path: entry.hash for path, entry in world.book.files.items()} == {"c.md": sha("C")}


def test_an_event_that_cannot_be_resolved_harms_no_other(trapped: Make) -> None:
    """The file vanished from sight, or its version was pruned; the verification finds what is still there."""
    world = trapped(DriveTraps(no_hash=True, no_metadata=True))
    world.put("a.md", "A")
    _, state = world.drain()
    for name in ("b", "c", "d"):
        world.put(f"{name}.md", name)
    world.put("d.md", "d2")
    del world.server.state.files[world.file("b.md").id]
    world.server.prune(world.file("d.md"))
    events, _ = world.drain(state)
    assert [(type(event), event.path) for event in events if isinstance(event, Upsert | Unreadable)] == [
        (Unreadable, "b.md"),
        (Upsert, "c.md"),
        (Upsert, "d.md"),
    ]


def test_what_the_account_may_not_see_is_missing_not_deleted(trapped: Make) -> None:
    """404: no event, no empty list; the call fails."""
    world = trapped(DriveTraps())
    world.put("a.md", "A")
    _, state = world.drain()
    hide(world.server, world.source)
    calls: list[Callable[[], object]] = [
        lambda: world.remote.pull(world.source, state, 0, 0),
        lambda: world.remote.pull(world.source, None, 0, 0),
        lambda: list(world.remote.listing(world.source)),
        lambda: world.remote.was_restored_from_older_copy(world.source, state),
    ]
    for call in calls:
        assert kind_of(call) is ProblemKind.NOT_FOUND


def test_a_list_that_is_cut_is_no_list(trapped: Make) -> None:
    """A server that counts more entries than it sends must not make files look deleted."""
    world = trapped(DriveTraps())
    world.put("a.md", "A")
    world.put("b.md", "B")
    handle = world.api.handle

    def cut(method: str, path: str, headers: Mapping[str, str], body: bytes) -> Response:
        answer = handle(method, path, headers, body)
        if "/children" not in path:
            return answer
        shown = json.loads(answer.body)
        return Response(answer.status, answer.headers, json.dumps({**shown, "items": shown["items"][:1]}).encode())

    world.faults._handler = cut
    assert kind_of(lambda: list(world.remote.listing(world.source))) is ProblemKind.GARBLED


def test_a_walk_passes_a_folder_that_vanishes(trapped: Make) -> None:
    """It was deleted or moved after its parent was read: the changes since then say so."""
    world = trapped(DriveTraps())
    for number in range(LIMITS.walked):
        world.put(f"top{number}.md", "x")
    for name in ("a", "b", "c"):
        world.put(f"{name}/x.md", name)
    page = world.remote.pull(world.source, None, 0, 0)
    world.book.commit_page(page)
    world.move("a", "moved")
    world.remove_folder("b")
    world.drain(page.state)
    held = {path: sha(content) for path, content in world.held().items()}
    assert {path: entry.hash for path, entry in world.book.files.items()} == held


def test_wrong_bytes_are_seen_by_their_receiver(trapped: Make) -> None:
    """A stream has the right size and another hash; a small content with another hash is not passed on."""
    world = trapped(DriveTraps(wrong_bytes=True))
    world.put("a.md", LARGE)
    content = joined(received(world, transfer_of(world, "a.md", LARGE)))
    assert len(content) == len(LARGE)
    assert hashlib.sha256(content).hexdigest() != sha(LARGE)
    world.put("b.md", "B")
    head = world.remote.head(world.source, "b.md")
    assert head is not None
    assert (head.hash, head.content) == (sha("B"), None)


def test_a_pruned_version_is_not_found(trapped: Make) -> None:
    """The executor gives the download up; the head is another one by now."""
    world = trapped(DriveTraps())
    world.put("a.md", LARGE)
    rev, identifier = world.identity("a.md")
    world.put("a.md", "newer")
    world.server.prune(world.file("a.md"))
    transfer = Transfer("0" * 16, "a.md", identifier, rev, sha(LARGE), len(LARGE))
    assert kind_of(lambda: received(world, transfer)) is ProblemKind.NOT_FOUND


def test_an_empty_page_before_a_known_change_is_no_restore(trapped: Make) -> None:
    """Entries of other shares fill a page: the first change of ours comes on a later one."""
    world = trapped(DriveTraps(sparse_pages=True))
    _, state = world.drain()
    other = world.server.add_share("other").id
    for number in range(60):
        world.server.put(other, f"{number}.md", b"x")
    world.put("a.md", "A")
    events, state = world.drain(state)
    assert [event.path for event in events if isinstance(event, Upsert)] == ["a.md"]
    assert not world.remote.was_restored_from_older_copy(world.source, state)


def test_the_cursor_of_a_quiet_share_is_reported_once_a_minute(trapped: Make) -> None:
    """For the server's display only: it is never read back, and a failure of it is no failure of the pull."""
    world = trapped(DriveTraps())
    world.put("a.md", "A")
    _, state = world.drain()
    for seconds in (0, 59, 61, 200):
        world.clock.now += seconds
        world.remote.pull(world.source, state, 0, world.clock.now)
    reports = [request for request in world.requests if "/sync/cursor" in request.path]
    assert len(reports) == 1
    assert world.server.state.cursors["id-of-laptop", world.source] == world.server.state.position


def test_every_page_of_the_shares_is_read(trapped: Make) -> None:
    """A hundred fit into one page: 250 shares are listed once each, the newest ones too."""
    world = trapped(DriveTraps())
    names = [f"share {number}" for number in range(250)]
    made = [world.server.add_share(name).id for name in names]
    found = [source.id for source in world.sources()]
    assert sorted(found) == sorted([*made, world.source])
