"""An agent is killed in the middle of its work, again and again, while both sides edit (CR1)."""

from __future__ import annotations

import contextlib
import random
import signal
from pathlib import Path

import pytest

from crashes.kill_points import Death, MortalHome, arm, gone_within, link_params
from crashes.people import Editor, Watchman
from support.eventually import eventually, patience
from support.processes import Daemon, Process
from support.servers import Server
from support.wait_idle import assert_equal, in_step, lost, resolve_all, settle

FILES = 8
ORDINARY = range(20)
LONG = range(1000, 1200)
STRICT_EVERY = 5
WITHOUT_EXCHANGE_EVERY = 4
ROUND_SECONDS = 0.15
ROUNDS_MOST = 150
LIVES = (1, 1, 1, 1, 2, 3)


def die_while_both_edit(life: Process, death: Death, people: list[Editor], words: MortalHome) -> None:
    """Everybody edits until the agent has died the planned death."""
    if death.at_call is None:
        for person in people:
            person.act()
        if not gone_within(life, death.after_seconds):
            life.kill()
    for _ in range(ROUNDS_MOST):
        if gone_within(life, ROUND_SECONDS):
            break
        for person in people:
            person.act()
    else:
        raise AssertionError(f"it lives on past its {death}")
    assert life.wait(patience(10)) == -signal.SIGKILL, (death, words.last_words(), words.log())


def crash_and_come_to_rest(server: Server, top: Path, seed: int) -> None:
    """One life after another ends by SIGKILL; the last one comes to rest, and the laws hold."""
    chance = random.Random(seed)
    left, right = (MortalHome(top, name, server) for name in ("left", "right"))
    swap = ("--without-exchange",) if seed % WITHOUT_EXCHANGE_EVERY == 0 else ()
    people = [Editor(home, chance) for home in (left, right)]
    for number in range(FILES):
        people[0].save(f"shared-{number}.md")
    deaths = [Death.drawn(chance) for _ in range(chance.choice(LIVES))]
    left.flags = (*deaths[0].flags, *swap)
    with contextlib.ExitStack() as stack:
        other = stack.enter_context(right.daemon())
        watchman = stack.enter_context(Watchman([left, right]).watching())
        with left.daemon() as first:
            source = _linked(left, first, right, other)
            rested = set(left.texts().values())
            arm(first.process)
            die_while_both_edit(first.process, deaths[0], people, left)
        for death in deaths[1:]:
            _edit_while_dead(people, chance)
            left.flags = (*death.flags, "--armed", *swap)
            die_while_both_edit(left.start(), death, people, left)
        _edit_while_dead(people, chance)
        left.flags = swap
        last = stack.enter_context(left.daemon())
        resolve_all([last, other], chance)
        eventually(lambda: in_step([last, other]), what="both are in step")
        # The note of a file that was open when it went to the trash stands until the daemon looks at it again.
        eventually(lambda: not left.leftovers() + right.leftovers(), 60.0, "nothing temporary is left")
        for daemon in (last, other):
            # At rest nothing is under way, so nothing may be lost with this either.
            daemon.kill()
    assert watchman.wrong == []
    assert watchman.looks > FILES
    assert_equal(source, server, [left, right])
    owed = rested.union(*(person.written - person.dropped for person in people))
    assert lost(owed, source, server, [left, right]) == set(), left.last_words()
    assert left.leftovers() + right.leftovers() == []


def _linked(left: MortalHome, first: Daemon, right: MortalHome, other: Daemon) -> str:
    source = str(first.call("link", **link_params(left))["source_id"])
    first.call("sync")
    other.call("link", **link_params(right, source))
    settle([first, other])
    assert left.texts() == right.texts()
    return source


def _edit_while_dead(people: list[Editor], chance: random.Random) -> None:
    for _ in range(chance.randint(1, 4)):
        for person in people:
            person.act()


def _server_for(seed: int, request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue("strict" if seed % STRICT_EVERY == 0 else "hub")
    return found


@pytest.mark.parametrize("seed", ORDINARY)
def test_cr1_killed_while_both_sides_edit(seed: int, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Every file is wholly old or wholly new at every look; both folders end equal to the server; every text that
    stood is current, in history, in a conflict or in a trash; no temporary file is left.
    """
    crash_and_come_to_rest(_server_for(seed, request), tmp_path, seed)


@pytest.mark.long
@pytest.mark.parametrize("seed", LONG)
def test_cr1_killed_while_both_sides_edit_many_times(seed: int, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """The same, with 200 seeds more."""
    crash_and_come_to_rest(_server_for(seed, request), tmp_path, seed)
