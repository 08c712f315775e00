"""Files of a service: written atomically, signed, and replaced or removed only while they are unchanged.

The last line of each is a comment with the checksum of the text before it. A file without that line, or with another
checksum, was written or changed by a person and is left alone.
"""

from __future__ import annotations

import contextlib
import enum
import hashlib
import re
from pathlib import Path
from typing import Final

from agent.service.errors import ServiceFailed, ServiceRefused
from agent.settings.owner_only_files import write_atomically

_SIGNATURE: Final = re.compile(r"Written by `raven-agent service install`; sha256 ([0-9a-f]{64})")
_TEMPLATES: Final = Path(__file__).with_name("templates")
_CHECKOUT: Final = Path(__file__).parents[2]
_FOLDERS: Final = ("systemd", "launchd", "packaging/autostart")


class UnitFileOwner(enum.Enum):
    """The owner of a file: none, this program, or somebody else."""

    NOTHING = "nothing"
    OURS = "ours"
    FOREIGN = "foreign"


def template(name: str) -> str:
    """Return the text of a template, from the installed package or from a checkout."""
    places = (_TEMPLATES / name, *(_CHECKOUT / folder / name for folder in _FOLDERS))
    for place in places:
        with contextlib.suppress(FileNotFoundError):
            return place.read_text("utf-8")
    raise ServiceFailed(f"the template {name} is missing from this installation", "install the program again")


def signed(text: str, comment: str = "# {}") -> str:
    """Return ``text`` with the line that signs it; ``comment`` is the comment form of the file format."""
    body = text.rstrip("\n") + "\n"
    digest = hashlib.sha256(body.encode()).hexdigest()
    return body + comment.format(f"Written by `raven-agent service install`; sha256 {digest}") + "\n"


def look(path: Path) -> UnitFileOwner:
    """Return the owner of the file at ``path``. Links, folders and unreadable files are foreign."""
    if not path.exists() and not path.is_symlink():
        return UnitFileOwner.NOTHING
    try:
        body, last = _split(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError):
        return UnitFileOwner.FOREIGN
    found = _SIGNATURE.search(last)
    ours = found is not None and not path.is_symlink()
    return (
        UnitFileOwner.OURS
        if ours and found and found[1] == hashlib.sha256(body.encode()).hexdigest()
        else UnitFileOwner.FOREIGN
    )


def _split(text: str) -> tuple[str, str]:
    body, newline, last = text.rstrip("\n").rpartition("\n")
    return body + newline, last


def write(path: Path, text: str, mode: int = 0o644) -> bool:
    """Write this signed text to ``path`` and return True if that changed the file.

    Raises:
        ServiceRefused: a foreign file is at the path.
        ServiceFailed: the disk refused.
    """
    found = look(path)
    if found is UnitFileOwner.FOREIGN:
        raise ServiceRefused(
            f"{path} was not written by this command, or was changed since",
            "keep your changes in a drop-in, move the file away, then repeat",
        )
    try:
        if found is UnitFileOwner.OURS and path.read_text("utf-8") == text:
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text.encode(), mode)
    except OSError as error:
        raise ServiceFailed(f"cannot write {path}: {error.strerror}") from error
    return True


def remove(path: Path) -> bool:
    """Remove the file if this program wrote it, and return True if it did.

    Raises:
        ServiceFailed: the disk refused.
    """
    if look(path) is not UnitFileOwner.OURS:
        return False
    try:
        path.unlink()
    except OSError as error:
        raise ServiceFailed(f"cannot remove {path}: {error.strerror}") from error
    return True


def left_alone(path: Path) -> tuple[str, ...]:
    """Return the note about a file that was not removed because a person changed it, if there is one."""
    return (f"{path} was changed by hand and is kept",) if look(path) is UnitFileOwner.FOREIGN else ()
