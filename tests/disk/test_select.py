"""Which paths are selected, and which rule said so."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from agent.core.model import Presence, Reason
from agent.core.scope import Scope
from agent.disk.scan.observe import observe_path
from agent.disk.scan.walk import scan
from agent.disk.selection.rules import Rules, Selection, SelectionVerdict
from disk.fixtures import Room, WrappedFs, open_room


def select(room: Room, include: tuple[str, ...] = (), exclude: tuple[str, ...] = ()) -> Selection:
    return Selection(room.root, Rules(include, exclude))


@pytest.mark.parametrize("path", ["a.md", "x/y/A.MD", "b.Markdown", "notes.TXT", "x.y/z.md"])
def test_text_endings_are_selected_by_default_in_any_case(room: Room, path: str) -> None:
    """Text endings are selected by default whatever their case."""
    assert select(room).verdict(path).selected


@pytest.mark.parametrize("path", ["a.png", "md", "a.md.png", "x.md/photo.png", "a.mdx"])
def test_other_endings_are_not_selected_by_default(room: Room, path: str) -> None:
    assert not select(room).verdict(path).selected


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        (".git/config", ".git"),
        ("x/.git/a.md", ".git"),
        ("node_modules/a/readme.md", "node_modules"),
        (".raven-agent/trash/a.md", ".raven-agent"),
        ("server.pem", "*.pem"),
        ("a.key", "*.key"),
        ("id_rsa", "id_*"),
        (".hidden.md", ".*"),
        (".notes/a.md", ".*"),
        ("a.md~", "*~"),
        ("#a.md#", "#*#"),
        ("~$letter.md", "~$*"),
        ("4913", "4913"),
        ("a.md.swp", "*.sw[a-p]"),
        ("a.tmp", "*.tmp"),
        ("film.mp4.nextcloud", "*.nextcloud"),
        ("film.mp4.owncloud", "*.owncloud"),
        ("~syncthing~a.md.tmp", "*.tmp"),
        (".syncthing.a.md.tmp", "*.tmp"),
        (".stversions/a~20260101-101010.md", ".*"),
        ("._sync_0a1b.db", ".*"),
        (".dropbox.cache/a.md", ".*"),
        (".obsidian/app.json", ".*"),
    ],
)
def test_built_in_excludes_hold_even_if_all_is_included(room: Room, path: str, rule: str) -> None:
    """Built in excludes hold even if all is included."""
    assert select(room, include=("**",)).verdict(path) == SelectionVerdict(False, rule, "built-in")


def test_the_servers_preferences_leave_folders_out(room: Room) -> None:
    """By path and by names, in the walk too; built-in excludes name themselves first."""
    for name in ("keep/a.md", "drop/a.md", "top.md"):
        (room.folder / name).parent.mkdir(exist_ok=True)
        (room.folder / name).write_text("x")
    without = Selection(room.root, Rules(scope=Scope(None, ("drop",))))
    assert without.verdict("drop/a.md") == SelectionVerdict(False, "drop/", "server preferences")
    assert (without.may_contain("drop"), without.may_contain("keep")) == (False, True)
    assert without.filter_names("drop", ["a.md"]).sure == []
    only = Selection(room.root, Rules(scope=Scope(("keep",))))
    assert only.verdict("top.md") == SelectionVerdict(False, "keep/", "server preferences")
    assert only.filter_names("", ["top.md"]).sure == []
    assert only.filter_names("keep", ["a.md"]).sure == ["a.md"]
    assert only.verdict("keep/.git/a.md").rule == ".git"
    assert observe_path(room.root, only, "drop/a.md").side.presence is Presence.OUT_OF_SCOPE
    assert {one.path for batch in scan(room.root, only, ()) for one in batch.seen} == {"keep/a.md"}


def test_dot_names_are_selected_only_by_an_explicit_pattern(room: Room) -> None:
    """Dot names are selected only where an include pattern names them."""
    selection = select(room, include=("**/*.md", ".notes/**", "**/.config.md"))
    assert selection.verdict(".notes/a.md").selected
    assert selection.verdict("x/.config.md").selected
    assert not selection.verdict(".other/a.md").selected
    assert not selection.verdict(".notes/.git/a.md").selected
    assert selection.may_contain(".notes")
    assert not selection.may_contain(".other")


def test_an_exclude_pattern_decides_over_every_include(room: Room) -> None:
    selection = select(room, include=("**",), exclude=("drafts/", "*.log", "!keep.log"))
    assert selection.verdict("drafts/a.md") == SelectionVerdict(False, "drafts/", "exclude patterns")
    assert selection.verdict("x/a.log") == SelectionVerdict(False, "*.log", "exclude patterns")
    assert selection.verdict("x/keep.log").selected
    assert not selection.may_contain("drafts")


def test_the_verdict_names_the_pattern_and_ignore_file_line(room: Room) -> None:
    """The verdict names the pattern and the line of its ignore file."""
    (room.folder / "docs").mkdir()
    (room.folder / ".gitignore").write_text("# comment\n\n*.tmp.md\n")
    (room.folder / "docs/.ravenignore").write_text("secret.md\n")
    selection = select(room)
    assert selection.verdict("docs/x.tmp.md") == SelectionVerdict(False, "*.tmp.md", ".gitignore:3")
    assert selection.verdict("docs/secret.md") == SelectionVerdict(False, "secret.md", "docs/.ravenignore:1")
    assert selection.verdict("secret.md").selected
    assert selection.verdict("a.md") == SelectionVerdict(True, "**/*.md", "include patterns")


def test_a_deeper_ignore_file_decides_except_in_ignored_folders(room: Room) -> None:
    """A deeper ignore file decides over one above but not over an ignored folder."""
    (room.folder / "a/gone").mkdir(parents=True)
    (room.folder / ".gitignore").write_text("*.md\ngone/\n")
    (room.folder / "a/.gitignore").write_text("!keep.md\n")
    (room.folder / "a/gone/.gitignore").write_text("!keep.md\n")
    selection = select(room)
    assert selection.verdict("a/keep.md").selected
    assert not selection.verdict("keep.md").selected
    assert selection.verdict("a/gone/keep.md") == SelectionVerdict(False, "gone/", ".gitignore:2")
    assert not selection.may_contain("a/gone")


def test_ravenignore_decides_over_gitignore_beside_it(room: Room) -> None:
    (room.folder / ".gitignore").write_text("a.md\n")
    (room.folder / ".ravenignore").write_text("!a.md\n")
    assert select(room).verdict("a.md").selected


def test_an_anchored_include_keeps_the_walk_out_of_other_folders(room: Room) -> None:
    selection = select(room, include=("docs/**/*.md", "notes/*/x.md", "/top"))
    for folder in ("docs", "docs/a/b", "notes", "notes/a", "top", "top/below"):
        assert selection.may_contain(folder), folder
    for folder in ("src", "src/docs", "notes/../src"):
        assert not selection.may_contain(folder), folder
    assert selection.verdict("docs/a/b.md").selected
    assert not selection.verdict("src/docs/b.md").selected


def test_an_ignore_file_edited_is_read_again_after_a_renewal(room: Room) -> None:
    selection = select(room)
    assert selection.verdict("a.md").selected
    (room.folder / ".gitignore").write_text("a.md\n")
    selection.refresh()
    assert not selection.verdict("a.md").selected
    (room.folder / ".gitignore").unlink()
    selection.refresh()
    assert selection.verdict("a.md").selected


def test_a_linked_ignore_file_is_not_followed(room: Room, tmp_path: Path) -> None:
    (tmp_path / "rules").write_text("*.md\n")
    (room.folder / ".gitignore").symlink_to(tmp_path / "rules")
    assert select(room).verdict("a.md").selected


def test_a_broken_line_of_an_ignore_file_spoils_only_itself(room: Room) -> None:
    (room.folder / ".gitignore").write_bytes(b"!\n\xff\xfe\n[\nb.md\r\n")
    assert select(room).verdict("a.md").selected
    assert select(room).verdict("b.md") == SelectionVerdict(False, "b.md", ".gitignore:4")


def test_an_unreadable_ignore_file_leaves_its_subtree_unknown(folder: Path, state: Path) -> None:
    """An ignore file that cannot be read leaves everything below it unknown."""
    (folder / ".gitignore").write_text("*.secret.md\n")
    (folder / "a.md").write_text("x")

    def refuse(name: str, args: tuple[Any, ...]) -> None:
        if name == "open_file" and args[1] == ".gitignore":
            raise PermissionError(errno.EACCES, "Permission denied")

    room = open_room(folder, state, WrappedFs(refuse))
    with pytest.raises(PermissionError):
        room.selection.verdict("a.md")
    seen = observe_path(room.root, room.selection, "a.md")
    assert (seen.side.presence, seen.side.reason) == (Presence.UNKNOWN, Reason.UNREADABLE)
    room.close()


def test_the_ignore_files_of_a_folder_are_listed(room: Room, tmp_path: Path) -> None:
    """From the root down, each with its text; a linked file, a missing folder and a file beside are left out."""
    (room.folder / "a/b").mkdir(parents=True)
    (room.folder / "other").mkdir()
    (room.folder / ".gitignore").write_text("\ufeffx.md\n")
    (room.folder / "a/.ravenignore").write_text("y.md\n")
    (room.folder / "other/.gitignore").write_text("z.md\n")
    (tmp_path / "rules").write_text("w.md\n")
    (room.folder / "a/b/.gitignore").symlink_to(tmp_path / "rules")
    selection = select(room)
    found = [(".gitignore", "x.md\n"), ("a/.ravenignore", "y.md\n")]
    assert selection.ignore_texts("a/b") == selection.ignore_texts("a/missing/more") == found
    assert selection.ignore_texts("") == found[:1]
    (room.folder / ".ravenignore").write_text("#" * ((1 << 20) + 1))
    with pytest.raises(OSError, match=r"\.ravenignore is larger"):
        selection.ignore_texts("")
