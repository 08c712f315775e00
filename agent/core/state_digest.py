"""One hash over all files of a source, by which two sides find out that they hold the same."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256


def state_digest(parts: Iterable[Sequence[tuple[str, str]]]) -> str:
    """Return the sha256, hexadecimal, of ``path NUL hash LF`` of every file, in UTF-8.

    Args:
        parts: paths with their hashes, in the order of the paths' UTF-8 bytes, in parts of any length.
    """
    running = sha256()
    for part in parts:
        running.update("".join([f"{path}\0{digest}\n" for path, digest in part]).encode())
    return running.hexdigest()
