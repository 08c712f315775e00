"""Commands on a terminal of their own, and what its screen shows afterwards: text with colours."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_CONTROL: Final = re.compile(r"\x1b\[([?\d;]*)([A-Za-z])|\x1b\][^\x07]*\x07|\r|\n|[^\x1b\r\n]+")


@dataclass(frozen=True)
class Style:
    """How a piece of text looks.

    Attributes:
        colour: number of the terminal's colour, 0 to 15; None for the usual one.
    """

    colour: int | None = None
    bold: bool = False
    dim: bool = False


PLAIN: Final = Style()
Line = list[tuple[str, Style]]
"""Pieces of one row, each with one style."""


def run_on_terminal(command: str, env: Mapping[str, str], cwd: Path, columns: int, rows: int = 40) -> str:
    """Run a command with a terminal of this size as its input and output. Returns the bytes it wrote, as text.

    Raises:
        subprocess.TimeoutExpired: it does not end within a minute.
    """
    master, slave = pty.openpty()
    try:
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        process = subprocess.Popen(
            ["/bin/sh", "-c", command],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=env,
            cwd=cwd,
            start_new_session=True,
        )
        os.close(slave)
        written = b""
        # The kernel answers EIO once no process holds the other end.
        with contextlib.suppress(OSError):
            while part := os.read(master, 65_536):
                written += part
        process.wait(60)
        return written.decode()
    finally:
        os.close(master)


def screen(written: str, columns: int) -> list[Line]:
    """The rows that a terminal of so many columns shows after this was written, without empty ones at the end."""
    rows: list[list[tuple[str, Style]]] = [[]]
    row = column = 0
    style = PLAIN
    for found in _CONTROL.finditer(written):
        text = found[0]
        if text == "\r":
            column = 0
        elif text == "\n":
            row += 1
        elif found[2] == "m":
            style = styled(style, found[1])
        elif found[2] == "A":
            row = max(0, row - int(found[1] or 1))
        elif found[2] == "K":
            _row(rows, row)[:] = _row(rows, row)[: 0 if found[1] == "2" else column]
        elif found[2] is None and not text.startswith("\x1b"):
            cells = _row(rows, row)
            cells += [(" ", PLAIN)] * (column - len(cells))
            cells[column : column + len(text)] = [(letter, style) for letter in text]
            column += len(text)
        _row(rows, row)
    lines = [joined(cells[at : at + columns]) for cells in rows for at in range(0, max(1, len(cells)), columns)]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _row(rows: list[list[tuple[str, Style]]], number: int) -> list[tuple[str, Style]]:
    while len(rows) <= number:
        rows.append([])
    return rows[number]


def joined(cells: Line) -> Line:
    """Pieces of the same style as one; spaces at the end are dropped."""
    pieces: Line = []
    for text, style in cells:
        if pieces and pieces[-1][1] == style:
            pieces[-1] = (pieces[-1][0] + text, style)
        else:
            pieces.append((text, style))
    while pieces and not pieces[-1][0].strip():
        pieces.pop()
    if pieces:
        pieces[-1] = (pieces[-1][0].rstrip(), pieces[-1][1])
    return pieces


def styled(style: Style, codes: str) -> Style:
    """The style after a colour sequence; unknown codes change nothing."""
    for code in (int(word or 0) for word in codes.split(";")):
        if code == 0:
            style = PLAIN
        elif code == 1:
            style = Style(style.colour, True, style.dim)
        elif code == 2:
            style = Style(style.colour, style.bold, True)
        elif code == 22:
            style = Style(style.colour)
        elif code == 39:
            style = Style(None, style.bold, style.dim)
        elif 30 <= code <= 37 or 90 <= code <= 97:
            style = Style(code - 30 if code < 90 else code - 82, style.bold, style.dim)
    return style
