"""Rules for relative paths: safe under a root, fit for a server, equal to a case-insensitive file system."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

MAX_PART_BYTES: Final = 255
"""The longest name that common file systems accept, in UTF-8 bytes."""
MAX_PATH_BYTES: Final = 4096

OWN_NAME: Final = ".raven-agent"
"""The agent's own folder inside a root; never synced, even if a server sends it."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
_DRIVE: Final = re.compile(r"[A-Za-z]:")
PLAIN_NAME: Final = r"\w[\w .,()+=@&'#%!~-]*"
"""Pattern of names that pass every check below, for a fast path: no leading dot, no colon."""
_PLAIN: Final = re.compile(f"{PLAIN_NAME}(?:/{PLAIN_NAME})*")
MAX_PLAIN: Final = MAX_PART_BYTES // 4
"""A number of characters that can never be more than ``MAX_PART_BYTES``."""
_IGNORED_BY_HFS: Final = re.compile(r"[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")


def collision_key(path: str) -> str:
    """Return a key that is equal for paths a case- or normalisation-insensitive file system may equate."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", path).casefold())


def to_nfc(name: str) -> str:
    """Return the name in composed form (NFC), as most programs and servers write it."""
    return unicodedata.normalize("NFC", name)


def are_one_name(before: int, other: int | None, after: int) -> bool | None:
    """Return True if a file system equates two spellings of a name, False if not, None if that is not proved.

    Args:
        before, after: inode of the file under the listed spelling, looked up before and after the other one.
        other: inode under the other spelling; None if there is no file.
    """
    if other in (before, after):
        return True
    # A file that was replaced meanwhile has two inodes, and may be the one that the other spelling showed.
    return False if before == after else None


def spelling_key(name: str) -> str:
    """Return a key that is equal for all spellings of a name that some file system equates."""
    return name.lower() if name.isascii() else collision_key(_IGNORED_BY_HFS.sub("", name))


def is_own_name(name: str) -> bool:
    """True if one part of a path is the agent's own name, in any spelling a file system may equate with it."""
    key = spelling_key(name)
    return key == OWN_NAME or key.startswith((OWN_NAME + "-", OWN_NAME + "."))


def check(path: str) -> str | None:
    """Return None if ``path`` is safe under a root and fit for a server, else one sentence with the reason.

    Only the text is judged. Links on the way are found when the path is walked.
    """
    if len(path) <= (MAX_PART_BYTES if path.isascii() else MAX_PLAIN) and _PLAIN.fullmatch(path):
        return None
    if not path:
        return "The path is empty."
    if _SURROGATE.search(path):
        return "The path is not valid Unicode."
    if "\x00" in path:
        return "The path holds a NUL character."
    if _CONTROL.search(path):
        return "The path holds a control character."
    if "\\" in path:
        return "The path holds a backslash."
    if path.startswith("/"):
        return "The path is absolute."
    if _DRIVE.match(path):
        return "The path begins like a drive letter."
    if len(path.encode()) > MAX_PATH_BYTES:
        return f"The path is longer than {MAX_PATH_BYTES} bytes."
    return _check_parts(path)


def _check_parts(path: str) -> str | None:
    if path.endswith("/"):
        return "The path ends with a slash."
    for part in path.split("/"):
        if not part:
            return "The path holds an empty part."
        if part in {".", ".."}:
            return f"The path holds the part '{part}'."
        if len(part.encode()) > MAX_PART_BYTES:
            return f"A part of the path is longer than {MAX_PART_BYTES} bytes."
        if is_own_name(part):
            return "The path holds a name the agent keeps for itself."
    return None


def parent_of(path: str) -> str:
    """Return the folder of a path; '' is the root."""
    return path.rpartition("/")[0]


def ancestors(path: str) -> list[str]:
    """Return the folders above ``path``, top first, without the root and the path itself."""
    parts = path.split("/")[:-1]
    return ["/".join(parts[: depth + 1]) for depth in range(len(parts))]
