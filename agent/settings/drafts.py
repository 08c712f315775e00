"""Drafts: a person's merge of a conflict that could not be used yet.

Drafts are files in the home, not rows of the index. The command that writes one may run while no agent runs, and only
the agent writes to the index. A draft also survives the loss of the index.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

FOLDER: Final = "drafts"
"""Name of the folder of drafts inside the home."""

_NAME: Final = re.compile(r"(\d+)-(\d+)\.(\d+)\.txt")


class Draft(Struct, frozen=True):
    """One kept merge.

    Attributes:
        source: the source's number in this home.
        conflict: the conflict's number, without its generation.
        generation: the generation of the conflict that the person saw. If the conflict has a newer one now, a side has
            moved since, and the draft is material for a new merge, not a decision.
        written_at: seconds since the epoch.
        file: the file that holds the text.
    """

    source: int
    conflict: int
    generation: int
    written_at: float
    file: Path

    def read(self) -> bytes:
        """Return the text. Raises FileNotFoundError if the draft was deleted meanwhile."""
        return self.file.read_bytes()


class Drafts:
    """The drafts of one home: at most one for each conflict; the newest replaces the older one.

    Args:
        folder: the folder of drafts (``HOME/drafts``). It is made, with mode 0700, when the first draft is kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, source: int, conflict: int, generation: int, text: bytes) -> Draft:
        """Keep a merge durably and return its draft. Raises OSError if the disk refuses it; the older one then stays.

        The text is written beside the older draft and fsynced before it replaces it, so that a crash leaves one of
        the two whole.
        """
        self._folder.mkdir(mode=0o700, exist_ok=True)
        target = self._folder / f"{source}-{conflict}.{generation}.txt"
        temporary = self._folder / f".{secrets.token_hex(8)}.part"
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        self._sync_folder()
        for older in self._of(source, conflict):
            if older.file != target:
                older.file.unlink(missing_ok=True)
        return Draft(source, conflict, generation, target.stat().st_mtime, target)

    def get(self, source: int, conflict: int) -> Draft | None:
        """Return the draft of a conflict, whatever its generation, or None."""
        found = self._of(source, conflict)
        return max(found, key=lambda draft: draft.generation) if found else None

    def list(self, source: int | None = None) -> tuple[Draft, ...]:
        """Return the drafts of a source, or all of them, the oldest first."""
        found = [draft for draft in self._all() if source is None or draft.source == source]
        return tuple(sorted(found, key=lambda draft: (draft.written_at, draft.source, draft.conflict)))

    def delete(self, source: int, conflict: int) -> None:
        """Delete the draft of a conflict, if there is one. Call it once a resolution with its text is carried out."""
        for draft in self._of(source, conflict):
            draft.file.unlink(missing_ok=True)

    def _of(self, source: int, conflict: int) -> Sequence[Draft]:
        return [draft for draft in self._all() if (draft.source, draft.conflict) == (source, conflict)]

    def _all(self) -> Sequence[Draft]:
        found = []
        with contextlib.suppress(FileNotFoundError):
            for file in self._folder.iterdir():
                matched = _NAME.fullmatch(file.name)
                if matched is None:
                    continue
                with contextlib.suppress(FileNotFoundError):
                    source, conflict, generation = (int(number) for number in matched.groups())
                    found.append(Draft(source, conflict, generation, file.stat().st_mtime, file))
        return found

    def _sync_folder(self) -> None:
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
