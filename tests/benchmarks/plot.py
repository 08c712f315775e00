"""A plot on two logarithmic axes, as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

_WIDTH: Final = 720
_HEIGHT: Final = 440
_LEFT: Final = 70
_RIGHT: Final = 170
_TOP: Final = 40
_BOTTOM: Final = 50
_COLOURS: Final = ("#1b6ca8", "#c8553d", "#3a7d44", "#7b4fa3", "#b8860b", "#555555")


@dataclass(frozen=True, slots=True)
class Curve:
    """One line of the plot: its name, and points whose coordinates are above nought, from left to right."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class _Axis:
    """Where values between two powers of ten stand."""

    least: int
    most: int
    start: float
    end: float

    @classmethod
    def over(cls, values: Sequence[float], start: float, end: float) -> _Axis:
        least, most = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
        return cls(least, max(most, least + 1), start, end)

    def at(self, value: float) -> float:
        share = (math.log10(value) - self.least) / (self.most - self.least)
        return round(self.start + share * (self.end - self.start), 1)

    def powers(self) -> list[float]:
        return [10.0**power for power in range(self.least, self.most + 1)]


def log_log(title: str, across: str, up: str, curves: Sequence[Curve]) -> str:
    """The whole picture. Where a curve runs as steep as the dashed line, twice the files cost twice as much."""
    points = [point for curve in curves for point in curve.points]
    x = _Axis.over([x for x, _ in points], _LEFT, _WIDTH - _RIGHT)
    y = _Axis.over([y for _, y in points], _HEIGHT - _BOTTOM, _TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif"'
        ' font-size="12" fill="#222">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        f'<text x="{_LEFT}" y="22" font-size="15">{escape(title)}</text>',
        *_grid(x, y, across, up),
        _linear(x, y),
    ]
    for number, curve in enumerate(curves):
        parts += _curve(curve, x, y, number)
    parts.append(f'<text x="{x.end + 20}" y="{68 + 20 * len(curves)}" fill="#777">dashed: linear</text>')
    return "\n".join([*parts, "</svg>\n"])


def _grid(x: _Axis, y: _Axis, across: str, up: str) -> list[str]:
    lines = []
    for value in x.powers():
        at = x.at(value)
        lines.append(f'<line x1="{at}" y1="{y.start}" x2="{at}" y2="{y.end}" stroke="#ddd"/>')
        lines.append(f'<text x="{at}" y="{y.start + 18}" text-anchor="middle">{value:,.0f}</text>')
    for value in y.powers():
        at = y.at(value)
        lines.append(f'<line x1="{x.start}" y1="{at}" x2="{x.end}" y2="{at}" stroke="#ddd"/>')
        lines.append(f'<text x="{x.start - 8}" y="{at + 4}" text-anchor="end">{value:g} {escape(up)}</text>')
    lines.append(f'<text x="{x.end}" y="{y.start + 38}" text-anchor="end">{escape(across)}</text>')
    return lines


def _linear(x: _Axis, y: _Axis) -> str:
    """From the left bottom corner up, as far as it fits: ten times the files, ten times the cost."""
    decades = min(x.most - x.least, y.most - y.least)
    ends = x.at(10.0 ** (x.least + decades)), y.at(10.0 ** (y.least + decades))
    return (
        f'<line x1="{x.start}" y1="{y.start}" x2="{ends[0]}" y2="{ends[1]}" stroke="#999" stroke-dasharray="5 4">'
        "<title>linear</title></line>"
    )


def _curve(curve: Curve, x: _Axis, y: _Axis, number: int) -> list[str]:
    colour = _COLOURS[number % len(_COLOURS)]
    places = [(x.at(across), y.at(up)) for across, up in curve.points]
    path = " ".join(f"{across},{up}" for across, up in places)
    dots = [f'<circle cx="{across}" cy="{up}" r="3.5" fill="{colour}"/>' for across, up in places]
    legend = 60 + 20 * number
    return [
        f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>',
        *dots,
        f'<rect x="{x.end + 20}" y="{legend - 9}" width="14" height="4" fill="{colour}"/>',
        f'<text x="{x.end + 40}" y="{legend - 2}">{escape(curve.name)}</text>',
    ]
