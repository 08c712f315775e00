"""A whole agent over the plain server: renames are moves in both directions, and no content travels for them."""

from __future__ import annotations

import pytest

from agent.core.remote_records import Verb
from agent.engine import effects as e
from plain_dialect.household import Household
from plain_dialect.world import PlainWorld

LARGE = "a large content of forty bytes, or so it is"


def _content_calls(world: PlainWorld, since: int) -> list[str]:
    """Requests that carry a content, beside the first ``since``."""
    later = world.requests[since:]
    return [each.path for each in later if "/content" in each.path or "/chunks/" in each.path]


@pytest.mark.parametrize("text", ["small", LARGE])
def test_a_rename_here_is_a_move_on_the_server(home: Household, world: PlainWorld, text: str) -> None:
    """The file keeps its id and its history."""
    (home.root / "a.md").write_text(text)
    (home.root / "z.md").write_text("z")
    home.sync()
    identifier, sent = world.file("a.md").id, len(world.requests)
    (home.root / "sub").mkdir()
    (home.root / "a.md").rename(home.root / "sub" / "b.md")
    home.sync()
    assert world.held() == home.files() == {"sub/b.md": text.encode(), "z.md": b"z"}
    assert world.file("sub/b.md").id == identifier and not _content_calls(world, sent)
    moves = [
        p.operation for x in home.done if isinstance(x, e.Send) for p in x.parcels if p.operation.verb is Verb.MOVE
    ]
    assert [(op.old_path, op.path) for op in moves] == [("a.md", "sub/b.md")]
    home.sync()
    assert world.held() == home.files() and not home.index.operations.open(1)


@pytest.mark.parametrize("text", ["small", LARGE])
def test_a_move_on_the_server_is_a_rename_here(home: Household, world: PlainWorld, text: str) -> None:
    """The inode stays."""
    world.put("deep/a.md", text)
    home.sync()
    inode, sent = (home.root / "deep/a.md").stat().st_ino, len(world.requests)
    world.move("deep/a.md", "b.md")
    home.sync()
    assert home.files() == world.held() == {"b.md": text.encode()}
    assert (home.root / "b.md").stat().st_ino == inode and not _content_calls(world, sent)
    assert not (home.root / "deep").exists()


def test_a_moved_folder_is_a_rename_a_file(home: Household, world: PlainWorld) -> None:
    """All its files keep their inodes."""
    names = [f"{number}.md" for number in range(12)]
    for name in names:
        world.put(f"old/{name}", f"{LARGE} {name}")
    home.sync()
    inodes = {name: (home.root / "old" / name).stat().st_ino for name in names}
    world.move("old", "new")
    home.sync()
    assert {name: (home.root / "new" / name).stat().st_ino for name in names} == inodes
    assert home.files() == world.held() and not (home.root / "old").exists()


def test_an_unsent_edit_moves_with_its_file(home: Household, world: PlainWorld) -> None:
    """It is pushed at the new path; there is no conflict."""
    world.put("a.md", LARGE)
    world.put("z.md", "z")
    home.sync()
    world.move("a.md", "b.md")
    (home.root / "a.md").write_text(LARGE.upper())
    # A new process reads the feed before it sends anything.
    home.restart()
    home.sync()
    assert home.files() == world.held() == {"b.md": LARGE.upper().encode(), "z.md": b"z"}
    assert not home.index.conflicts.live(1)


def test_files_that_swap_their_names_lose_nothing(home: Household, world: PlainWorld) -> None:
    """On either side."""
    world.put("a.md", LARGE)
    world.put("b.md", "two")
    home.sync()
    for old, new in (("a.md", "t.md"), ("b.md", "a.md"), ("t.md", "b.md")):
        world.move(old, new)
    home.sync()
    home.sync()
    assert home.files() == world.held() == {"a.md": b"two", "b.md": LARGE.encode()}
    for old, new in (("a.md", "t.md"), ("b.md", "a.md"), ("t.md", "b.md")):
        (home.root / old).rename(home.root / new)
    home.sync()
    home.sync()
    assert home.files() == world.held() == {"a.md": LARGE.encode(), "b.md": b"two"}


@pytest.mark.parametrize("effect", [e.ApplyChanges, e.Send])
def test_a_move_cut_off_by_a_crash_is_finished(home: Household, world: PlainWorld, effect: type[e.Effect]) -> None:
    """The process ends right behind the change of the folder, or before the server's answer."""
    world.put("a.md", LARGE)
    world.put("z.md", "z")
    home.sync()
    if effect is e.Send:
        (home.root / "a.md").rename(home.root / "b.md")
    else:
        world.move("a.md", "b.md")
    home.sync(killed_by=effect)
    home.restart()
    home.sync()
    assert home.files() == world.held() == {"b.md": LARGE.encode(), "z.md": b"z"}
    assert world.file("b.md").head.number == 2 and not home.index.conflicts.live(1)
