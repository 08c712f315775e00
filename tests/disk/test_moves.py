"""Moves: a file gets its new path and keeps its inode, or it is where it was; never lost, and never there twice."""

from __future__ import annotations

import errno
import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from agent.core.errors import DiskError
from agent.core.model import ApplyOutcome, ApplyResult, Intent, Purpose
from agent.core.supply import FromFolder, Inline, Supply
from agent.disk.apply import moves
from agent.disk.scan.observe import observe_path
from disk.fixtures import NOW, Crash, Room, WithoutExchange, WrappedFs, age, crash_at, inline, intent, open_room, sha
from support.folding import FoldingFs
from support.mounts import tmpfs_mounted

TEXT, OLD, MINE = b"the moved text\n", b"another text\n", b"the user's own text\n"
KINDS = [WrappedFs, WithoutExchange]
OLD_PATH, NEW_PATH = "d/old.md", "e/f/new.md"


def moving(origin: str = OLD_PATH, path: str = NEW_PATH, text: bytes = TEXT, number: int = 1) -> Intent:
    return Intent(f"00000000000000aa_{number}", path, sha(text), None, Purpose.PULL, origin)


def move(room: Room, job: Intent) -> ApplyResult:
    return room.installer.apply([(job, FromFolder(job.origin or ""))], NOW)[0]


def make(folder: Path, path: str = OLD_PATH, text: bytes = TEXT) -> Path:
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_bytes(text)
    return folder / path


def clear(*tops: Path) -> None:
    for path in sorted((path for top in tops for path in top.rglob("*")), reverse=True):
        if not path.is_dir() or path.is_symlink():
            path.unlink()
        elif path.is_relative_to(tops[0]):
            path.rmdir()


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def each_crash_point(run: Callable[[int], bool]) -> None:
    for number in range(1, 200):
        if not run(number):
            assert number > 8
            return
    pytest.fail("there are more calls than were tried")


def crashes(room: Room, number: int, action: Callable[[], object]) -> bool:
    """Ends the process at the given call of an action; False if the action was through before."""
    assert isinstance(room.fs, WrappedFs)
    room.fs.before = crash_at(number)
    try:
        action()
    except Crash:
        return True
    finally:
        room.fs.before = None
        room.close()
    return False


def test_a_moved_file_is_the_same_file(room: Room) -> None:
    """Inode, times, mode and open handles stay; nothing is copied, and nothing goes to the trash."""
    path = make(room.folder)
    path.chmod(0o640)
    age(path)
    before = path.stat()
    job = moving()
    with path.open("rb") as held:
        landed = move(room, job)
        assert held.read() == TEXT
    assert landed.landing is ApplyOutcome.DONE
    after = (room.folder / NEW_PATH).stat()
    assert (after.st_ino, after.st_mtime_ns, after.st_mode) == (before.st_ino, before.st_mtime_ns, before.st_mode)
    assert files(room.folder) == {NEW_PATH: TEXT}
    assert not (room.folder / "d").exists()
    assert landed.seen is not None
    assert landed.seen == structs.replace(observe_path(room.root, room.selection, NEW_PATH), born_ns=None)
    assert list(room.trash.entries()) == []
    room.installer.release([job.id])
    assert room.staging() == []


def prepare(folder: Path, outside: Path, case: str) -> Intent:  # noqa: PLR0912
    """Makes a folder in which a move cannot be made, and returns the move."""
    path, job = make(folder), moving()
    new = folder / NEW_PATH
    match case:
        case "missing":
            path.unlink()
        case "no_folder":
            path.unlink()
            path.parent.rmdir()
        case "edited":
            path.write_bytes(MINE)
        case "a_folder":
            path.unlink()
            make(folder, f"{OLD_PATH}/x.md")
        case "a_link":
            path.unlink()
            path.symlink_to(outside)
        case "below_a_link":
            path.unlink()
            path.parent.rmdir()
            path.parent.symlink_to(outside.parent)
        case "new_path_in_use":
            make(folder, NEW_PATH, MINE)
        case "same_text_at_both":
            make(folder, NEW_PATH)
        case "a_link_at_the_new_path":
            new.parent.mkdir(parents=True)
            new.symlink_to(outside)
        case "a_full_folder_there":
            make(folder, f"{NEW_PATH}/x.md", MINE)
        case "a_file_above_it":
            make(folder, "e", MINE)
        case "a_link_above_it":
            (folder / "e").symlink_to(outside.parent)
        case "unsafe_new_path":
            job = moving(path="../new.md")
        case "unsafe_old_path":
            job = moving(origin="../outside/old.md")
        case "not_selected":
            job = moving(path="new.png")
        case "from_a_path_not_selected":
            make(folder, "old.png")
            job = moving(origin="old.png")
        case "with_an_expected_file":
            job = structs.replace(job, expected=sha(OLD))
        case _:
            job = structs.replace(job, new=None)
    return job


