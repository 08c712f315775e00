"""Texts of the merge page: conflicts between markers, and the text of a posted form with its own line ends."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from agent.core.draft_rebase import MarkedBlock, marked_blocks
from agent.core.errors import UsageError
from agent.ui.visit import Fields

CHOICES: Final[Mapping[str, str]] = {"mine": "Mine", "server": "Server", "both": "Both", "base": "Base"}
_SIDES: Final[Mapping[bytes, str]] = {b"local": "Mine", b"raven": "Server", b"draft": "Your merge"}

_MARKER_LINES: Final = re.compile(r"^(?:<<<<<<< [^\n]*|=======|>>>>>>> [^\n]*)\n", re.MULTILINE)

Hunk = Mapping[str, Any]
"""One region in conflict, as ``diff`` lists it."""


class OpenBlock(Struct, frozen=True):
    """A conflict that is left in a text.

    Attributes:
        left, right: the lines of its two sides.
        left_name, right_name: the sides' names.
        base: its lines in the base; None if there is none or they are not known.
    """

    left: str
    right: str
    left_name: str
    right_name: str
    base: str | None


def open_blocks(text: str, hunks: Sequence[Hunk]) -> list[OpenBlock]:
    """Return the conflicts that are left in a text, in order."""
    lines = text.encode().splitlines(keepends=True)
    found = []
    for block in _blocks(lines, hunks):
        left, right = _joined(block.left), _joined(block.right)
        found.append(
            OpenBlock(
                left=left,
                right=right,
                left_name=_name(lines[block.start], "Mine"),
                right_name=_name(lines[block.end - 1], "Server"),
                base=next((hunk["base"] for hunk in hunks if _is_of(hunk, left, right)), None),
            )
        )
    return found


def take(text: str, number: int, choice: str, hunks: Sequence[Hunk]) -> str:
    """Return the text with one side, both or the base in place of a conflict.

    Args:
        number: of the conflict in the text, from 0.
        choice: mine, server, both or base.

    Raises:
        UsageError: the text has no such conflict, or no base of it is known.
    """
    lines = text.encode().splitlines(keepends=True)
    blocks = _blocks(lines, hunks)
    if not 0 <= number < len(blocks) or choice not in CHOICES:
        raise UsageError("the text has no such conflict any more", "choose again")
    block = blocks[number]
    left, right = _joined(block.left), _joined(block.right)
    hunk = next((one for one in hunks if _is_of(one, left, right)), None)
    if block.end == len(lines) and hunk is not None:
        # A side that ends the file without a line end got one from the marker behind it.
        left = hunk["local"] if left == hunk["local"] + "\n" else left
        right = hunk["remote"] if right == hunk["remote"] + "\n" else right
    if choice == "base" and (hunk is None or hunk["base"] is None):
        raise UsageError("the base of this conflict is not known", "choose a side")
    both = left + ("\n" if left and not left.endswith("\n") and right else "") + right
    base = hunk["base"] if hunk is not None else ""
    chosen = {"mine": left, "server": right, "both": both, "base": base}[choice]
    return _joined(lines[: block.start]) + chosen + _joined(lines[block.end :])


def posted_text(form: Fields, like: str) -> str:
    """Return the text of a posted form.

    The editor sends the exact text as JSON. A text field makes all line ends alike, so that they are brought back to
    those of the text that was shown, ``like``.

    Raises:
        UsageError: the form holds no text.
    """
    if "exact" in form:
        try:
            found = json.loads(form.text("exact"))
        except ValueError:
            found = None
        if isinstance(found, str):
            # Half of a character that takes two is in no file; a text of a script can hold it.
            return found.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if "text" not in form:
        raise UsageError("the form holds no text", "load the page again")
    unix = form.text("text").replace("\r\n", "\n")
    return unix.replace("\n", "\r\n") if has_windows_line_ends(like) else unix


def has_windows_line_ends(text: str) -> bool:
    """Return True if most lines of a text end with a carriage return."""
    return text.count("\r\n") * 2 > text.count("\n")


def has_mixed_line_ends(text: str) -> bool:
    """Return True if a text field would change some line ends of a text. Markers always end with a line feed."""
    text = _MARKER_LINES.sub("", text)
    return 0 < text.count("\r\n") < text.count("\n") or text.count("\r") > text.count("\r\n")


def _blocks(lines: Sequence[bytes], hunks: Sequence[Hunk]) -> list[MarkedBlock]:
    return marked_blocks(lines, [(hunk["local"].encode(), hunk["remote"].encode()) for hunk in hunks])


def _is_of(hunk: Hunk, left: str, right: str) -> bool:
    return left in (hunk["local"], hunk["local"] + "\n") and right in (hunk["remote"], hunk["remote"] + "\n")


def _joined(lines: Sequence[bytes]) -> str:
    return b"".join(lines).decode()


def _name(marker: bytes, usual: str) -> str:
    return _SIDES.get(marker[8:].strip(), usual)
