"""A scan tells every difference between the folder and what was known, in order, and nothing else."""

from __future__ import annotations

import os
import shutil
import traceback
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.errors import RootError
from agent.core.model import IndexedFile, Observation, Presence, Reason, SkippedEntry
from agent.disk.scan.walk import scan
from agent.disk.selection.rules import Rules
from disk.fixtures import Room, WrappedFs, age, needs_root, open_room, remember, sha
from disk.test_root import FoldingFs
from support.network_paths import open_the_way_to


def everything(
    room: Room, known: list[IndexedFile] | None = None, batch_size: int = 1000
) -> tuple[list[Observation], list[SkippedEntry]]:
    seen: list[Observation] = []
    oddities: list[SkippedEntry] = []
    for batch in scan(room.root, room.selection, known or [], batch_size=batch_size):
        assert len(batch.seen) <= batch_size
        assert len(batch.skipped) <= batch_size
        seen += batch.seen
        oddities += batch.skipped
    return seen, oddities


def write(room: Room, *paths: str) -> None:
    for path in paths:
        (room.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (room.folder / path).write_bytes(path.encode())
        age(room.folder / path)


def as_nobody(work: Callable[[], None]) -> None:
    """Runs ``work`` in a child that root's rights do not help."""
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


@pytest.mark.parametrize("later", [0, 1])
def test_a_file_rewritten_during_its_first_scan_is_seen_again(folder: Path, state: Path, later: int) -> None:
    """With another text of the same length, right before its bytes are read or right after: whatever was taken for its
    text, the stat beside it is of the moment before, so the next look at it is not spared, and finds what is there.
    """
    for name in ("a.md", "b.md"):
        (folder / name).write_bytes(b"text")
        age(folder / name)
    calls: list[str] = []

    def rewrite(name: str, _: tuple[Any, ...]) -> None:
        calls.append(name)
        if calls.count("read") == 1 and calls[-1 - later] == "read":
            (folder / "a.md").write_bytes(b"TEXT")
            age(folder / "a.md")

    fs = WrappedFs()
    room = open_room(folder, state, fs)
    fs.before = rewrite
    first, _ = everything(room)
    fs.before = None
    assert (folder / "a.md").read_bytes() == b"TEXT"
    second, _ = everything(room, [remember(seen) for seen in first])
    assert [(seen.path, seen.side.hash) for seen in second] == [("a.md", sha(b"TEXT"))]
    room.close()


def test_paths_come_in_the_order_of_their_code_points(room: Room) -> None:
    write(
        room, "a.md", "a/b.md", "a-b.md", "a!/x.md", "a0.md", "a/b/c.md", "a/b.x.md", "é.md", "日.md", "\U0001f600.md"
    )
    seen, _ = everything(room)
    assert [found.path for found in seen] == sorted(found.path for found in seen)
    assert len(seen) == 10


@settings(max_examples=30, deadline=None)
@given(
    st.sets(st.lists(st.sampled_from(["a", "b", "a-", "a!", "z", "é"]), min_size=1, max_size=4).map(tuple), max_size=12)
)
def test_any_tree_is_walked_in_order_and_rescans_find_nothing(
    tmp_path_factory: pytest.TempPathFactory, trees: set[tuple[str, ...]]
) -> None:
    """Any tree is walked in order and a second scan finds nothing."""
    base = tmp_path_factory.mktemp("tree")
    (base / "root").mkdir()
    (base / "state").mkdir()
    room = open_room(base / "root", base / "state")
    write(room, *("/".join(parts) + ".md" for parts in trees))
    seen, oddities = everything(room)
    assert [found.path for found in seen] == sorted("/".join(parts) + ".md" for parts in trees)
    assert everything(room, [remember(found) for found in seen]) == ([], [])
    assert oddities == []
    room.close()
    shutil.rmtree(base)


def test_only_differences_are_told(room: Room) -> None:
    write(room, "a.md", "b.md", "d/c.md", "d/e.md")
    known = [remember(found) for found in everything(room)[0]]
    (room.folder / "b.md").write_bytes(b"edited")
    (room.folder / "d/c.md").unlink()
    write(room, "d/d.md")
    seen, _ = everything(room, known)
    assert {found.path: found.side.hash for found in seen} == {
        "b.md": sha(b"edited"),
        "d/c.md": None,
        "d/d.md": sha(b"d/d.md"),
    }
    assert next(found for found in seen if found.path == "d/c.md").side.presence is Presence.ABSENT


def test_batches_keep_their_size_and_lose_nothing(room: Room) -> None:
    write(room, *(f"{number:03}.md" for number in range(57)))
    seen, _ = everything(room, batch_size=10)
    assert len(seen) == 57


def test_known_paths_out_of_order_are_refused(room: Room) -> None:
    write(room, "a.md", "b.md")
    known = [remember(found) for found in everything(room)[0]]
    with pytest.raises(ValueError, match="not sorted"):
        everything(room, known[::-1])


def test_an_exclude_over_synced_files_means_out_of_scope(room: Room, state: Path) -> None:
    """An exclude over synced files makes them out of scope and not absent."""
    write(room, "a.md", "d/b.md")
    known = [remember(found) for found in everything(room)[0]]
    narrowed = open_room(room.folder, state, rules=Rules(exclude=("d/",)))
    seen, _ = everything(narrowed, known)
    assert [(found.path, found.side.presence) for found in seen] == [("d/b.md", Presence.OUT_OF_SCOPE)]
    narrowed.close()


def test_an_edited_ignore_file_changes_the_next_scans_scope(room: Room) -> None:
    """An edited ignore file changes the scope of the next scan."""
    write(room, "a.md", "b.md")
    known = [remember(found) for found in everything(room)[0]]
    (room.folder / ".gitignore").write_text("b.md\n")
    seen, _ = everything(room, known)
    assert [(found.path, found.side.presence) for found in seen] == [("b.md", Presence.OUT_OF_SCOPE)]


def test_file_folder_and_link_swaps_are_seen_as_they_are(room: Room, tmp_path: Path) -> None:
    """File folder and link turned into each other are seen as what they are."""
    write(room, "file.md", "folder.md/x.md", "link.md")
    known = [remember(found) for found in everything(room)[0]]
    (room.folder / "file.md").unlink()
    write(room, "file.md/inside.md")
    shutil.rmtree(room.folder / "folder.md")
    write(room, "folder.md")
    (room.folder / "link.md").rename(tmp_path / "elsewhere.md")
    (room.folder / "link.md").symlink_to(tmp_path / "elsewhere.md")
    seen, oddities = everything(room, known)
    assert {found.path: found.side.presence for found in seen} == {
        "file.md": Presence.ABSENT,
        "file.md/inside.md": Presence.FILE,
        "folder.md": Presence.FILE,
        "folder.md/x.md": Presence.ABSENT,
        "link.md": Presence.OUT_OF_SCOPE,
    }
    assert [(oddity.raw_path, oddity.reason) for oddity in oddities] == [("link.md", Reason.LINK)]


def test_links_out_and_loops_are_not_walked(room: Room, tmp_path: Path) -> None:
    write(room, "a/a.md")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/s.md").write_text("secret")
    (room.folder / "out").symlink_to(tmp_path / "secret")
    (room.folder / "a/up").symlink_to("..")
    assert [found.path for found in everything(room)[0]] == ["a/a.md"]


def test_entries_that_can_never_be_synced_are_oddities(room: Room) -> None:
    write(room, "ok.md")
    with open(os.fsencode(room.folder) + b"/bad\xff.md", "wb"):
        pass
    os.mkfifo(room.folder / "pipe.md")
    seen, oddities = everything(room)
    assert [found.path for found in seen] == ["ok.md"]
    assert {(oddity.raw_path, oddity.reason) for oddity in oddities} == {
        ("bad\udcff.md", Reason.BAD_NAME),
        ("pipe.md", Reason.SPECIAL),
    }


def test_odd_but_legal_names_are_files_like_any_other(room: Room) -> None:
    write(room, "CON.md", "a..md", "a b:c.md", "x" * 252 + ".md")
    assert all(found.side.reason is None for found in everything(room)[0])
    write(room, "new\nline.md")
    assert [(found.path, found.side.reason) for found in everything(room)[0] if found.side.reason] == [
        ("new\nline.md", Reason.BAD_NAME)
    ]


def test_twins_on_a_folding_disk_are_reported_once(folder: Path, state: Path) -> None:
    (folder / "A.md").write_text("1")
    (folder / "a.md").write_text("2")
    (folder / "z").mkdir()
    (folder / "z/Q.md").write_text("3")
    room = open_room(folder, state, FoldingFs())
    room.root._case_insensitive = True
    seen, oddities = everything(room)
    assert [found.path for found in seen] == ["A.md", "z/Q.md"]
    assert [(oddity.raw_path, oddity.reason) for oddity in oddities] == [("a.md", Reason.NAME_TWIN)]
    room.close()


def test_a_cloud_stub_makes_its_file_unknown_and_never_absent(room: Room) -> None:
    write(room, "a.md", "b.md")
    known = [remember(found) for found in everything(room)[0]]
    (room.folder / "a.md").rename(room.folder / ".a.md.icloud")
    (room.folder / ".new.md.icloud").write_text("stub")
    seen, _ = everything(room, known)
    assert [(found.path, found.side.presence) for found in seen] == [
        ("a.md", Presence.UNKNOWN),
        ("new.md", Presence.UNKNOWN),
    ]


@needs_root
@pytest.mark.parametrize("mode", [0o000, 0o400, 0o100])
def test_files_below_an_unreadable_folder_are_unknown(room: Room, mode: int, tmp_path: Path) -> None:
    """Files below an unreadable folder are unknown and never absent."""
    write(room, "a.md", "shut/b.md", "shut/deep/c.md", "z.md")
    known = [remember(found) for found in everything(room)[0]]
    open_the_way_to(tmp_path / "root")
    (room.folder / "shut").chmod(mode)

    def work() -> None:
        with open_room(room.folder, room.state).root as root:
            seen = [found for batch in scan(root, room.selection, known) for found in batch.seen]
            assert all(found.side.presence is not Presence.ABSENT for found in seen)
            unknown = {found.path for found in seen if found.side.reason is Reason.UNREADABLE}
            assert unknown == {"shut/b.md", "shut/deep/c.md"} or mode == 0o100
            oddities = [oddity for batch in scan(root, room.selection, known) for oddity in batch.skipped]
            assert "shut" in {oddity.raw_path for oddity in oddities} or mode == 0o400

    as_nobody(work)


@needs_root
def test_an_unreadable_file_is_unknown(room: Room, tmp_path: Path) -> None:
    write(room, "a.md", "b.md")
    open_the_way_to(tmp_path / "root")
    (room.folder / "a.md").chmod(0)

    def work() -> None:
        seen, _ = everything(open_room(room.folder, room.state))
        assert [(found.path, found.side.reason) for found in seen] == [("a.md", Reason.UNREADABLE), ("b.md", None)]

    as_nobody(work)


def test_a_root_that_vanishes_ends_the_scan_with_an_error(room: Room, tmp_path: Path) -> None:
    write(room, *(f"{number}.md" for number in range(10)))
    batches = scan(room.root, room.selection, [], batch_size=3)
    next(batches)
    room.folder.rename(tmp_path / "moved")
    with pytest.raises(RootError):
        list(batches)


def test_folders_out_of_scope_are_not_even_opened(folder: Path, state: Path) -> None:
    opened: list[str] = []
    room = open_room(
        folder, state, WrappedFs(lambda name, args: opened.append(args[1]) if name == "open_dir" else None)
    )
    write(room, "a/a.md", "node_modules/b.md", ".git/c.md")
    everything(room)
    assert set(opened) == {"a"}
    room.close()


def test_an_abandoned_scan_gives_its_handles_back(room: Room) -> None:
    write(room, "a/b/c.md", "a/b/d.md")
    before = len(os.listdir("/dev/fd"))
    batches = scan(room.root, room.selection, [], batch_size=1)
    next(batches)
    assert isinstance(batches, Generator)
    batches.close()
    assert len(os.listdir("/dev/fd")) == before


def test_a_batch_that_is_full_goes_on_where_it_stopped(room: Room) -> None:
    """Deleted, new and unreadable names between the same two files come in batches of one, each once and in order."""
    write(room, "a.md", "b.md", "c.md", "d/e.md", "m.md", "z.md")
    known = [remember(found) for found in everything(room)[0]]
    for gone in ("b.md", "c.md", "d/e.md"):
        (room.folder / gone).unlink()
    write(room, "l.md", "n.md")
    (room.folder / "la.md").symlink_to("a.md")
    (room.folder / "lb.md").symlink_to("a.md")
    seen, oddities = everything(room, known, batch_size=1)
    assert [found.path for found in seen] == ["b.md", "c.md", "d/e.md", "l.md", "n.md"]
    assert [oddity.raw_path for oddity in oddities] == ["la.md", "lb.md"]


def test_an_unchanged_folder_opens_no_file_and_stats_each_once(folder: Path, state: Path) -> None:
    """Of an unchanged folder no file is opened and each is scanned once."""
    calls: list[str] = []
    room = open_room(folder, state, WrappedFs(lambda name, _: calls.append(name)))
    write(room, *(f"{folder}/{number}.md" for folder in "abc" for number in range(5)))
    known = [remember(found) for found in everything(room)[0]]
    calls.clear()
    assert everything(room, known) == ([], [])
    assert (calls.count("stat"), calls.count("open_file"), calls.count("read")) == (15, 0, 0)
    room.close()


def test_fb5_birth_times_are_of_files_the_index_does_not_know(folder: Path, state: Path) -> None:
    """FB5: a first scan takes none. Later a renamed file keeps its time, and a new file is younger than the old one."""
    calls: list[str] = []
    room = open_room(folder, state, WrappedFs(lambda name, _: calls.append(name)))
    write(room, "a.md", "b.md")
    first, _ = everything(room)
    assert "birth_ns" not in calls and {seen.born_ns for seen in first} == {None}
    (folder / "a.md").rename(folder / "c.md")
    write(room, "d.md")
    found = {seen.path: seen for seen in everything(room, [remember(seen) for seen in first])[0]}
    assert calls.count("birth_ns") == 2
    renamed, new, old = found["c.md"], found["d.md"], first[0].fingerprint
    room.close()
    if renamed.born_ns is None or new.born_ns is None:
        pytest.skip("this file system keeps no birth times")
    assert old is not None and renamed.born_ns <= old.ctime_ns <= new.born_ns


def test_fb5_a_birth_time_is_of_the_inode_that_was_read(folder: Path, state: Path) -> None:
    """FB5: a name that was replaced since has no birth time to tell, and neither has a missing one."""
    room = open_room(folder, state)
    write(room, "a.md")
    inode = (folder / "a.md").stat().st_ino
    assert room.fs.birth_ns(room.root.handle, "a.md", inode + 1) is None
    assert room.fs.birth_ns(room.root.handle, "missing.md", inode) is None
    room.close()
