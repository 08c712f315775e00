"""Numbers, times and names in the form that people read and type."""

from __future__ import annotations

import datetime as dt
import os
import re
from typing import TYPE_CHECKING, Any, Final

from agent.core.errors import UsageError
from agent.core.humanize import ago as ago
from agent.core.humanize import clock as clock
from agent.core.humanize import count_of as count_of
from agent.core.humanize import parse_time as parse_time
from agent.core.humanize import printable as printable
from agent.core.humanize import seconds_words as seconds_words
from agent.core.humanize import short_hash as short_hash
from agent.core.humanize import size_words as size_words
from agent.core.humanize import when as when
from agent.process.shell_words import quoted as quoted
from agent.process.shell_words import short_home as short_home
from agent.process.shell_words import short_homes as short_homes
from agent.process.shell_words import typed_path as typed_path

if TYPE_CHECKING:
    from pathlib import Path

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION: Final = re.compile(r"(?:\d+(?:\.\d+)?[smhdw])+")
_LONGEST: Final = 100 * 366 * 86_400
"""Seconds. A longer time would leave the range of dates."""


def parse_duration(text: str, *, needs_unit: bool = False) -> float:
    """Return the seconds of ``90``, ``30s``, ``10m``, ``1h30m``, ``2d`` or ``1w``.

    Raises:
        UsageError: none of those, not more than 0, more than a hundred years, or no unit where one is needed.
    """
    plain = text.strip().lower()
    if plain.isascii() and plain.isdigit():
        if needs_unit:
            raise UsageError(f"{plain} of what?", f"give a unit: {plain}s, {plain}m or {plain}h")
        seconds = float(plain)
    elif _DURATION.fullmatch(plain):
        seconds = sum(float(n) * _SECONDS[unit] for n, unit in re.findall(r"([\d.]+)([smhdw])", plain))
    else:
        raise UsageError(f"{text!r} is not a length of time", "for example 30s, 10m, 1h30m or 2d")
    if seconds <= 0:
        raise UsageError("a length of time is more than 0", "for example 30s, 10m, 1h30m or 2d")
    if seconds > _LONGEST:
        raise UsageError(f"{plain} is more than a hundred years", "for example 30s, 10m, 1h30m or 2d")
    return seconds


def moment_before(length: str) -> dt.datetime:
    """Return the time that lies ``length``, a length of time with its unit, before now. Raises UsageError."""
    return dt.datetime.now(dt.UTC) - dt.timedelta(seconds=parse_duration(length, needs_unit=True))


def moment(text: str, now: dt.datetime | None = None) -> dt.datetime:
    """Return a past time: ``2h`` or ``3d`` ago, ``14:30`` today, ``2026-03-01``, ``2026-03-01 14:30``, or RFC 3339.

    Seconds may follow the minutes: ``14:30:05``. A time without a zone is local.

    Raises:
        UsageError: none of those, or a time that is still to come.
    """
    local = (now or dt.datetime.now(dt.UTC)).astimezone()
    plain = text.strip().removesuffix(" ago").replace(" ", "T")
    if _DURATION.fullmatch(plain.lower()):
        return local - dt.timedelta(seconds=parse_duration(plain, needs_unit=True))
    if re.fullmatch(r"\d{1,2}(:\d{2}){1,2}", plain):
        plain = f"{local.date()}T{plain if plain.index(':') == 2 else f'0{plain}'}"
    try:
        found = dt.datetime.fromisoformat(plain).astimezone()
    except ValueError:
        raise UsageError(f"{text!r} is not a time", "for example 2h, 14:30, 14:30:05 or '2026-03-01 14:30'") from None
    if found > local:
        raise UsageError(f"{text!r} is still to come", "name a time that is past")
    return found


def working_directory() -> Path:
    """Return the working directory.

    Raises:
        UsageError: it was deleted.
    """
    from pathlib import Path

    try:
        return Path.cwd()
    except FileNotFoundError:
        raise UsageError("the working directory does not exist any more", "cd to a folder that exists") from None


def folder_path(text: str) -> str:
    """Return a FOLDER as typed, absolute and with links resolved; it need not exist. Raises UsageError."""
    return str(_resolved(_absolute(text)))


def file_path(text: str) -> str:
    """Return a PATH as typed, absolute. Links in its folder are resolved; its last part may be a link itself.

    Raises:
        UsageError: the working directory was deleted, or ``~NAME`` names no user.
    """
    typed = _absolute(text)
    if typed.name in ("", ".."):
        return str(_resolved(typed))
    return str(_resolved(typed.parent) / typed.name)


def _absolute(text: str) -> Path:
    """Return a typed path with ``~`` expanded, below the working directory if it is relative."""
    from pathlib import Path

    try:
        typed = Path(text).expanduser()
    except RuntimeError:
        raise UsageError(
            f"{text!r} begins with a user who is not known here", f"a folder of that name: ./{text}"
        ) from None
    return typed if typed.is_absolute() else working_directory() / typed


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except RuntimeError:
        # Links that form a loop lead nowhere, so the path stays as it is.
        return path


def working_directory_param() -> dict[str, str]:
    """Return the parameter ``cwd``; empty where the working directory was deleted or is not UTF-8.

    Only relative paths need it. An id is the same everywhere.
    """
    try:
        found = str(working_directory())
        found.encode()
    except (UsageError, UnicodeEncodeError):
        return {}
    return {"cwd": found}


def path_params(name: str, path: str) -> dict[str, Any]:
    """Return the parameters of a path: U+FFFD for each byte that is not UTF-8, with the true bytes beside it."""
    raw = os.fsencode(path)
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        import base64

        encoded = base64.b64encode(raw).decode("ascii")
        return {name: raw.decode("utf-8", "replace"), f"{name}_base64": encoded}
    return {name: path}
