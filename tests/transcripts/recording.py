"""A session on a terminal as an animated SVG: commands are typed, answers appear. It needs no script and no font file.

A reader who asks for less motion, and a viewer without animation, see the whole session at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from transcripts.console import comparable
from transcripts.terminal import Line, Style

COLUMN, ROW = 8.4, 20
"""Width and height of a letter, in pixels."""
_MARGIN, _BAR = 20, 36
_TYPING, _BEFORE, _AFTER, _ANSWER = 0.035, 0.5, 1.4, 0.4
"""Seconds: for a letter; before a command is typed; after its answer; from its end to the answer."""

_COLOURS: Final = (
    "#6e7681", "#ff7b72", "#3fb950", "#d29922", "#79c0ff", "#d2a8ff", "#56d4dd", "#c9d1d9",
    "#6e7681", "#ffa198", "#56d364", "#e3b341", "#a5d6ff", "#e2c5ff", "#b3f0ff", "#ffffff",
)  # fmt: skip
_TEXT, _GROUND, _FRAME = "#c9d1d9", "#0d1117", "#30363d"

_CSS: Final = f"""
text {{ font: 14px ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace; fill: {_TEXT};
  white-space: pre; }}
.b {{ font-weight: bold; }}
.d {{ fill: #8b949e; }}
.p {{ fill: #3fb950; }}
@media (prefers-reduced-motion: no-preference) {{
  .a {{ animation: show 0.01s backwards; }}
  .c {{ animation: type backwards; }}
}}
@keyframes show {{ from {{ opacity: 0; }} }}
@keyframes type {{ from {{ clip-path: inset(0 100% 0 0); }} to {{ clip-path: inset(0 0 0 0); }} }}
"""


@dataclass(frozen=True)
class Shown:
    """One command of a session, and its answer as the terminal shows it."""

    command: str
    answer: Sequence[Line]


def svg(title: str, description: str, session: Sequence[Shown], columns: int) -> str:
    """Draw a session."""
    rows = sum(1 + len(shown.answer) for shown in session)
    width, height = round(columns * COLUMN + 2 * _MARGIN), rows * ROW + _BAR + _MARGIN
    used = sorted({style.colour for shown in session for line in shown.answer for _, style in line} - {None}, key=str)
    colours = "".join(f".k{number} {{ fill: {_COLOURS[number]}; }}\n" for number in used if number is not None)
    dots = "".join(f'<circle cx="{20 + 18 * n}" cy="18" r="5" fill="{_FRAME}"/>' for n in range(3))
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
            'role="img" aria-labelledby="title description">',
            f'<title id="title">{escape(title)}</title>',
            f'<desc id="description">{escape(description)}</desc>',
            f"<style>{_CSS}{colours}</style>",
            f'<rect x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8" fill="{_GROUND}" '
            f'stroke="{_FRAME}"/>',
            dots,
            *_rows(session),
            "</svg>",
            "",
        ]
    )


def _rows(session: Sequence[Shown]) -> Iterator[str]:
    now, y = 0.0, _BAR + ROW - 6
    for shown in session:
        now += _BEFORE
        seconds = len(shown.command) * _TYPING
        yield _text([("$ ", Style())], y, "a p", f"animation-delay: {now - _BEFORE:.2f}s")
        typed = f"animation-delay: {now:.2f}s; animation-duration: {seconds:.2f}s; "
        typed += f"animation-timing-function: steps({len(shown.command)})"
        yield _text([(shown.command, Style(bold=True))], y, "c", typed, start=2)
        now += seconds + _ANSWER
        y += ROW
        for line in shown.answer:
            if line:
                yield _text(line, y, "a", f"animation-delay: {now:.2f}s")
            y += ROW
        now += _AFTER


def _text(line: Line, y: int, classes: str, css: str, start: int = 0) -> str:
    letters = sum(len(text) for text, _ in line)
    pieces = "".join(_piece(text, style) for text, style in line)
    # The stated length keeps columns in line, whatever font there is.
    size = f'textLength="{letters * COLUMN:.1f}" lengthAdjust="spacingAndGlyphs"'
    return f'<text class="{classes}" x="{_MARGIN + start * COLUMN:.1f}" y="{y}" {size} style="{css}">{pieces}</text>'


def _piece(text: str, style: Style) -> str:
    names = ["b"] if style.bold else []
    names += ["d"] if style.dim else []
    names += [] if style.colour is None else [f"k{style.colour}"]
    return f'<tspan class="{" ".join(names)}">{escape(text)}</tspan>' if names else escape(text)


def comparable_svg(text: str) -> str:
    """A drawing without what differs from run to run: times, ids, and the widths that follow from them."""
    return comparable(re.sub(r'textLength="[\d.]+"', "", text))
