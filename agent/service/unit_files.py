"""The files a service is made of: written whole, signed, and only ever replaced or removed while they are still ours.

The last line of each is a comment with the checksum of what stands before it. A file without that line, or with
another checksum, is somebody's own work and is left alone.
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
    """Whose a file is."""

    NOTHING = "nothing"
    OURS = "ours"
    FOREIGN = "foreign"


def template(name: str) -> str:
    """The text of a template: beside this module in an installed package, in its own folder in a checkout."""
    places = (_TEMPLATES / name, *(_CHECKOUT / folder / name for folder in _FOLDERS))
    for place in places:
        with contextlib.suppress(FileNotFoundError):
            return place.read_text("utf-8")
    raise ServiceFailed(f"the template {name} is missing from this installation", "install the program again")


def signed(text: str, comment: str = "# {}") -> str:
    """``text`` with the line that says whose it is; ``comment`` is how the format writes one."""
    body = text.rstrip("\n") + "\n"
    digest = hashlib.sha256(body.encode()).hexdigest()
    return body + comment.format(f"Written by `raven-agent service install`; sha256 {digest}") + "\n"


def look(path: Path) -> UnitFileOwner:
    """Whose the file at ``path`` is; a link, a folder and what cannot be read are not ours."""
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
    """Have ``path`` hold this signed text; says whether that changed it.

    Raises:
        Refused: a file of somebody else's stands there.
        ServiceFailed: the disk refused.
    """
    found = look(path)
    if found is UnitFileOwner.FOREIGN:
        raise ServiceRefused(
            f"{path} was not written by this command, or was changed since",
            "keep your changes in a drop-in or elsewhere, move the file away, and repeat",
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
    """Remove the file if it is ours; says whether there was one.

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
    """The note about a file that was not removed because it is not ours; none where there is nothing to say."""
    return (f"{path} was changed by hand and is left as it is",) if look(path) is UnitFileOwner.FOREIGN else ()
