"""What a look at one path finds, and when it opens the file at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from agent.core.accepts import TEXT, Accepts
from agent.core.model import ABSENT, IndexedFile, Observation, Presence, Reason, file_side
from agent.disk.scan.observe import observe_path, observe_paths
from agent.disk.selection.rules import Rules
from disk.fixtures import Room, WrappedFs, age, open_room, remember, sha


def see(room: Room, path: str, known: IndexedFile | None = None, max_bytes: int | None = None) -> Observation:
    return observe_path(room.root, room.selection, path, known, accepts=Accepts(max_bytes=max_bytes))


def counting(folder: Path, state: Path) -> tuple[Room, list[str]]:
    calls: list[str] = []
    fs = WrappedFs(lambda name, _: calls.append(name))
    return open_room(folder, state, fs), calls


def test_a_file_is_known_by_its_hash_and_size(room: Room) -> None:
    (room.folder / "a.md").write_bytes(b"text")
    assert see(room, "a.md").side == file_side(sha(b"text"), 4)


@pytest.mark.parametrize("path", ["gone.md", "gone/too/a.md", "file.md/a.md"])
def test_nothing_at_a_path_or_above_it_is_absent(room: Room, path: str) -> None:
    (room.folder / "file.md").write_bytes(b"x")
    assert see(room, path).side == ABSENT


def test_a_folder_at_a_path_is_no_file(room: Room) -> None:
    (room.folder / "a.md").mkdir()
    assert see(room, "a.md").side == ABSENT


def test_links_and_special_files_are_out_of_scope_with_a_reason(room: Room, tmp_path: Path) -> None:
    """Links and special files are out of scope with their reason."""
    (tmp_path / "secret.md").write_bytes(b"secret")
    (room.folder / "a.md").symlink_to(tmp_path / "secret.md")
    (room.folder / "loop").symlink_to(room.folder)
    os.mkfifo(room.folder / "pipe.md")
    for path, reason in (("a.md", Reason.LINK), ("loop/a.md", Reason.LINK), ("pipe.md", Reason.SPECIAL)):
        side = see(room, path).side
        assert (side.presence, side.reason) == (Presence.OUT_OF_SCOPE, reason)


def test_a_path_the_rules_leave_out_is_out_of_scope(room: Room) -> None:
    (room.folder / "a.png").write_bytes(b"x")
    assert see(room, "a.png").side.presence is Presence.OUT_OF_SCOPE


@pytest.mark.parametrize("path", ["../a.md", "a/../../a.md", "./a.md", "a//b.md", "a\x00.md"])
def test_a_path_that_leaves_the_root_is_never_walked(room: Room, path: str) -> None:
    side = see(room, path).side
    assert (side.presence, side.reason) == (Presence.OUT_OF_SCOPE, Reason.UNSAFE_PATH)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"plain", None),
        (b"", None),
        ("ünï".encode(), None),
        (b"a\x00b", Reason.BINARY),
        (b"x" * 3_000_000 + b"\x00", Reason.BINARY),
        (b"\xff\xfe", Reason.NOT_UTF8),
        ("ü".encode()[:1], Reason.NOT_UTF8),
        (b"x" * ((1 << 20) - 1) + "ü".encode(), None),
    ],
)
def test_a_file_that_cannot_be_sent_is_hashed_and_says_why(room: Room, content: bytes, reason: Reason | None) -> None:
    (room.folder / "a.md").write_bytes(content)
    assert see(room, "a.md").side == file_side(sha(content), len(content), reason)


def test_a_large_file_is_too_large_and_a_large_binary_is_binary(room: Room) -> None:
    (room.folder / "a.md").write_bytes(b"x" * 11)
    (room.folder / "b.md").write_bytes(b"\x00" * 11)
    assert see(room, "a.md", max_bytes=10).side.reason is Reason.TOO_LARGE
    assert see(room, "a.md", max_bytes=11).side.reason is None
    assert see(room, "b.md", max_bytes=11).side.reason is Reason.BINARY
    assert see(room, "b.md", max_bytes=10).side.reason is Reason.TOO_LARGE


def test_a_raised_limit_counts_without_reading_the_file_again(folder: Path, state: Path) -> None:
    (folder / "a.md").write_bytes(b"x" * 11)
    age(folder / "a.md")
    room, calls = counting(folder, state)
    known = remember(see(room, "a.md"))
    calls.clear()
    lowered = see(room, "a.md", known, max_bytes=10)
    assert (lowered.side.reason, lowered.side.hash) == (Reason.TOO_LARGE, known.hash)
    assert see(room, "a.md", remember(lowered), max_bytes=20).side.reason is None
    assert "open_file" not in calls
    room.close()


def test_a_known_file_over_a_lowered_limit_is_still_read(room: Room) -> None:
    """It was in step before. Unread it would be unknown, and never receive the server's versions again."""
    (room.folder / "a.md").write_bytes(b"x" * 11)
    known = remember(see(room, "a.md"))
    assert known.fingerprint is not None and known.fingerprint.racy
    assert see(room, "a.md", known, max_bytes=10).side == file_side(sha(b"x" * 11), 11, Reason.TOO_LARGE)
    (room.folder / "a.md").write_bytes(b"y" * 11)
    assert see(room, "a.md", known, max_bytes=10).side == file_side(sha(b"y" * 11), 11, Reason.TOO_LARGE)
    (room.folder / "a.md").write_bytes(b"x" * 12)
    assert see(room, "a.md", known, max_bytes=10).side.presence is Presence.UNKNOWN


