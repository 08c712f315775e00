"""Paths that a name in a folder makes, and the refusal of one that is taken."""

from __future__ import annotations

from agent.hub.domain.text import path_fault
from agent.hub.scaidrive.request import DriveRefusal, wrong_field


def name_taken() -> DriveRefusal:
    """Return the refusal of a name that a sibling has."""
    return DriveRefusal(409, "A file or folder of this name exists already", "NAME_CONFLICT")


def joined(folder: str, name: str) -> str:
    """Return the path of a name in a folder.

    Raises:
        DriveRefusal: 422 for a name that no machine should write.
    """
    path = f"{folder}/{name}" if folder else name
    fault = "holds a slash" if "/" in name else path_fault(path)
    if fault is not None:
        raise wrong_field("body", "name", fault.removeprefix("relativePath "))
    return path
