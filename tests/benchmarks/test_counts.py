"""What is asked of the wire, the disk and the kernel follows the change: counted, not timed."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, Final

import pytest

from benchmarks.conftest import Machines
from benchmarks.machines import until_rest
from benchmarks.measure import run
from benchmarks.tree import Shape, plant, text, texts
from support.servers import HubServer

SHAPE: Final = Shape(files=300, folders=10, size=1024)
FEW: Final = 5
"""Rows and folders of the agent's own, and the folder that was linked."""


def test_each_file_is_sent_once_in_full_batches(machines: Machines, hub: HubServer) -> None:
    """300 new files are 3 pushes of 100 operations; an unchanged folder is none; 7 edits are one push of 7; a machine
    that joins pulls the 300 and pushes nothing back.
    """
    one, other = machines("counted"), machines("joined")
    content = texts(SHAPE, seed=1)
    plant(one.home.folder, content)
    first = one.up_once()
    assert (first["state"], first["pushed"], first["skipped"], first["errors"]) == ("up_to_date", 300, [], [])
    assert one.relay.counted().batches == [100, 100, 100]

    assert one.up_once()["pushed"] == 0
    unchanged = one.relay.counted()
    assert unchanged.batches == []
    assert unchanged.requests < 10

    edited = {SHAPE.path(number): text(number, SHAPE.size, seed=2) for number in range(7)}
    plant(one.home.folder, edited)
    assert one.up_once()["pushed"] == 7
    assert one.relay.counted().batches == [7]

    other.join(first["id"])
    joined = other.relay.counted()
    assert other.home.texts() == content | edited
    assert joined.batches == []
    assert joined.endpoints["file"] == 0
    assert joined.requests < 12
    assert len(hub.hashes(first["id"])) == SHAPE.files


def _look(folder: Path, scratch: Path) -> dict[str, Any]:
    """One look at everything by a process of its own; what it took."""
    words = (folder, scratch / "index.sqlite", scratch / "state", "counted")
    told = run([sys.executable, "-P", Path(__file__).with_name("look.py"), *words]).out
    return dict(json.loads(told))


def _plant_what_nobody_syncs(folder: Path) -> None:
    """Fifty folders of modules, and thirty that an ignore file leaves out, a document in each."""
    for number in range(50):
        plant(folder, {f"node_modules/one-{number}/readme.md": "# Not ours\n"})
    for number in range(30):
        plant(folder, {f"build/part-{number}/page.md": "# Made from others\n"})
    plant(folder, {".gitignore": "build/\n"})


def test_a_scan_opens_only_changed_files_and_needed_folders(tmp_path: Path) -> None:
    """The first look opens each of 300 selected files once; the next one opens none and writes no file's row; after
    an edit the one file is opened. Folders that can hold no selected file are not listed in any of them.
    """
    folder, scratch = tmp_path / "notes", tmp_path / "scratch"
    plant(folder, texts(SHAPE, seed=1))
    old = time.time() - 3600
    for path in texts(SHAPE, seed=1):
        os.utime(folder / path, (old, old))
    _plant_what_nobody_syncs(folder)
    scratch.mkdir()
    folders = len([where for where, _, _ in os.walk(folder) if not {"node_modules", "build"} & {*Path(where).parts}])

    first = _look(folder, scratch)
    assert first["seen"] == SHAPE.files
    assert sorted(first["opened"]) == sorted(Path(path).name for path in texts(SHAPE, seed=1))
    assert folders <= first["listed"] <= folders + FEW

    again = _look(folder, scratch)
    assert (again["seen"], again["opened"]) == (0, [])
    assert again["rows_written"] <= FEW
    assert again["listed"] <= folders + FEW

    plant(folder, {SHAPE.path(7): text(7, SHAPE.size, seed=2)})
    edited = _look(folder, scratch)
    assert (edited["seen"], edited["opened"]) == (1, [Path(SHAPE.path(7)).name])


def _watches(pid: int) -> int:
    """How many inotify watches a process holds."""
    found = 0
    for info in Path(f"/proc/{pid}/fdinfo").iterdir():
        # One that was closed meanwhile watches nothing.
        with contextlib.suppress(FileNotFoundError):
            found += sum(line.startswith("inotify wd:") for line in info.read_text().splitlines())
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="watches are counted where the kernel tells them")
def test_only_folders_that_can_hold_a_selected_file_are_watched(machines: Machines) -> None:
    """Eighty folders that no file is synced from cost no watch; the others, and the folder itself, one each."""
    machine = machines("watched")
    plant(machine.folder, texts(SHAPE, seed=1))
    _plant_what_nobody_syncs(machine.folder)
    machine.up_once()
    folders = {parent for path in texts(SHAPE, seed=1) for parent in Path(path).parents}
    with machine.home.daemon() as daemon:
        until_rest([daemon])
        assert len(folders) <= _watches(daemon.process.pid) <= len(folders) + FEW