def test_an_unsendable_name_is_reported_with_its_hash(folder: Path, state: Path) -> None:
    (folder / "a\nb.md").write_bytes(b"x")
    room = open_room(folder, state)
    assert see(room, "a\nb.md").side == file_side(sha(b"x"), 1, Reason.BAD_NAME)
    room.close()


def test_an_unchanged_file_is_not_opened(folder: Path, state: Path) -> None:
    (folder / "a.md").write_bytes(b"text")
    age(folder / "a.md")
    room, calls = counting(folder, state)
    first = see(room, "a.md")
    assert first.fingerprint is not None
    assert not first.fingerprint.racy
    calls.clear()
    assert see(room, "a.md", remember(first)) == replace(first, born_ns=None)
    assert "open_file" not in calls
    room.close()


def test_a_racy_file_is_read_again_even_if_its_stat_is_equal(room: Room) -> None:
    path = room.folder / "a.md"
    path.write_bytes(b"text")
    first = see(room, "a.md")
    assert first.fingerprint is not None
    assert first.fingerprint.racy
    stat = path.stat()
    path.write_bytes(b"TEXT")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert see(room, "a.md", remember(first)).side.hash == sha(b"TEXT")


@pytest.mark.parametrize("touch", ["touch", "chmod", "same"])
def test_touch_chmod_and_equal_saves_change_only_the_stat(room: Room, touch: str) -> None:
    """A touch a chmod and an identical save change only the fingerprint."""
    path = room.folder / "a.md"
    path.write_bytes(b"text")
    age(path)
    first = see(room, "a.md")
    if touch == "touch":
        age(path, 30)
    elif touch == "chmod":
        path.chmod(0o600)
    else:
        (room.folder / "tmp").write_bytes(b"text")
        (room.folder / "tmp").rename(path)
    second = see(room, "a.md", remember(first))
    assert second.side == first.side
    assert second.fingerprint != first.fingerprint


def test_a_file_changing_while_read_is_unknown_until_quiet(folder: Path, state: Path) -> None:
    """A file that changes while it is read is unknown until it is quiet."""
    (folder / "a.md").write_bytes(b"text")
    age(folder / "a.md")

    def append(name: str, _: tuple[Any, ...]) -> None:
        if name == "read":
            with (folder / "a.md").open("ab") as file:
                file.write(b"more")

    fs = WrappedFs()
    room = open_room(folder, state, fs)
    fs.before = append
    side = see(room, "a.md").side
    assert (side.presence, side.reason) == (Presence.UNKNOWN, Reason.CHANGING)
    fs.before = None
    assert see(room, "a.md").side.is_file
    room.close()


