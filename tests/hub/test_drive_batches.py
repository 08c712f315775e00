"""Batches of small files, which the hub has beside ScaiDrive's documented API."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.core.events import Upsert
from agent.core.remote_records import Result
from hub.drive import Drive
from hub.drive_world import DriveHubWorld
from hub.fixtures import InProcess, sha
from strict_raven.wire import Response


@pytest.fixture
def drive(hub: InProcess, tmp_path: Path) -> Drive:
    """A user with a share, on either database."""
    return Drive(hub, None if hub.store.is_shared else tmp_path).set_up()


def create(drive: Drive, *files: tuple[str, bytes], **more: object) -> list[Any]:
    """The answer for each file of a batch."""
    rows = [{"path": path, "content": base64.b64encode(data).decode(), **more} for path, data in files]
    found: list[Any] = drive.ok("POST", "files/batch", {"share_id": drive.share, "files": rows})["files"]
    return found


def read(drive: Drive, *files: Mapping[str, object]) -> list[tuple[int | None, bytes | None]]:
    """The version's number and the content of each file of a batch."""
    body = {"share_id": drive.share, "files": list(files)}
    found = drive.ok("POST", "files/contents", body)["files"]
    assert [each["file_id"] for each in found] == [each["file_id"] for each in files]
    return [
        (
            None if each["version"] is None else each["version"]["version_number"],
            None if each["content"] is None else base64.b64decode(each["content"]),
        )
        for each in found
    ]


def test_a_batch_makes_files_in_their_folders_at_once(drive: Drive) -> None:
    """One answer each, with the ids of file and version; texts and bytes; one announcement."""
    before = len(drive.committed)
    made = create(drive, ("/a/b/one.md", b"1"), ("a/two.md", b"2"), ("raw.bin", b"\0\xff"))
    assert [each["status"] for each in made] == [201, 201, 201]
    assert drive.tree() == {"/a/b/one.md": b"1", "/a/two.md": b"2", "/raw.bin": b"\0\xff"}
    assert len(drive.committed) == before + 1
    for each in made:
        (version,) = drive.ok("GET", f"files/{each['file_id']}/versions")["versions"]
        assert (version["id"], version["checksum_sha256"]) == (each["version_id"], each["checksum_sha256"])
    shown = [(c["change_type"], c["new_path"], c["version_id"]) for c in drive.changes()]
    assert shown == [("created", each["path"], each["version_id"]) for each in made]


def test_a_batch_replaces_nothing(drive: Drive) -> None:
    """A name that a file or a folder has is refused alone, also one that the same batch makes."""
    drive.create("here.md", b"old")
    create(drive, ("folder/x.md", b"x"))
    made = create(
        drive, ("here.md", b"new"), ("folder", b"f"), ("here.md/inside.md", b"i"), ("fine.md", b"1"),
        ("fine.md", b"2"), ("fine.md/y.md", b"y"), ("new/z.md", b"z"), ("new", b"n"), ("../up.md", b"u"),
    )  # fmt: skip
    assert [each["status"] for each in made] == [409, 409, 409, 201, 409, 409, 201, 409, 422]
    assert drive.tree() == {"/here.md": b"old", "/folder/x.md": b"x", "/fine.md": b"1", "/new/z.md": b"z"}


def test_a_batch_checks_hashes_and_sizes(drive: Drive) -> None:
    """Other bytes than promised make no file; too large ones go their own way; too many rows are refused."""
    assert [each["status"] for each in create(drive, ("a.md", b"a"), checksum_sha256=sha("b"))] == [400]
    rows = [{"path": f"{number}.md", "content": ""} for number in range(501)]
    assert drive.refused("POST", "files/batch", {"share_id": drive.share, "files": rows}) == 422
    assert (
        drive.refused("POST", "files/batch", {"share_id": drive.share, "files": [{"path": "a", "content": "%"}]}) == 422
    )
    assert [each["status"] for each in create(drive, ("big.md", b"x" * 1_048_577))] == [413]
    assert drive.tree() == {}


def test_a_batch_of_contents_gives_what_the_client_lacks(drive: Drive) -> None:
    """The newest version; no content that is known, and nothing of a deleted, moved away or foreign file."""
    one, two, gone = create(drive, ("one.md", b"1"), ("two.md", b"2"), ("gone.md", b"g"))
    drive.ok("PATCH", f"files/{two['file_id']}", {"name": "three.md"})
    drive.ok("DELETE", f"files/{gone['file_id']}")
    large = drive.upload(b"\xff" * 1_048_577, file_name="large.bin")
    assert read(
        drive,
        {"file_id": one["file_id"]},
        {"file_id": one["file_id"], "known_sha256": sha("1")},
        {"file_id": one["file_id"], "version": 2},
        {"file_id": two["file_id"], "version": 1},
        {"file_id": gone["file_id"]},
        {"file_id": large["file_id"]},
        {"file_id": "fil_99-1"},
        {"file_id": "nonsense"},
    ) == [(1, b"1"), (1, None), (None, None), (1, b"2"), (None, None), (1, None), (None, None), (None, None)]


