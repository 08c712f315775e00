"""complete_folder: the folders of this machine that a typed path may mean."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from agent.api.schema.links import CompleteFolderParams, FolderNamesDocument
from agent.core.errors import UsageError
from agent.runtime.agent import Agent

MOST: Final = 50
"""Folders of an answer."""
_LOOKED_AT: Final = 20_000
"""Entries of one folder that are read at most."""


def complete_folder(_agent: Agent, params: CompleteFolderParams) -> FolderNamesDocument:
    """List the folders whose paths begin with the typed one. Only folders that this user may read and enter are named.

    A name that a page could not show as it is, is left out: one that is not UTF-8, or with control characters.

    Raises:
        UsageError: the path is not whole.
    """
    above, beginning = split_typed(params.typed)
    try:
        found = _folders(Path(above).expanduser(), beginning)
    except (OSError, RuntimeError):
        # The folder is missing, unreadable or a file, or its user is not known here: there is nothing to name.
        found = []
    return FolderNamesDocument(above=above, folders=[above + name for name in found[:MOST]], more=len(found) > MOST)


def split_typed(typed: str) -> tuple[str, str]:
    """Return the folder whose entries are meant, with a slash at its end, and the beginning of their names.

    Raises:
        UsageError: the path is not whole.
    """
    text = typed or "~/"
    if "\0" in text or not text.startswith(("/", "~")):
        raise UsageError(f"{typed!r} is not a whole path", "begin it with / or ~/")
    above, slash, beginning = text.rpartition("/")
    # Here a text without a slash is the home of a user: "~" or "~name".
    return (f"{above}/", beginning) if slash else (f"{text}/", "")


def _folders(above: Path, beginning: str) -> list[str]:
    """Return the names of the folders, one more than an answer has at most. Raises OSError."""
    with os.scandir(above) as entries:
        chosen = [
            entry for _, entry in zip(range(_LOOKED_AT), entries, strict=False) if is_offered(entry.name, beginning)
        ]
    found: list[str] = []
    for entry in sorted(chosen, key=lambda one: one.name):
        if _may_enter(entry):
            found.append(entry.name)
            if len(found) > MOST:
                break
    return found


def is_offered(name: str, beginning: str) -> bool:
    """Return True for a name that begins as typed and can be shown as it is. Hidden ones only after a typed dot."""
    if not name.startswith(beginning) or (name.startswith(".") and not beginning):
        return False
    # A byte that is not UTF-8, a control character and one that turns the direction of a text are not printable.
    return name.isprintable()


def _may_enter(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir() and os.access(entry.path, os.R_OK | os.X_OK)
    except OSError:
        return False