def test_a_cloud_stub_makes_its_file_unknown(room: Room) -> None:
    (room.folder / ".a.md.icloud").write_bytes(b"stub")
    side = see(room, "a.md").side
    assert (side.presence, side.reason) == (Presence.UNKNOWN, Reason.PLACEHOLDER)


def test_an_error_of_the_disk_is_unknown(folder: Path, state: Path) -> None:
    (folder / "a.md").write_bytes(b"text")

    def fail(name: str, _: tuple[Any, ...]) -> None:
        if name == "read":
            raise OSError(5, "Input/output error")

    room = open_room(folder, state, WrappedFs(fail), Rules())
    seen = see(room, "a.md")
    assert (seen.side.presence, seen.side.reason) == (Presence.UNKNOWN, Reason.UNREADABLE)
    assert "Input/output error" in (seen.text_reason or "")
    room.close()


def test_a_batch_of_paths_is_observed_like_each_path_alone(folder: Path, state: Path, tmp_path: Path) -> None:
    """Many paths are scanned as each alone and their folders walked to once."""
    calls: list[str] = []
    fs = WrappedFs(lambda name, _: calls.append(name))
    room = open_room(folder, state, fs)
    wanted = [f"d/e/{number}.md" for number in range(20)] + ["d/missing.md", "link/x.md", "d/e/x.png", "../x.md"]
    (folder / "d/e").mkdir(parents=True)
    (folder / ".gitignore").write_text("d/e/7.md\n")
    for number in range(20):
        (folder / f"d/e/{number}.md").write_text(f"{number}")
    (folder / "link").symlink_to(tmp_path)
    each = [observe_path(room.root, room.selection, path) for path in wanted]
    calls.clear()
    assert observe_paths(room.root, room.selection, wanted, {}, TEXT) == each
    assert calls.count("open_dir") < 20
    room.close()


def test_paths_seen_in_a_moved_folder_are_observed_again(folder: Path, state: Path, tmp_path: Path) -> None:
    """Paths seen in a moved folder are observed again."""
    fs = WrappedFs()
    room = open_room(folder, state, fs)
    (folder / "d").mkdir()
    for number in range(4):
        (folder / f"d/{number}.md").write_text(f"{number}")
    opened = 0

    def move_it_away(name: str, _: tuple[Any, ...]) -> None:
        nonlocal opened
        opened += name == "open_file"
        if name == "open_file" and opened == 3:
            (folder / "d").rename(tmp_path / "away")

    fs.before = move_it_away
    found = observe_paths(room.root, room.selection, [f"d/{number}.md" for number in range(4)], {}, TEXT)
    fs.before = None
    assert [seen.side for seen in found] == [ABSENT] * 4
    room.close()


def test_a_fresh_file_to_be_scanned_again_is_not_read_twice(folder: Path, state: Path) -> None:
    """Its stat is taken for proof until then, and it stays racy; a changed stat is read at once."""
    calls: list[str] = []
    fs = WrappedFs(lambda name, _: calls.append(name))
    room = open_room(folder, state, fs)
    for name in ("a.md", "b.md", "c.md"):
        (folder / name).write_text("text")
    paths = ["a.md", "b.md", "c.md"]
    first = observe_paths(room.root, room.selection, paths, {}, TEXT)
    known = {seen.path: remember(seen) for seen in first}
    assert all(seen.fingerprint is not None and seen.fingerprint.racy for seen in first)
    (folder / "b.md").write_text("another")
    calls.clear()
    found = observe_paths(room.root, room.selection, paths, known, TEXT, frozenset({"a.md", "b.md"}))
    assert calls.count("open_file") == 2
    assert found[0] == replace(first[0], born_ns=None)
    assert found[1].side.hash == sha(b"another")
    room.close()
