"""Three agents of three dialects on one source: random work, kills, then rest.

With ``-o log_cli=true`` a run tells how far it is.
"""

from __future__ import annotations

import contextlib
import logging
import random

import pytest

from agent.hub.store.sql_store import SqlStore
from crashes.people import Editor
from support.eventually import eventually
from support.processes import Daemon, Home
from support.wait_idle import in_step, lost, resolve_all
from together.machines import Together, TogetherHome, sha_of

OPERATIONS = 1000
KILL_EVERY = 40
"""Operations between two kills, about."""
BINARY_SHARE = 0.1
LARGE_SHARE = 0.1
"""Share of large contents among the binary ones."""
TELL_EVERY = 100
"""Operations between two lines of progress, each after a pass through one machine."""
_log = logging.getLogger(__name__)


class AnyFileEditor(Editor):
    """A person who also writes files that are no texts, where the dialect has them.

    Attributes:
        contents: sha256 of every such content, without those that this person replaced.
    """

    def __init__(self, home: TogetherHome, chance: random.Random) -> None:
        super().__init__(home, chance)
        self._machine = home
        self._random = chance
        self.contents: set[str] = set()

    def act(self) -> None:
        """One random change."""
        if self._machine.dialect.takes_any_file and self._random.random() < BINARY_SHARE:
            size = 1_200_000 if self._random.random() < LARGE_SHARE else self._random.randint(1, 5000)
            data = b"\0" + self._random.randbytes(size)
            target = self._machine.folder / f"bin/{self._random.randint(0, 8)}.bin"
            with contextlib.suppress(FileNotFoundError):
                self.contents.discard(sha_of(target.read_bytes()))
            target.parent.mkdir(exist_ok=True)
            fresh = target.with_suffix(".bin.tmp")
            fresh.write_bytes(data)
            fresh.replace(target)
            self.contents.add(sha_of(data))
        else:
            super().act()


def kill_and_start(stack: contextlib.ExitStack, daemons: dict[str, Daemon], home: Home) -> None:
    """End an agent with SIGKILL and start it again."""
    daemons[home.name].kill()
    daemons[home.name] = stack.enter_context(home.daemon())


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1))
def test_a_thousand_operations_lose_nothing(
    together_for_long: Together, seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever the three did and wherever they were killed: equal at rest, each as its dialect can, and no text that a
    person wrote is gone.
    """
    caplog.set_level(logging.INFO, _log.name)
    together, chance = together_for_long, random.Random(seed)
    people = [AnyFileEditor(home, chance) for home in together]
    with contextlib.ExitStack() as stack:
        daemons = {home.name: stack.enter_context(home.daemon()) for home in together}
        for number in range(OPERATIONS):
            chance.choice(people).act()
            if chance.random() < 1 / KILL_EVERY:
                kill_and_start(stack, daemons, chance.choice([*together]))
            if number % TELL_EVERY == TELL_EVERY - 1:
                chance.choice([*daemons.values()]).call("sync")
                _log.info("%d of %d operations", number + 1, OPERATIONS)
        decisions = resolve_all([*daemons.values()], chance)
        _log.info("%d conflicts decided", decisions)
        eventually(lambda: in_step([*daemons.values()]), 120, "all three are in step")
        for daemon in daemons.values():
            daemon.kill()
    together.assert_converged()
    # What a person replaced or deleted with his own hands before it was seen is his own decision.
    owed = set().union(*(person.written - person.dropped for person in people))
    assert lost(owed, together.source, together.server, [*together]) == set()
    contents = set().union(*(person.contents for person in people))
    here = {sha_of(data) for home in together for data in [*home.files().values(), *home.trashed()]}
    with contextlib.closing(SqlStore(together.database)) as store, store.read() as session:
        assert contents - here - session.known_anywhere(contents) == set()
