"""The server is put back to an older copy of itself: nothing is deleted or overwritten without evidence (PR4)."""

from __future__ import annotations

import pytest

from crashes.conftest import Machines
from support.processes import Home
from support.servers import StrictServer
from support.wait_idle import assert_equal, lost

BACKUP = {"kept.md": "kept\n", "edited.md": "before\n", "deleted.md": "deleted later\n"}
SINCE = {"kept.md": "kept\n", "edited.md": "after\n", "created.md": "created later\n"}
ALL = {*BACKUP.values(), *SINCE.values()}


@pytest.fixture
def home(machine: Machines, strict: StrictServer) -> Home:
    """A machine signed in, its folder holding the texts of the backup."""
    made = machine()
    made.login(strict)
    for path, text in BACKUP.items():
        made.write(path, text)
    return made


def restored(home: Home, strict: StrictServer) -> str:
    """An edit, a create and a delete reach the server, and then it forgets them; the source's id."""
    source = home.link()
    backup = strict.raven.snapshot()
    home.write("edited.md", "after\n")
    home.write("created.md", "created later\n")
    (home.folder / "deleted.md").unlink()
    home.sync(code=0)
    assert home.texts() == SINCE
    assert strict.raven.heads(source) == SINCE
    strict.raven.restore(backup)
    return source


def test_pr4_a_restored_server_stops_the_source(home: Home, strict: StrictServer) -> None:
    """Pass after pass: code 6, the folder holds what it held, the server what the backup held."""
    source = restored(home, strict)
    for _ in range(3):
        assert home.sync(code=6)["state"] == "halted"
        assert home.texts() == SINCE
        assert strict.raven.heads(source) == BACKUP
    assert lost(ALL, source, strict, [home]) == set()


def test_pr4_a_running_daemon_stops_as_well(home: Home, strict: StrictServer) -> None:
    """It notices with its next pass, and an edit made meanwhile is not sent."""
    source = restored(home, strict)
    with home.daemon() as daemon:
        daemon.call("sync")
        home.write("kept.md", "edited meanwhile\n")
        daemon.call("sync")
        assert daemon.source()["state"] == "halted"
    assert home.texts() == {**SINCE, "kept.md": "edited meanwhile\n"}
    assert strict.raven.heads(source) == BACKUP


def test_pr4_resume_compares_both_sides_as_at_a_first_link(home: Home, strict: StrictServer) -> None:
    """What one side alone has goes to the other; what differs is parked with both texts; nothing is deleted."""
    source = restored(home, strict)
    home.sync(code=6)
    home.json("resume")
    home.sync(code=3)
    assert home.texts() == {**BACKUP, **SINCE}
    assert strict.raven.heads(source) == {**SINCE, **BACKUP}
    [row] = home.json("conflicts")
    assert (row["path"], row["kind"]) == ("edited.md", "no_base")
    home.json("resolve", row["id"], "keep_local")
    home.sync(code=0)
    assert_equal(source, strict, [home])
    assert lost(ALL, source, strict, [home]) == set()


def test_pr4_numbers_given_out_again_do_not_hide_the_restore(home: Home, strict: StrictServer) -> None:
    """Others wrote more after the restore than was forgotten, so the last number is past ours once more: still no
    file of the disk goes or is set back without a person having looked.
    """
    source = restored(home, strict)
    for number in range(6):
        strict.put(source, f"others-{number}.md", f"others {number}\n")
    home.sync()
    home.sync()
    texts = home.texts()
    assert {path: texts.get(path) for path in SINCE} == SINCE
    assert lost(ALL, source, strict, [home]) == set()