def test_a_batch_of_contents_has_a_largest_size(drive: Drive) -> None:
    """The same content counts each time that it is sent."""
    (made,) = create(drive, ("m.md", b"m" * 1_000_000))
    found = read(drive, *[{"file_id": made["file_id"]}] * 6)
    assert [content is not None for _, content in found] == [True] * 4 + [False] * 2


def test_a_folder_is_listed_whole_whatever_is_between(drive: Drive) -> None:
    """Folders with many files stand between its own ones, which are more than one page of any size."""
    own = [f"{number:03}.md" for number in range(100)]
    inner = [f"0{number:02}a/{each}.md" for number in (0, 15, 16, 17, 63, 64, 99) for each in range(20)]
    create(drive, *((path, path.encode()) for path in own + inner))
    items = drive.ok("GET", "folders/root/children", share_id=drive.share)["items"]
    assert [each["name"] for each in items if each["type"] == "file"] == own
    assert {each["name"] for each in items if each["type"] == "folder"} == {path.partition("/")[0] for path in inner}


# The adapter


class CountedWorld(DriveHubWorld):
    """Counts the requests by their paths, without ids."""

    def __init__(self, batch_files: int) -> None:
        self.asked: Counter[str] = Counter()
        super().__init__(batch_files)

    def _handle(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Response:
        self.asked[f"{method} {path.partition('?')[0].removeprefix('/api/v1/')}"] += 1
        return super()._handle(method, path, headers, body)


@pytest.fixture
def world() -> Iterator[CountedWorld]:
    """A hub that takes batches of four files."""
    made = CountedWorld(4)
    yield made
    made.close()


def test_new_files_travel_in_batches_both_ways(world: CountedWorld) -> None:
    """Six files are two requests up and two down; none is requested alone."""
    texts = {f"f/{number}.md": f"text {number}" for number in range(6)}
    answer = world.push(*(world.edit(path, text) for path, text in texts.items()))
    assert [outcome.result for outcome in answer.outcomes] == [Result.APPLIED] * 6
    assert {path: text.decode() for path, text in world.held().items()} == texts
    assert world.asked["POST files/batch"] == 2
    assert world.asked["POST files"] == world.asked["POST sync/apply"] == 0
    for outcome, path in zip(answer.outcomes, texts, strict=True):
        assert (outcome.rev, outcome.remote_id) == world.identity(path)
    world.asked.clear()
    events, _ = world.other().drain()
    assert {each.path: each.content for each in events if isinstance(each, Upsert)} == {
        path: text.encode() for path, text in texts.items()
    }
    assert world.asked["POST files/contents"] == 2
    assert not [each for each in world.asked if "download" in each or "versions" in each]


def test_changes_of_another_machine_come_in_batches(world: CountedWorld) -> None:
    """New and changed files behind the cursor: the newest content of each is read, in as few requests as fit."""
    _, state = world.drain()
    for number in range(6):
        world.put(f"{number}.md", f"old {number}")
        world.put(f"{number}.md", f"new {number}")
    world.asked.clear()
    events, _ = world.drain(state)
    found = {each.path: each.content for each in events if isinstance(each, Upsert) and each.content is not None}
    assert found == {f"{number}.md": f"new {number}".encode() for number in range(6)}
    assert world.asked["POST files/contents"] == 2
    assert not [each for each in world.asked if "download" in each or "versions" in each]


def test_a_refused_file_of_a_batch_is_sent_alone(world: CountedWorld) -> None:
    """The name is taken: that one is a conflict, the others are applied."""
    world.put("b.md", "theirs")
    answer = world.push(world.edit("a.md", "a"), world.edit("b.md", "ours"), world.edit("c.md", "c"))
    found = {outcome.operation_id: outcome.result for outcome in answer.outcomes}
    assert sorted(result.value for result in found.values()) == ["applied", "applied", "conflict"]
    assert world.held() == {"a.md": b"a", "b.md": b"theirs", "c.md": b"c"}


def test_a_hub_that_takes_no_batches_any_more_is_served(world: CountedWorld) -> None:
    """It was replaced by an older one while the agent ran: every file goes its own way."""
    world.push(world.edit("first.md", "1"))
    world.context = replace(world.context, batch_files=0)
    world._face = type(world._face)(world.context, world._face._limits)
    answer = world.push(world.edit("a.md", "a"), world.edit("b.md", "b"))
    assert [outcome.result for outcome in answer.outcomes] == [Result.APPLIED] * 2
    assert world.asked["POST files"] == 3
