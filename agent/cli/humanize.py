"""Numbers, times and names in the form that people read and type."""

from __future__ import annotations

import datetime as dt
import os
import re
import unicodedata
from typing import TYPE_CHECKING, Any, Final

from agent.core.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION: Final = re.compile(r"(?:\d+(?:\.\d+)?[smhdw])+")
_LONGEST: Final = 100 * 366 * 86_400
"""Seconds. A longer time would leave the range of dates."""
_UNSAFE: Final = frozenset({"Cc", "Cf", "Zl", "Zp", "Cs"})


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

    A time without a zone is local.

    Raises:
        UsageError: none of those, or a time that is still to come.
    """
    local = (now or dt.datetime.now(dt.UTC)).astimezone()
    plain = text.strip().removesuffix(" ago").replace(" ", "T")
    if _DURATION.fullmatch(plain.lower()):
        return local - dt.timedelta(seconds=parse_duration(plain, needs_unit=True))
    if re.fullmatch(r"\d{1,2}:\d{2}", plain):
        plain = f"{local.date()}T{plain.zfill(5)}"
    try:
        found = dt.datetime.fromisoformat(plain).astimezone()
    except ValueError:
        raise UsageError(f"{text!r} is not a time", "for example 2h, 14:30, 2026-03-01 or '2026-03-01 14:30'") from None
    if found > local:
        raise UsageError(f"{text!r} is still to come", "name a time that is past")
    return found


def printable(text: object) -> str:
    """``text`` on one line, without characters that could steer a terminal or hide a part of a name."""
    return "".join(
        c if unicodedata.category(c) not in _UNSAFE else c.encode("unicode_escape", "surrogatepass").decode()
        for c in str(text)
    )


def size_words(count: float) -> str:
    """``1.5 MiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def seconds_words(seconds: float) -> str:
    """``45 s``, ``3 min``, ``2 h 5 min``, ``4 d``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86_400} d"


def when(stamp: object, now: dt.datetime | None = None) -> str:
    """Return a time for people: ``2 min ago`` within a day, else the local date and time; ``-`` for None."""
    then = parse_time(stamp)
    if then is None:
        return "-" if stamp is None else str(stamp)
    seconds = ((now or dt.datetime.now(dt.UTC)) - then).total_seconds()
    if 0 <= seconds < 86_400:
        return f"{seconds_words(seconds)} ago"
    return then.astimezone().strftime("%Y-%m-%d %H:%M")


def clock(stamp: object) -> str:
    """Return the local time of day of an RFC 3339 time, with the date unless it is today."""
    then = parse_time(stamp)
    if then is None:
        return str(stamp)
    local, today = then.astimezone(), dt.datetime.now().astimezone().date()
    return local.strftime("%H:%M" if local.date() == today else "%Y-%m-%d %H:%M")


def short_home(path: object) -> str:
    """Return a path with ``~`` for the person's home folder."""
    text, home = str(path), os.environ.get("HOME", "")
    if len(home) > 1 and (text == home or text.startswith(home + os.sep)):
        return "~" + text[len(home) :]
    return text


def typed_path(path: object) -> str:
    """Return a path as a person types it into a shell: with ``~``, and quoted where that is needed."""
    import shlex

    shown = short_home(path)
    if shown == "~":
        return shown
    return f"~/{shlex.quote(shown[2:])}" if shown.startswith("~/") else shlex.quote(shown)


def ago(stamp: str | None, now: dt.datetime) -> str:
    """Return the time from an RFC 3339 time to ``now``; ``never`` for None."""
    then = parse_time(stamp)
    return "never" if then is None else f"{seconds_words((now - then).total_seconds())} ago"


def parse_time(stamp: object) -> dt.datetime | None:
    """Parse an RFC 3339 time; None for anything else."""
    if not isinstance(stamp, str):
        return None
    try:
        then = dt.datetime.fromisoformat(stamp)
    except ValueError:
        return None
    return then if then.tzinfo else then.replace(tzinfo=dt.UTC)


def short_hash(digest: object) -> str:
    """Return the first 12 digits; ``-`` for "no such file"."""
    return str(digest)[:12] if digest else "-"


def count_of(number: int, noun: str) -> str:
    """``1 file``, ``2 files``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


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
