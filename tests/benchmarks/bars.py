"""Bars of parts that make up a whole, as SVG."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Final

_COLOURS: Final = ("#1b6ca8", "#c8553d", "#3a7d44", "#7b4fa3", "#b8860b", "#4a8c9a", "#a35d7b", "#777777")
_WIDTH: Final = 760
_LEFT: Final = 150
_RIGHT: Final = 70
_ROW: Final = 54
_TOP: Final = 50
_LEGEND_COLUMNS: Final = 3
_LEAST_LABEL: Final = 34.0
"""Width from which on a part carries its figure."""


def stacked(title: str, unit: str, bars: Mapping[str, Mapping[str, float]]) -> str:
    """The whole picture: a bar a name, a colour a part; all bars have one scale."""
    parts = list(dict.fromkeys(part for bar in bars.values() for part in bar))
    colours = {part: _COLOURS[number % len(_COLOURS)] for number, part in enumerate(parts)}
    most = max(sum(bar.values()) for bar in bars.values())
    legend_top = _TOP + _ROW * len(bars) + 16
    height = legend_top + 22 * -(-len(parts) // _LEGEND_COLUMNS) + 8
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif"'
        ' font-size="12" fill="#222">',
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
        f'<text x="12" y="26" font-size="15">{escape(title)}</text>',
    ]
    for row, (name, bar) in enumerate(bars.items()):
        top = _TOP + _ROW * row
        lines.append(f'<text x="{_LEFT - 10}" y="{top + 24}" text-anchor="end">{escape(name)}</text>')
        at = float(_LEFT)
        for part in parts:
            value = bar.get(part, 0.0)
            width = value / most * (_WIDTH - _LEFT - _RIGHT)
            tip = f"{part}: {value:.0f} {unit}"
            lines.append(
                f'<rect x="{at:.1f}" y="{top}" width="{width:.1f}" height="36" fill="{colours[part]}">'
                f"<title>{escape(tip)}</title></rect>"
            )
            if width >= _LEAST_LABEL:
                middle = at + width / 2
                lines.append(
                    f'<text x="{middle:.1f}" y="{top + 22}" text-anchor="middle" fill="white">{value:.0f}</text>'
                )
            at += width
        lines.append(f'<text x="{at + 8:.1f}" y="{top + 22}">{sum(bar.values()):.0f} {escape(unit)}</text>')
    for number, part in enumerate(parts):
        left = 12 + number % _LEGEND_COLUMNS * 250
        top = legend_top + number // _LEGEND_COLUMNS * 22
        lines.append(f'<rect x="{left}" y="{top}" width="12" height="12" fill="{colours[part]}"/>')
        lines.append(f'<text x="{left + 20}" y="{top + 11}">{escape(part)}</text>')
    return "\n".join([*lines, "</svg>\n"])