@pytest.mark.parametrize(
    ("case", "outcome"),
    [
        ("missing", ApplyOutcome.CHANGED),
        ("no_folder", ApplyOutcome.CHANGED),
        ("edited", ApplyOutcome.CHANGED),
        ("a_folder", ApplyOutcome.CHANGED),
        ("a_link", ApplyOutcome.CHANGED),
        ("below_a_link", ApplyOutcome.CHANGED),
        ("new_path_in_use", ApplyOutcome.CHANGED),
        ("same_text_at_both", ApplyOutcome.CHANGED),
        ("a_link_at_the_new_path", ApplyOutcome.CHANGED),
        ("a_full_folder_there", ApplyOutcome.BLOCKED),
        ("a_file_above_it", ApplyOutcome.BLOCKED),
        ("a_link_above_it", ApplyOutcome.UNSAFE),
        ("unsafe_new_path", ApplyOutcome.UNSAFE),
        ("unsafe_old_path", ApplyOutcome.UNSAFE),
        ("not_selected", ApplyOutcome.OUT_OF_SCOPE),
        ("from_a_path_not_selected", ApplyOutcome.CHANGED),
        ("with_an_expected_file", ApplyOutcome.CHANGED),
        ("without_a_hash", ApplyOutcome.CHANGED),
    ],
)
def test_what_is_unexpected_stays_where_it_is(room: Room, tmp_path: Path, case: str, outcome: ApplyOutcome) -> None:
    outside = make(tmp_path, "outside/old.md")
    job = prepare(room.folder, outside, case)
    before = files(room.folder)
    landed = move(room, job)
    assert landed.landing is outcome
    assert landed.text
    assert files(room.folder) == before
    assert outside.read_bytes() == TEXT
    assert list(room.trash.entries()) == []
    room.installer.release([job.id])
    assert room.staging() == []


def test_a_file_that_was_moved_before_is_done(room: Room) -> None:
    """By the user, or by the agent before its index was restored."""
    path = make(room.folder, NEW_PATH)
    inode = path.stat().st_ino
    landed = move(room, moving())
    assert landed.landing is ApplyOutcome.DONE
    assert landed.seen is not None
    assert landed.seen.side.hash == sha(TEXT)
    assert path.stat().st_ino == inode


def test_an_empty_folder_gives_way_to_a_moved_file(room: Room) -> None:
    make(room.folder)
    (room.folder / NEW_PATH).mkdir(parents=True)
    assert move(room, moving()).landing is ApplyOutcome.DONE
    assert files(room.folder) == {NEW_PATH: TEXT}


def test_a_chain_of_moves_is_made_in_the_order_given(room: Room) -> None:
    """Each file makes room for the next; a new file may come to the first path in the same group."""
    for name in "abc":
        make(room.folder, f"{name}.md", name.encode())
    jobs: list[tuple[Intent, Supply]] = [
        (moving(f"{old}.md", f"{new}.md", old.encode(), number), FromFolder(f"{old}.md"))
        for number, (old, new) in enumerate([("c", "d"), ("b", "c"), ("a", "b")])
    ]
    jobs.append((structs.replace(intent("a.md", TEXT, None), id="00000000000000aa_9"), Inline(TEXT)))
    assert {landed.landing for landed in room.installer.apply(jobs, NOW)} == {ApplyOutcome.DONE}
    assert files(room.folder) == {"a.md": TEXT, "b.md": b"a", "c.md": b"b", "d.md": b"c"}


