"""Numbers, times and names in the form that people read."""

from __future__ import annotations

import datetime as dt
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Final

CONFLICT_KINDS: Final[Mapping[str, str]] = {
    "edit_edit": "edited here and on the server",
    "edit_delete": "edited here, deleted on the server",
    "delete_edit": "deleted here, edited on the server",
    "no_base": "different here and on the server",
}
"""Kinds of conflicts in words. The local side comes first.

Without a base nothing is known of the edits: both sides may be new, or the server was restored to an older state.
"""

_SHORT_ID: Final = 8
_UNSAFE: Final = frozenset({"Cc", "Cf", "Zl", "Zp", "Cs"})


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


def clock_after(stamp: str, earlier: str) -> str:
    """Return ``clock`` of a time that lies after another; with seconds, rounded up, where both read the same.

    The time that is shown is then late enough if a person types it.
    """
    shown, then = clock(stamp), parse_time(stamp)
    if then is None or shown != clock(earlier):
        return shown
    rounded = then if not then.microsecond else then.replace(microsecond=0) + dt.timedelta(seconds=1)
    return f"{clock(rounded.isoformat())}:{rounded.second:02}"


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


def machine_names(machines: Iterable[tuple[str, str]]) -> list[str]:
    """Return the names of machines, in their order. Those of one name have the beginning of their id beside it.

    Args:
        machines: id and name of each. The beginnings are as long as they must differ: ids made in one minute have
            their first digits in common.
    """
    pairs = list(machines)
    shown = []
    for id_, name in pairs:
        twins = [other for other, its_name in pairs if other != id_ and its_name == name]
        length = _SHORT_ID
        while length < len(id_) and any(other.startswith(id_[:length]) for other in twins):
            length += 1
        short = id_[:length]
        shown.append(short if not name else f"{name} ({short})" if twins else name)
    return shown


def machine_progress(state: str, behind: int | None) -> str:
    """Return how far a machine has come: ``every change``, ``all but 3 changes``.

    Args:
        state: up_to_date, behind or unknown.
        behind: number of changes that it has not applied; None if the server does not count them.
    """
    if state == "up_to_date":
        return "every change"
    if state == "behind":
        return f"all but {count_of(behind, 'change')}" if behind else "not the newest changes"
    return "not known"
