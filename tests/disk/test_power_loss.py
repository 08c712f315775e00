"""Moves, downloads and copies over a power loss at any call: a reported change is durable, and nothing is lost."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from agent.core.model import ApplyOutcome, Intent, Purpose
from agent.core.supply import FromFolder, Staged, Supply
from agent.disk.apply.downloads import LiveDownloads
from agent.disk.fs.protocol import FileType, SwapPrimitive
from disk.fixtures import NOW, Crash, Room, crash_at, open_room, sha, transfer
from simulation.memory_fs import Disk
from simulation.simfs import SimFs

TEXT, OLD = b"the text, long enough for two pieces\n", b"old text\n"
DOWN = transfer("new.md", TEXT)
LIVE = LiveDownloads.of_transfers([DOWN])
ID = "00000000000000aa"
JOBS: dict[str, tuple[Intent, Supply]] = {
    "move": (Intent(ID, "e/new.md", sha(TEXT), None, Purpose.PULL, "d/old.md"), FromFolder("d/old.md")),
    "copy": (Intent(ID, "e/new.md", sha(TEXT), None, Purpose.PULL), FromFolder("d/old.md")),
    "download": (Intent(ID, "new.md", sha(TEXT), None, Purpose.PULL), Staged(DOWN.id)),
    "replacement": (Intent(ID, "new.md", sha(TEXT), sha(OLD), Purpose.PULL), Staged(DOWN.id)),
}


def machine(swap: SwapPrimitive, job: str) -> SimFs:
    """A disk with the linked folder, the state folder and the files that the job needs, all durable."""
    fs = SimFs(lambda: NOW, Disk(swap))
    root, state, folder = (fs.new_node(FileType.FOLDER, 0o755) for _ in range(3))
    fs.change((fs.top, "root", root), (fs.top, "state", state), (root, "d", folder))
    for content, place, name in ((TEXT, folder, "old.md"), (OLD, root, "new.md")):
        node = fs.new_node(FileType.FILE, 0o644)
        node.data = node.durable = content
        node.user = True
        if name == "old.md" or job == "replacement":
            fs.change((place, name, node))
    fs.settle()
    return fs


def opened(fs: SimFs) -> Room:
    return open_room(Path("/root"), Path("/state"), fs)


def files(fs: SimFs) -> dict[str, bytes]:
    return {path.removeprefix("root/"): node.data for path, node in fs.files() if path.startswith("root/")}


def check(fs: SimFs, name: str, landing: ApplyOutcome) -> None:
    """Checks what is on the disk after the recovery."""
    now = files(fs)
    done = landing is ApplyOutcome.DONE
    beside = [node.data for path, node in fs.files() if path.startswith("state/")]
    if name == "move":
        assert now == {"e/new.md" if done else "d/old.md": TEXT}
    elif name == "copy":
        assert now == {"d/old.md": TEXT} | ({"e/new.md": TEXT} if done else {})
    else:
        before = {"new.md": OLD} if name == "replacement" else {}
        assert now == {"d/old.md": TEXT} | ({"new.md": TEXT} if done else before)
        # The download was finished, so its bytes are never fetched again.
        assert done or TEXT in beside
        assert not done or name == "download" or OLD in beside
    assert fs.wrongs == []
    assert fs.destroyed == {}


@pytest.mark.parametrize("swap", SwapPrimitive)
@pytest.mark.parametrize("name", JOBS)
def test_a_power_loss_at_any_call_loses_nothing(name: str, swap: SwapPrimitive) -> None:
    for number in range(1, 200):
        crashed = False
        for seed in range(4):
            fs = machine(swap, name)
            room = opened(fs)
            if name in {"download", "replacement"}:
                room.fetch(DOWN, TEXT, 20)
                fs.fsync_dir(room.trash.staging)
            before = crash_at(number)
            fs.before = lambda primitive, before=before: before(primitive, ())
            landing: ApplyOutcome | None = None
            try:
                landing = room.installer.apply([JOBS[name]], NOW)[0].landing
            except Crash:
                crashed = True
            fs.before = None
            fs.lose_power(random.Random(seed))
            intent = JOBS[name][0]
            again = opened(fs).installer.recover([intent], NOW, LIVE)[0].landing
            # A result of DONE is durable on return.
            assert landing in {None, again}
            check(fs, name, again)
            fs.lose_power(random.Random(seed))
            room = opened(fs)
            assert room.installer.recover([intent], NOW, LIVE)[0].landing is again
            check(fs, name, again)
            room.installer.release([ID])
            assert set(room.staging()) <= {f"{DOWN.id}.down"}
            room.close()
        if not crashed:
            assert number > 8
            return
    pytest.fail("there are more calls than were tried")


@pytest.mark.parametrize("swap", SwapPrimitive)
def test_a_power_loss_in_a_download_keeps_a_beginning(swap: SwapPrimitive) -> None:
    """The bytes that survive are hashed, so a download that goes on ends with the promised bytes."""
    for number in range(1, 40):
        for seed in range(4):
            fs = machine(swap, "download")
            room = opened(fs)
            room.staging()
            before = crash_at(number)
            fs.before = lambda primitive, before=before: before(primitive, ())
            crashed = False
            try:
                room.fetch(DOWN, TEXT, 10)
            except Crash:
                crashed = True
            fs.before = None
            fs.lose_power(random.Random(seed))
            room = opened(fs)
            room.installer.recover([], NOW, LIVE)
            room.fetch(DOWN, TEXT, 10)
            found = room.downloads.verify(DOWN.id)
            assert found is not None
            assert found.sha256 == DOWN.hash
            room.close()
        if not crashed:
            return
    pytest.fail("there are more calls than were tried")