def test_a_removal_makes_room_for_a_move(room: Room) -> None:
    make(room.folder)
    make(room.folder, "e", OLD)
    jobs: list[tuple[Intent, Supply]] = [(moving(), FromFolder(OLD_PATH)), *inline([(intent("e", None, OLD), b"")])]
    landed = room.installer.apply(jobs, NOW)
    # A name without an ending is not selected, so it is not removed, and it blocks the move.
    assert [one.landing for one in landed] == [ApplyOutcome.BLOCKED, ApplyOutcome.OUT_OF_SCOPE]
    (room.folder / "e").unlink()
    make(room.folder, "e.md", OLD)
    jobs = [(moving(path="e.md/x.md"), FromFolder(OLD_PATH)), *inline([(intent("e.md", None, OLD), b"")])]
    assert {one.landing for one in room.installer.apply(jobs, NOW)} == {ApplyOutcome.DONE}
    assert files(room.folder) == {"e.md/x.md": TEXT}


def test_a_change_of_case_is_a_move(folder: Path, state: Path) -> None:
    """On a disk that takes both names for one, the file gets the new spelling; another file there blocks it."""
    fs: Any = FoldingFs()
    room = open_room(folder, state, fs)
    make(folder, "notes.md")
    inode = (folder / "notes.md").stat().st_ino
    assert move(room, moving("notes.md", "Notes.md")).landing is ApplyOutcome.DONE
    assert os.listdir(folder) == ["Notes.md"]
    assert (folder / "Notes.md").stat().st_ino == inode
    make(folder, "Other.md", MINE)
    landed = move(room, moving("Notes.md", "other.md", number=2))
    assert (landed.landing, landed.text) == (
        ApplyOutcome.BLOCKED,
        "'Other.md' is there, and this disk takes the two names for the same",
    )
    assert move(room, moving("notes.md", "third.md", number=3)).landing is ApplyOutcome.CHANGED
    assert files(folder) == {"Notes.md": TEXT, "Other.md": MINE}
    room.close()


