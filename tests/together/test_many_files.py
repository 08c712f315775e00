"""Thousands of files of any size, and one very large one, between two machines by ScaiDrive's API of the hub."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.hub.store.sql_store import SqlStore, sqlite_url
from hub.fixtures import running_hub
from plain_dialect.machines import write_large
from support.counting_relay import CountingRelay
from support.eventually import eventually
from support.processes import Home
from support.servers import HubServer
from support.wait_idle import in_step, resolve_all
from together.drive_pair import MIB, Person, signed_in, tree_of
from together.test_random_lives import kill_and_start

FILES = 5000
LARGEST = 50 * MIB
OPERATIONS = 400
KILL_EVERY = 40
"""Operations between two kills, about."""
GIGABYTE = 1 << 30
_PATIENCE = 900
_log = logging.getLogger(__name__)

pytestmark = pytest.mark.long


@pytest.fixture
def server(tmp_path: Path) -> Iterator[HubServer]:
    """A hub of its own."""
    with running_hub(tmp_path / "hub", "--port", "0") as running:
        made = HubServer(running)
        yield made
        made.close()


def drawn_sizes(chance: random.Random) -> list[int]:
    """Bytes of each file: the smallest, the largest, and most of them small."""
    sizes = [1, 1, LARGEST, LARGEST]
    sizes += [chance.randint(1, 8 * MIB) for _ in range(60)]
    return sizes + [int(2 ** chance.uniform(0, 15)) for _ in range(FILES - len(sizes))]


def linked_pair(server: HubServer, top: Path) -> tuple[list[Home], list[Person], random.Random]:
    """Two machines in step over the files of the first, and their people."""
    chance = random.Random(0)
    homes = [signed_in(top, name, server) for name in ("one", "two")]
    people = [Person(home, chance) for home in homes]
    people[0].fill(drawn_sizes(chance))
    homes[0].link("--name", "team")
    homes[1].link("--source", "team")
    return homes, people, chance


def test_five_thousand_files_lose_nothing(server: HubServer, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Edits, moves, folder renames, deletes and conflicts, an agent killed at random: equal at rest, nothing lost."""
    caplog.set_level(logging.INFO, _log.name)
    homes, people, chance = linked_pair(server, tmp_path)
    assert tree_of(homes[0]) == tree_of(homes[1]) and len(tree_of(homes[0])) == FILES
    with contextlib.ExitStack() as stack:
        daemons = {home.name: stack.enter_context(home.daemon()) for home in homes}
        for number in range(OPERATIONS):
            chance.choice(people).act()
            if chance.random() < 0.1:
                both = sorted(paths_of(homes[0]) & paths_of(homes[1]))
                path = chance.choice(both)
                for person in people:
                    person.edit(path)
            if chance.random() < 1 / KILL_EVERY:
                kill_and_start(stack, daemons, chance.choice(homes))
            if number % 50 == 49:
                chance.choice([*daemons.values()]).call("sync")
                _log.info("%d of %d operations", number + 1, OPERATIONS)
        _log.info("%d conflicts decided", resolve_all([*daemons.values()], chance))
        eventually(lambda: in_step([*daemons.values()]), _PATIENCE, "both are in step")
    assert tree_of(homes[0]) == tree_of(homes[1])
    owed = set().union(*(person.written - person.dropped for person in people))
    here = set(tree_of(homes[0]).values())
    trashed = {content for home in homes for content in trashed_digests(home)}
    with contextlib.closing(SqlStore(sqlite_url(tmp_path / "hub/hub.db"))) as store, store.read() as session:
        assert owed - here - trashed - session.known_anywhere(owed) == set()


def paths_of(home: Home) -> set[str]:
    """The paths of the files of a folder."""
    return {file.relative_to(home.folder).as_posix() for file in home.folder.rglob("*") if file.is_file()}


def trashed_digests(home: Home) -> set[str]:
    """sha256 of every file in the agent's trash."""
    return {hashlib.sha256(content).hexdigest() for content in home.trashed()}


def test_a_moved_gigabyte_sends_no_content(server: HubServer, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file of 1 GiB is moved: neither machine carries its content, and the other one keeps its inode."""
    caplog.set_level(logging.INFO, _log.name)
    with CountingRelay.before(server.url) as relay:
        one, two = (signed_in(tmp_path, name, server, relay.url) for name in ("one", "two"))
        write_large(one.folder / "large.bin", GIGABYTE, 1)
        one.link("--name", "team")
        two.link("--source", "team")
        assert relay.up >= GIGABYTE and relay.down >= GIGABYTE
        inode = (two.folder / "large.bin").stat().st_ino
        with one.daemon() as here, two.daemon() as there:
            here.call("sync")
            there.call("sync")
            before = relay.up, relay.down
            (one.folder / "moved").mkdir()
            (one.folder / "large.bin").rename(one.folder / "moved/renamed.bin")
            target = two.folder / "moved/renamed.bin"
            eventually(target.exists, 120, "the file is moved on the other machine")
            here.call("sync")
            there.call("sync")
            carried = relay.up - before[0], relay.down - before[1]
    _log.info("%d bytes up, %d bytes down", *carried)
    assert max(carried) < MIB, carried
    assert target.stat().st_ino == inode and target.stat().st_size == GIGABYTE
    assert not (two.folder / "large.bin").exists()
