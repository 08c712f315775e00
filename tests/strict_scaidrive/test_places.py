"""Places of files whose folder moved while another one was known at its path: over every small state."""

from __future__ import annotations

import itertools

import pytest
from msgspec.structs import replace

from agent.core.events import Delete
from agent.remotes.scaidrive.places import DoubtfulFile, came_later, corrections
from agent.remotes.scaidrive.wire import ChangeRow
from simulation.mutant import nothing
from strict_scaidrive.lives import BusyWorld
from strict_scaidrive.state import DriveTraps

FILE = DoubtfulFile("f1", "d/a.md")
IDS = (None, "f1", "f2")
PLACES = (None, "d/a.md", "g/a.md")


@pytest.mark.parametrize("place", PLACES)
def test_the_book_holds_what_the_server_says(place: str | None) -> None:
    """Whatever is known of the two paths: afterwards each holds what the server shows there, as far as it proves it."""
    for there, here, at_place in itertools.product(IDS, IDS, IDS):
        known = {"d/a.md": here, "g/a.md": at_place}
        made = corrections(FILE, place, "f1" if place == "d/a.md" else there, known)
        after = known | made
        if place is not None:
            assert after[place] == "f1"
        if place != "d/a.md" and there is not None:
            assert after["d/a.md"] == there
        # A file of which nothing was asked stays: a list that lacks it proves nothing.
        lost = {path: known[path] for path, identifier in made.items() if identifier is None}
        assert lost in ({}, {"d/a.md": "f1"})
        assert not lost or (place != "d/a.md" and there is None)
        assert all(known[path] != identifier for path, identifier in made.items())


def changed(change: str, old: str | None, new: str | None, file: str = "f1", kind: str = "file") -> ChangeRow:
    """A change of a file or folder."""
    return ChangeRow("c", kind, file, change, old, new, None, None, None, None)


LATER = [
    ("nothing follows", [], False),
    ("it is made later", [changed("created", None, "d/a.md")], True),
    ("it comes from elsewhere later", [changed("moved", "b.md", "d/a.md")], True),
    ("it leaves later", [changed("moved", "d/a.md", "b.md")], False),
    ("it moves, and the server does not say from where", [changed("renamed", None, "d/a.md")], False),
    ("it is edited later", [changed("updated", "d/a.md", "d/a.md")], False),
    ("it is deleted later", [changed("deleted", "d/a.md", None)], False),
    ("another file is made later", [changed("created", None, "d/a.md", "f2")], False),
    ("a folder is made later", [changed("created", None, "d/a.md", kind="folder")], False),
    (
        "only the first change counts",
        [changed("updated", "d/a.md", "d/a.md"), changed("created", None, "d/a.md")],
        False,
    ),
]


@pytest.mark.parametrize(("later", "is_ahead"), [each[1:] for each in LATER], ids=[each[0] for each in LATER])
def test_a_file_that_came_later_follows_no_folder(later: list[ChangeRow], is_ahead: bool) -> None:
    """Our own push is known from its answer, before the changes that lead up to it are read."""
    assert came_later("f1", "d/a.md", later) is is_ahead


@pytest.mark.parametrize("is_hidden", [False, True])
def test_a_file_of_a_replaced_folder_leaves_its_old_path(is_hidden: bool) -> None:
    """The walk met the folder that took its name. A file that is hidden meanwhile is no deleted file."""
    world = BusyWorld(DriveTraps())
    reader = world.other("reader")

    def replaces(path: str, _body: bytes) -> None:
        if "/children" in path:
            world.meanwhile = nothing
            world.put("d/a.md", "old")
            world.move("d", "g")
            world.put("d/b.md", "new")

    world.meanwhile = replaces
    page = reader.remote.pull(world.source, None, 0.0, world.clock.now)
    reader.book.commit_page(page)
    if is_hidden:
        folder = world.file("g/a.md").folder
        assert folder is not None
        world.server.state.folders[folder] = replace(world.server.state.folders[folder], hidden=True)
    events, _ = reader.drain(page.state)
    deleted = [event.path for event in events if isinstance(event, Delete)]
    assert deleted == ([] if is_hidden else ["d/a.md"])
    assert sorted(reader.book.files) == (["d/a.md"] if is_hidden else []) + ["d/b.md", "g/a.md"]
    world.close()