@pytest.mark.parametrize("side", ["old", "new"])
def test_a_move_across_a_mount_is_left_to_a_copy(room: Room, side: str) -> None:
    """CHANGED with its reason; the copy and the removal are two intents."""
    (room.folder / "disk").mkdir()
    with tmpfs_mounted(room.folder / "disk"):
        old, new = ("disk/old.md", "new.md") if side == "old" else ("old.md", "disk/new.md")
        make(room.folder, old)
        landed = move(room, moving(old, new))
        assert (landed.landing, landed.text) == (
            ApplyOutcome.CHANGED,
            "a file cannot be moved to or from another file system; it must be copied",
        )
        assert files(room.folder) == {old: TEXT}
        assert room.staging() == []
        if side == "old":
            (copied,) = room.installer.apply([(intent(new, TEXT, None, 7), FromFolder(old))], NOW)
            assert copied.landing is ApplyOutcome.DONE


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("failing", ["rename", "rename_noreplace", "link", "create", "mkdir", "open_file"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_disk_that_refuses_leaves_the_file_where_it_was(
    folder: Path, state: Path, kind: type[WrappedFs], failing: str, code: int
) -> None:
    fs = kind()
    room = open_room(folder, state, fs)
    room.staging()
    make(folder)
    refusals = 0

    def refuse(name: str, args: tuple[Any, ...]) -> None:
        nonlocal refusals
        # The way back to the old path is open.
        if name == failing and args[-1] != "old.md":
            refusals += 1
            raise OSError(code, os.strerror(code))

    fs.before = refuse
    job = moving()
    landed = move(room, job)
    fs.before = None
    if refusals:
        # A file that cannot be read is not known to be the expected one.
        assert landed.landing is (ApplyOutcome.CHANGED if failing == "open_file" else ApplyOutcome.FAILED)
        assert files(folder) == {OLD_PATH: TEXT}
        assert not (folder / "e").exists()
    else:
        assert landed.landing is ApplyOutcome.DONE
    room.installer.release([job.id])
    assert room.staging() == []
    room.close()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("at_origin", [TEXT, MINE])
def test_a_crash_leaves_the_file_at_one_of_its_paths(
    folder: Path, state: Path, kind: type[WrappedFs], at_origin: bytes
) -> None:
    """At any call of the move, and of the recovery after it; a second recovery says the same."""

    def run(number: int, second: int) -> bool:
        clear(folder, state)
        make(folder, OLD_PATH, at_origin)
        fs = kind()
        room = open_room(folder, state, fs)
        job = moving()
        crashed = crashes(room, number, lambda: move(room, job))
        again = open_room(folder, state, fs)
        crashes(again, second, lambda: again.installer.recover([job], NOW))
        room = open_room(folder, state, fs)
        (landed,) = room.installer.recover([job], NOW)
        assert files(folder) == {NEW_PATH if landed.landing is ApplyOutcome.DONE else OLD_PATH: at_origin}
        assert landed.landing is ApplyOutcome.CHANGED or at_origin == TEXT
        assert room.installer.recover([job], NOW)[0].landing is landed.landing
        room.installer.release([job.id])
        assert room.staging() == []
        assert list(room.trash.entries()) == []
        room.close()
        return crashed

    for second in (4, 9, 1000):
        each_crash_point(functools.partial(run, second=second))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("where", [OLD_PATH, NEW_PATH])
@pytest.mark.parametrize("replaced", [False, True])
def test_an_edit_after_the_crash_survives_beside_the_file(
    folder: Path, state: Path, kind: type[WrappedFs], where: str, replaced: bool
) -> None:
    """Both texts are kept, and a move that was made counts as made although the file was edited since."""

    def run(number: int) -> bool:
        clear(folder, state)
        make(folder)
        fs = kind()
        room = open_room(folder, state, fs)
        job = moving()
        crashed = crashes(room, number, lambda: move(room, job))
        was = files(folder)
        if replaced:
            (folder / where).parent.mkdir(parents=True, exist_ok=True)
            (folder / "tmp").write_bytes(MINE)
            (folder / "tmp").replace(folder / where)
        else:
            make(folder, where, MINE)
        room = open_room(folder, state, fs)
        (landed,) = room.installer.recover([job], NOW)
        now = files(folder)
        assert now[where] == MINE
        in_trash = room.trashed()
        # The text that was edited away is the user's own doing; the other one is kept.
        assert TEXT in {*now.values(), *in_trash} or was.get(where) == TEXT
        if was == {NEW_PATH: TEXT}:
            # Between the link and the unlink of a disk without an exchange, a new file looks like one in the way.
            assert landed.landing is ApplyOutcome.DONE or kind is WithoutExchange
        if where == NEW_PATH and was == {OLD_PATH: TEXT}:
            assert landed.landing is ApplyOutcome.CHANGED
        assert room.installer.recover([job], NOW)[0].landing is landed.landing
        assert files(folder) == now
        room.installer.release([job.id])
        assert room.staging() == []
        room.close()
        return crashed

    each_crash_point(run)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "act", ["save_old", "save_new", "write_old", "delete_old", "folder_old", "folder_new", "rename"]
)
def test_an_act_between_any_two_calls_loses_nothing(folder: Path, state: Path, kind: type[WrappedFs], act: str) -> None:
    """Every text that anybody wrote is at a path or in the trash, and nothing stays in the staging folder."""
    for number in range(1, 200):
        clear(folder, state)
        path = make(folder)
        (folder / "keep.md").write_bytes(b"keep")
        count = 0

        def meddle(*_: Any) -> None:
            nonlocal count
            count += 1
            if count == number:  # noqa: B023
                _act(folder, path, act)  # noqa: B023

        fs = kind()
        room = open_room(folder, state, fs)
        fs.before = meddle
        job = moving()
        try:
            landing = move(room, job).landing
        except DiskError:
            fs.before = None
            landing = room.installer.recover([job], NOW)[0].landing
        fs.before = None
        found = [*files(folder).values(), *room.trashed()]
        reached = count >= number
        if act in {"save_old", "save_new"} and reached:
            assert MINE in found
        # A text that the user writes over is not the agent's to keep.
        written_over = (
            landing is ApplyOutcome.DONE if act == "save_new" else act in {"delete_old", "write_old", "save_old"}
        )
        assert written_over or TEXT in found
        assert found.count(TEXT) <= 1
        if landing is ApplyOutcome.DONE and act not in {"write_old", "save_old"}:
            assert (folder / NEW_PATH).exists() or act == "rename"
        room.installer.release([job.id])
        assert room.staging() == []
        room.close()
        if not reached:
            assert number > 8
            return
    pytest.fail("there are more calls than were tried")


def _act(folder: Path, path: Path, act: str) -> None:
    """One thing that a user does in the folder."""
    match act:
        case "save_old" | "save_new":
            target = path if act == "save_old" else folder / NEW_PATH
            target.parent.mkdir(parents=True, exist_ok=True)
            (folder / "tmp").write_bytes(MINE)
            (folder / "tmp").replace(target)
        case "write_old" if path.exists():
            with path.open("r+b") as file:
                file.write(MINE)
        case "delete_old":
            path.unlink(missing_ok=True)
        case "folder_old":
            # The emptied folder is removed while its file is away.
            if path.parent.is_dir() and not any(path.parent.iterdir()):
                path.parent.rmdir()
        case "folder_new":
            (folder / NEW_PATH).mkdir(parents=True, exist_ok=True) if not (folder / NEW_PATH).exists() else None
        case "rename" if path.parent.is_dir():
            path.parent.rename(folder / "renamed")


def test_a_file_without_any_folder_goes_to_the_trash(folder: Path, state: Path) -> None:
    """A crash with the file in the staging folder, then both folders go: it is kept under its old path."""
    fs = WrappedFs()
    room = open_room(folder, state, fs)
    make(folder)

    def die(name: str, args: tuple[Any, ...]) -> None:
        if name == "create" and str(args[1]).endswith(".moved"):
            raise Crash

    fs.before = die
    job = moving()
    with pytest.raises(Crash):
        move(room, job)
    fs.before = None
    room.close()
    clear(folder)
    room = open_room(folder, state, fs)
    assert room.installer.recover([job], NOW)[0].landing is ApplyOutcome.CHANGED
    (entry,) = room.trash.entries()
    assert (entry.path, entry.hash, entry.id) == (OLD_PATH, sha(TEXT), job.id)
    assert room.installer.recover([job], NOW)[0].landing is ApplyOutcome.CHANGED
    assert room.staging() == []
    room.close()


@pytest.mark.parametrize(("seconds", "order"), [(60, ["read", "rename"]), (0, ["read", "rename", "read"])])
def test_a_large_file_is_read_while_it_is_in_the_folder(
    folder: Path, state: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, order: list[str]
) -> None:
    """It does not vanish while it is read. A file written a moment ago is read again, out of the user's reach."""
    monkeypatch.setattr(moves, "HELD", 4)
    calls: list[str] = []
    fs = WrappedFs(lambda name, _: calls.append(name) if name in {"read", "rename"} else None)
    room = open_room(folder, state, fs)
    age(make(folder), seconds)
    landed = move(room, moving())
    assert landed.landing is ApplyOutcome.DONE
    assert calls == order
    assert landed.seen == structs.replace(observe_path(room.root, room.selection, NEW_PATH), born_ns=None)
    make(folder, OLD_PATH, MINE)
    calls.clear()
    assert move(room, moving(path="g.md", number=2)).landing is ApplyOutcome.CHANGED
    assert calls == ["read"]
    room.close()


def test_a_large_file_edited_before_the_rename_goes_back(
    folder: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its stat differs from that of the bytes that were read."""
    monkeypatch.setattr(moves, "HELD", 4)
    path = make(folder)
    age(path)

    def edit(name: str, _: tuple[Any, ...]) -> None:
        if name == "rename":
            path.write_bytes(MINE)
            age(path, 30)

    fs = WrappedFs()
    room = open_room(folder, state, fs)
    fs.before = edit
    assert move(room, moving()).landing is ApplyOutcome.CHANGED
    fs.before = None
    assert files(folder) == {OLD_PATH: MINE}
    assert room.staging() == []
    room.close()
