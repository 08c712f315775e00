"""Filters of the templates: numbers, times, paths and commands in the form that people read and type."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

from markupsafe import Markup

from agent.core.humanize import count_of, machine_progress, parse_time, seconds_words, short_hash, size_words, when
from agent.process.shell_words import short_home, typed_path


def command(*words: object) -> str:
    """Return the command line for a person's shell: paths with ``~``, quoted where that is needed."""
    return " ".join(["raven-agent", *(_typed(word) for word in words)])


def _typed(word: object) -> str:
    text = str(word)
    return typed_path(text) if text.startswith("/") else shlex.quote(text)


def address(path: str, **query: object) -> str:
    """Return an address of this program with a query; empty values are left out."""
    kept = {name: value for name, value in query.items() if value not in (None, "", ())}
    return f"{path}?{urlencode(kept, doseq=True)}" if kept else path


def path_segment(text: object) -> str:
    """Return a text as parts of an address; slashes stay."""
    return quote(str(text), safe="/", errors="surrogateescape")


def local_time(stamp: object) -> str:
    """Return an RFC 3339 time as the local date and time with seconds."""
    then = parse_time(stamp)
    return "" if then is None else then.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def plain(word: object) -> str:
    """Return a code as words: ``up_to_date`` as ``up to date``."""
    return str(word).replace("_", " ")


def thousands(number: int) -> str:
    """Return a number with a thin space between groups of three digits."""
    return f"{number:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


TONES: Final[Mapping[str, str]] = {
    "up_to_date": "good",
    "ok": "good",
    "syncing": "busy",
    "pending_push": "busy",
    "pending_pull": "busy",
    "paused": "quiet",
    "offline": "care",
    "conflict": "care",
    "skipped": "quiet",
    "error": "bad",
    "halted": "bad",
    "failed": "bad",
    "not_checked": "quiet",
    "signed_out": "bad",
}
"""Tone of each state. A page also shows an icon and the word, so colour alone says nothing."""

ICONS: Final[Mapping[str, str]] = {"good": "✓", "busy": "↻", "quiet": "–", "care": "!", "bad": "✕"}


def tone(state: object) -> str:
    """Return good, busy, quiet, care or bad."""
    return TONES.get(str(state), "quiet")


def script_data(data: object) -> Markup:
    """Return JSON for a script element: no character of it can end the element, and none is escaped as text."""
    text = json.dumps(data)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 - the characters that matter in a script element are replaced above


FILTERS: Final[Mapping[str, Callable[..., Any]]] = {
    "address": address,
    "count_of": count_of,
    "local_time": local_time,
    "machine_progress": machine_progress,
    "path_segment": path_segment,
    "plain": plain,
    "script_data": script_data,
    "seconds_words": seconds_words,
    "short_hash": short_hash,
    "short_home": short_home,
    "size_words": size_words,
    "thousands": thousands,
    "tone": tone,
    "when": when,
}
