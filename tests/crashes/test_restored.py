"""The server is put back to an older copy of itself: no file on a disk is deleted or overwritten without evidence."""

from __future__ import annotations

import pytest

from crashes.conftest import Machines
from support.processes import Home
from support.resting import lost
from support.servers import StrictServer

OLD = {"kept.md": "kept\n", "edited.md": "before\n", "deleted.md": "deleted later\n"}
NEW = {"kept.md": "kept\n", "edited.md": "after\n", "created.md": "created later\n"}


@pytest.fixture
def home(machine: Machines, strict: StrictServer) -> Home:
    """A machine signed in, its folder holding the texts of the backup."""
    made = machine()
    made.login(strict)
    for path, text in OLD.items():
        made.write(path, text)
    return made


def go_on_after_a_backup(home: Home, strict: StrictServer) -> str:
    """An edit, a create and a delete reach the server, and then it forgets them; the source's id."""
    source = home.link()
    backup = strict.raven.snapshot()
    home.write("edited.md", "after\n")
    home.write("created.md", "created later\n")
    (home.folder / "deleted.md").unlink()
    home.sync(code=0)
    assert home.texts() == NEW
    assert strict.raven.heads(source) == NEW
    strict.raven.restore(backup)
    return source


def test_pr4_a_pass_after_a_restore_takes_nothing_from_the_disk(home: Home, strict: StrictServer) -> None:
    """What the backup lacks still stands in the folder, after one pass and after several."""
    source = go_on_after_a_backup(home, strict)
    for _ in range(3):
        home.sync()
        print(home.texts(), strict.raven.heads(source), home.json("conflicts"), home.json("trash"))
    texts = home.texts()
    assert {path: texts.get(path) for path in NEW} == NEW
    assert lost({*OLD.values(), *NEW.values()}, source, strict, [home]) == set()
