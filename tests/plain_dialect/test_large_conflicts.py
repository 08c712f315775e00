"""Both sides changed a large file: its texts are in no database, and the decided one is moved as a transfer."""

from __future__ import annotations

import itertools

import pytest

from agent.core.conflict_verdict import EXCLUDED
from agent.core.model import Resolution
from agent.engine import effects as e
from agent.engine import messages as m
from plain_dialect.household import SOURCE, Household
from plain_dialect.world import PlainWorld

BASE = "the large content that both sides agree on, so far"
HERE = BASE.upper()
THERE = BASE.title()
PATH = "d/large.md"


def parked(home: Household, world: PlainWorld, *, large_here: bool = True, large_there: bool = True) -> int:
    """A conflict about one file; its id."""
    world.put(PATH, BASE)
    home.sync()
    world.put(PATH, THERE if large_there else "there")
    (home.root / PATH).write_text(HERE if large_here else "here")
    home.sync()
    (conflict,) = home.index.conflicts.live(SOURCE)
    assert conflict.path == PATH
    return conflict.id


def decide(home: Household, choice: Resolution, text: bytes | None = None) -> None:
    """Decide on the one open conflict, and have it carried out."""
    (conflict,) = home.index.conflicts.live(SOURCE)
    home.deliver(m.Resolve(conflict.id, conflict.generation, choice, text))
    home.sync()


def trashed(home: Household) -> set[bytes]:
    """Contents of everything in the trash."""
    return {file.read_bytes() for file in home.root.parent.rglob("*") if file.is_file() and "trash" in str(file)}


SIZES = list(itertools.product((True, False), repeat=2))


@pytest.mark.parametrize(("large_here", "large_there"), SIZES)
def test_the_servers_text_replaces_ours(
    home: Household, world: PlainWorld, large_here: bool, large_there: bool
) -> None:
    """It is fetched after the decision; ours goes into the trash first (FC3)."""
    parked(home, world, large_here=large_here, large_there=large_there)
    ours, theirs = (home.root / PATH).read_bytes(), world.held()[PATH]
    decide(home, Resolution.KEEP_RAVEN)
    assert home.files() == world.held() == {PATH: theirs}
    assert home.index.conflicts.live(SOURCE) == [] and not home.leftovers()
    assert ours in trashed(home)


@pytest.mark.parametrize(("large_here", "large_there"), SIZES)
def test_our_text_replaces_the_servers(home: Household, world: PlainWorld, large_here: bool, large_there: bool) -> None:
    """It is read in the folder; the server keeps its own as a version."""
    parked(home, world, large_here=large_here, large_there=large_there)
    ours, theirs = (home.root / PATH).read_bytes(), world.file(PATH).head.hash
    decide(home, Resolution.KEEP_LOCAL)
    assert home.files() == world.held() == {PATH: ours}
    assert home.index.conflicts.live(SOURCE) == []
    assert theirs in {revision.hash for revision in world.file(PATH).revisions}


@pytest.mark.parametrize("choice", [Resolution.KEEP_RAVEN, Resolution.KEEP_LOCAL])
@pytest.mark.parametrize(("large_here", "large_there"), SIZES)
def test_an_excluded_file_is_decided_by_what_the_server_has(
    home: Household, world: PlainWorld, large_here: bool, large_there: bool, choice: Resolution
) -> None:
    """FC4: rules exclude a parked file. The server is still asked for it, and the folder's file stays as it is."""
    parked(home, world, large_here=large_here, large_there=large_there)
    ours, theirs = (home.root / PATH).read_bytes(), world.held()[PATH]
    (home.root / ".gitignore").write_text("d/\n")
    home.sync()
    (shown,) = home.index.conflicts.live(SOURCE)
    assert shown.note == EXCLUDED and shown.remote_hash == world.file(PATH).head.hash
    decide(home, choice, ours if choice is Resolution.KEEP_LOCAL else None)
    assert home.index.conflicts.live(SOURCE) == [] and not home.leftovers()
    assert (home.root / PATH).read_bytes() == ours
    assert world.held()[PATH] == (theirs if choice is Resolution.KEEP_RAVEN else ours)


def test_the_text_is_fetched_by_another_process(home: Household, world: PlainWorld) -> None:
    """A kill after the decision loses neither it nor the bytes."""
    parked(home, world)
    (conflict,) = home.index.conflicts.live(SOURCE)
    home.deliver(m.Resolve(conflict.id, conflict.generation, Resolution.KEEP_RAVEN))
    home.sync(killed_by=e.Fetch)
    home.restart()
    home.sync()
    assert home.files() == world.held() == {PATH: THERE.encode()}
    assert home.index.conflicts.live(SOURCE) == [] and not home.leftovers()


def test_a_server_that_moves_on_is_shown_again(home: Household, world: PlainWorld) -> None:
    """The decision was made on another text, so nothing is replaced, and the download ends."""
    parked(home, world)
    (conflict,) = home.index.conflicts.live(SOURCE)
    home.deliver(m.Resolve(conflict.id, conflict.generation, Resolution.KEEP_RAVEN))
    home.sync(killed_by=e.Fetch)
    world.put(PATH, THERE * 2)
    home.restart()
    home.sync()
    (shown,) = home.index.conflicts.live(SOURCE)
    assert shown.generation > conflict.generation
    assert home.files() == {PATH: HERE.encode()} and world.held() == {PATH: (THERE * 2).encode()}
    decide(home, Resolution.KEEP_RAVEN)
    assert home.files() == world.held() == {PATH: (THERE * 2).encode()}
    assert not home.leftovers()


def test_an_edit_during_the_download_is_kept(home: Household, world: PlainWorld) -> None:
    """The person goes on writing after the decision: what was written is shown again, and not replaced."""
    parked(home, world)
    (conflict,) = home.index.conflicts.live(SOURCE)
    home.deliver(m.Resolve(conflict.id, conflict.generation, Resolution.KEEP_RAVEN))
    home.sync(killed_by=e.Fetch)
    (home.root / PATH).write_text(HERE * 3)
    home.restart()
    home.sync()
    assert home.files() == {PATH: (HERE * 3).encode()}
    decide(home, Resolution.KEEP_LOCAL)
    assert home.files() == world.held() == {PATH: (HERE * 3).encode()}


def test_a_large_text_is_not_sent_to_be_refused(home: Household, world: PlainWorld) -> None:
    """Where the server's text is known before ours is sent, no chunk travels before the decision."""
    world.put(PATH, BASE)
    home.sync()
    world.put(PATH, THERE)
    home.sync(killed_by=e.Fetch)
    (home.root / PATH).write_text(HERE)
    home.restart()
    home.sync()
    assert len(home.index.conflicts.live(SOURCE)) == 1
    assert not any(request.method == "PUT" for request in world.requests)


def test_a_merged_text_replaces_both(home: Household, world: PlainWorld) -> None:
    """Small or large, it comes with the decision."""
    parked(home, world)
    decide(home, Resolution.MANUAL_MERGE, (HERE + THERE).encode())
    assert home.files() == world.held() == {PATH: (HERE + THERE).encode()}
    assert HERE.encode() in trashed(home)
