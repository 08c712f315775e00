"""A decision on a server without history: the text that it replaces there is in the trash before it is replaced."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.core.conflict import ConflictState
from agent.core.conflict_verdict import EXCLUDED
from agent.core.model import Resolution
from agent.engine import effects as e
from agent.engine import messages as m
from plain_dialect.household import SOURCE, Household
from strict_pinakes.world import EVERY_TRAP, PinakesWorld

PATH = "d/large.md"
BASE = "the large content that both sides agree on, so far"
HERE, THERE = BASE.upper(), BASE.title()


@pytest.fixture(params=["sha256", "blake3"])
def world(request: pytest.FixtureRequest) -> Iterator[PinakesWorld]:
    """The server in all traps."""
    made = PinakesWorld(replace(EVERY_TRAP), request.param)
    yield made
    made.close()


@pytest.fixture
def home(world: PinakesWorld, tmp_path: Path) -> Iterator[Household]:
    """A linked folder."""
    made = Household(world, tmp_path)
    yield made
    made.close()


def parked(home: Household, world: PinakesWorld, here: str = HERE, there: str = THERE) -> m.Resolve:
    """A conflict about one file, and the decision for the folder's text."""
    world.put(PATH, BASE)
    home.sync()
    world.put(PATH, there)
    (home.root / PATH).write_text(here)
    home.sync()
    (conflict,) = home.index.conflicts.live(SOURCE)
    return m.Resolve(conflict.id, conflict.generation, Resolution.KEEP_LOCAL, here.encode() if len(here) < 16 else None)


def trashed(home: Household) -> set[bytes]:
    """Contents of everything in the trash."""
    return {file.read_bytes() for file in home.root.parent.rglob("*") if file.is_file() and "trash" in str(file)}


@pytest.mark.parametrize("there", [THERE, "there"])
@pytest.mark.parametrize("here", [HERE, "here"])
def test_a_replaced_head_is_in_the_trash(home: Household, world: PinakesWorld, here: str, there: str) -> None:
    """Large and small, on both sides."""
    home.deliver(parked(home, world, here, there))
    home.sync()
    assert home.files() == world.held() == {PATH: here.encode()}
    assert there.encode() in trashed(home)
    assert home.index.conflicts.live(SOURCE) == [] and not home.leftovers()


def decide_excluded(home: Household, text: str | None) -> None:
    """The rules exclude the parked file, and the person decides for the folder's text."""
    (home.root / ".gitignore").write_text("d/\n")
    home.sync()
    (shown,) = home.index.conflicts.live(SOURCE)
    home.deliver(m.Resolve(shown.id, shown.generation, Resolution.KEEP_LOCAL, text.encode() if text else None))
    home.sync()


@pytest.mark.parametrize("there", [THERE, "there"])
def test_the_replaced_head_of_an_excluded_file_is_kept(home: Household, world: PinakesWorld, there: str) -> None:
    """FC4: nothing is installed there, and a large head is still fetched for the trash before it is replaced."""
    parked(home, world, "here", there)
    decide_excluded(home, "here")
    assert world.held() == {PATH: b"here"} and (home.root / PATH).read_text() == "here"
    assert there.encode() in trashed(home)
    assert home.index.conflicts.live(SOURCE) == [] and not home.leftovers()


@pytest.mark.parametrize("there", [THERE, "there"])
def test_a_large_excluded_file_cannot_be_chosen(home: Household, world: PinakesWorld, there: str) -> None:
    """FC4: it is not read in the folder. The conflict stays and says so; the server's text is not kept in its place."""
    parked(home, world, HERE, there)
    decide_excluded(home, None)
    (shown,) = home.index.conflicts.live(SOURCE)
    assert (shown.state, shown.note) == (ConflictState.OPEN, EXCLUDED) and shown.server_ids
    assert world.held() == {PATH: there.encode()} and (home.root / PATH).read_text() == HERE
    home.deliver(m.Resolve(shown.id, shown.generation, Resolution.KEEP_RAVEN))
    home.sync()
    assert home.index.conflicts.live(SOURCE) == [] and world.held() == {PATH: there.encode()}


@pytest.mark.parametrize("killed_by", [e.Fetch, e.KeepDownload, e.Send])
def test_no_kill_loses_the_replaced_head(home: Household, world: PinakesWorld, killed_by: type[e.Effect]) -> None:
    """At each step the text is on the server or in the trash, and another process ends what was begun."""
    home.deliver(parked(home, world))
    home.sync(killed_by=killed_by)
    assert THERE.encode() in {*trashed(home), *world.held().values()}
    home.restart()
    home.sync()
    assert home.files() == world.held() == {PATH: HERE.encode()}
    assert THERE.encode() in trashed(home)
    assert not home.leftovers()


def test_a_head_that_moves_on_is_shown_and_not_replaced(home: Household, world: PinakesWorld) -> None:
    """A third text comes while the second one is fetched: the decision was not made on it."""
    home.deliver(parked(home, world))
    home.sync(killed_by=e.Fetch)
    world.put(PATH, THERE * 2)
    home.restart()
    home.sync()
    (conflict,) = home.index.conflicts.live(SOURCE)
    assert world.held() == {PATH: (THERE * 2).encode()}
    home.deliver(m.Resolve(conflict.id, conflict.generation, Resolution.KEEP_RAVEN))
    home.sync()
    assert home.files() == world.held() == {PATH: (THERE * 2).encode()}
    assert HERE.encode() in trashed(home)
