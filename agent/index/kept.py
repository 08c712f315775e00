"""Large texts beside the index: each is a file that is named by its sha256, durable before a row refers to it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

_NAME: Final = re.compile(r"[0-9a-f]{64}")
_UNFINISHED: Final = ".part"


class KeptFiles:
    """The folder of large texts, private to its owner. It is created with the first text."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, digest: str, content: bytes) -> None:
        """Keep a text under its sha256, durably on return. One that is already there whole is left alone.

        Raises:
            OSError: the disk refused; the text is not there.
        """
        if self.get(digest) is not None:
            return
        self._folder.mkdir(mode=0o700, exist_ok=True)
        part = self._folder / (digest + _UNFINISHED)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self._folder / digest)
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def get(self, digest: str) -> bytes | None:
        """Return a text; None if it is not here, cannot be read, or is damaged."""
        try:
            content = (self._folder / digest).read_bytes()
        except OSError:
            return None
        return content if hashlib.sha256(content).hexdigest() == digest else None

    def has(self, digest: str) -> bool:
        """Return True if there is a file for this text, without reading it."""
        return (self._folder / digest).is_file()

    def prune(self, wanted: Callable[[str], bool]) -> None:
        """Remove each text that is not ``wanted``, and unfinished ones. After an error, the next call goes on."""
        with contextlib.suppress(OSError):
            for path in list(self._folder.iterdir()):
                name = path.name.removesuffix(_UNFINISHED)
                if _NAME.fullmatch(name) and (path.name != name or not wanted(name)):
                    path.unlink()
