"""Records of rewinds: what each changed, so that it can be undone. One JSON file for each source, the newest only."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from agent.settings.owner_only_files import ensure_private, write_atomically


class RewoundFile(Struct, frozen=True):
    """One file that a rewind changed.

    Attributes:
        path: relative path.
        before: sha256 before the rewind; None if there was no file.
        after: sha256 after it; None if the file was removed.
    """

    path: str
    before: str | None
    after: str | None


class Rewinds:
    """The newest rewind of each source of one home.

    Args:
        folder: the folder of the records. It is made, with mode 0700, with the first record.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, source: int, files: Sequence[RewoundFile]) -> None:
        """Store a record durably, before the first file is changed. Raises OSError or ConfigError if that fails."""
        ensure_private(self._folder)
        write_atomically(self._file(source), msgspec.json.encode(list(files)))

    def get(self, source: int) -> list[RewoundFile]:
        """Return the record of a source; an empty list if there is none or it is damaged."""
        with contextlib.suppress(FileNotFoundError, msgspec.DecodeError):
            return msgspec.json.decode(self._file(source).read_bytes(), type=list[RewoundFile])
        return []

    def delete(self, source: int) -> None:
        """Delete the record of a source, if there is one."""
        self._file(source).unlink(missing_ok=True)

    def _file(self, source: int) -> Path:
        return self._folder / f"{source}.json"
