"""Files at whose path two folders are known, one of them as of another time: which of them holds a file is not known.

The walk may be ahead of the changes that are read after it. Once every change was read, the server is asked for each
such file, and ``corrections`` says what the feed must add.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from agent.remotes.scaidrive.wire import ChangeRow


class DoubtfulFile(Struct, frozen=True):
    """A file of which the feed could not say if it moved with a folder.

    Attributes:
        file: its id.
        path: its relative path as it is known here.
    """

    file: str
    path: str


def corrections(
    doubtful: DoubtfulFile, place: str | None, there: str | None, known: Mapping[str, str | None]
) -> dict[str, str | None]:
    """Return what must be delivered: path to the id of the file there, or None for a delete.

    A file is deleted at its old path only because its own record says that it is not there. A list that lacks a file
    proves nothing.

    Args:
        doubtful: the file.
        place: the path that its record states; None for a deleted file.
        there: id of the file that the server lists at the doubtful path; None if it lists none.
        known: path to the id of the file that is known there, for both paths.
    """
    found: dict[str, str | None] = {}
    if place is not None and known.get(place) != doubtful.file:
        found[place] = doubtful.file
    if place != doubtful.path:
        held = known.get(doubtful.path)
        if there is not None and held != there:
            found[doubtful.path] = there
        elif there is None and held == doubtful.file:
            found[doubtful.path] = None
    return found


def came_later(file: str | None, path: str, later: Sequence[ChangeRow]) -> bool:
    """Return True if a file was not at its path yet before these changes: a push of ours is ahead of them.

    Args:
        file: its id.
        path: the path at which it is known.
        later: the changes that follow, oldest first.
    """
    first = next((each for each in later if each.kind == "file" and each.resource == file), None)
    if first is None:
        return False
    return first.change == "created" or (first.change in ("moved", "renamed") and first.old_path not in (None, path))
