"""Places of files whose folder moved while another one was known at its path: over every small state."""

from __future__ import annotations

import itertools

import pytest

from agent.remotes.scaidrive.places import DoubtfulFile, corrections

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
