"""Texts that the agent itself writes to the trash, many of them at the cost of one wait for the disk."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

from agent.disk.apply.durable import sync_files
from agent.disk.fs.protocol import Dir, FileType, Fs


class TrashText(NamedTuple):
    """A text to write to the trash.

    Attributes:
        entry_id: decides, with the bytes, which entry it is.
    """

    path: str
    content: bytes
    reason: str
    entry_id: str


def write_texts(
    fs: Fs, staging: Dir, trash: Dir, texts: Sequence[TrashText], add: Callable[[str, TrashText, str], None]
) -> None:
    """Write texts that are no entries of the trash yet; durable on return.

    Args:
        add: moves a staged file, given by its name, into the trash as the entry of this text and sha256.

    Raises:
        OSError: the disk refused; some of the texts may be entries, and nothing else was left behind.
    """
    held = _held(fs, trash)
    named = [(text, hashlib.sha256(text.content).hexdigest()) for text in texts]
    new = {f"{text.entry_id}.part": (text, digest) for text, digest in named if (text.entry_id, digest) not in held}
    try:
        for part, (text, _) in new.items():
            _write(fs, staging, part, text.content)
        sync_files(fs, staging, list(new))
        for part, (text, digest) in list(new.items()):
            add(part, text, digest)
            del new[part]
    except OSError:
        for part in new:
            with contextlib.suppress(FileNotFoundError):
                fs.unlink(staging, part)
        raise
    fs.fsync_dir(trash)


def _held(fs: Fs, trash: Dir) -> set[tuple[str, str]]:
    """Return (id, sha256) of every entry, from the names alone: the trash may be large."""
    names = (entry.name.split("-", 3) for entry in fs.entries(trash) if entry.kind is FileType.FILE)
    return {(parts[1], parts[2]) for parts in names if len(parts) > 3}


def _write(fs: Fs, staging: Dir, part: str, content: bytes) -> None:
    with contextlib.suppress(FileNotFoundError):
        fs.unlink(staging, part)
    file = fs.create(staging, part, 0o600)
    try:
        fs.write(file, content)
    finally:
        fs.close(file)
