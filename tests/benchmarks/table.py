"""The table: a line for each figure, with its baseline, their ratio, and what was aimed at."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_HEAD = ("figure", "measured", "baseline", "ratio", "target", "met")
_NONE = "–"


@dataclass(frozen=True, slots=True)
class AtMost:
    """A target for the figure itself, in seconds."""

    seconds: float

    def words(self) -> str:
        """As the table shows it."""
        return f"< {seconds(self.seconds)}"

    def met(self, figure: float, _baseline: float | None) -> bool:
        """Whether the figure keeps it."""
        return figure < self.seconds


@dataclass(frozen=True, slots=True)
class TimesBaseline:
    """A target for the figure as a multiple of its baseline."""

    times: float

    def words(self) -> str:
        """As the table shows it."""
        return f"< {self.times:g} × baseline"

    def met(self, figure: float, baseline: float | None) -> bool:
        """Whether the figure keeps it."""
        return baseline is not None and figure < self.times * baseline


@dataclass(frozen=True, slots=True)
class Line:
    """One figure.

    Attributes:
        figure: what was measured, in words.
        seconds: the result.
        baseline: what it is compared with, in words, and its seconds; None when nothing compares.
        target: what was aimed at; None when the figure is only for information.
    """

    figure: str
    seconds: float
    baseline: tuple[str, float] | None = None
    target: AtMost | TimesBaseline | None = None

    def cells(self) -> tuple[str, ...]:
        """The columns as text."""
        base = None if self.baseline is None else self.baseline[1]
        met = _NONE if self.target is None else ("yes" if self.target.met(self.seconds, base) else "no")
        return (
            self.figure,
            seconds(self.seconds),
            _NONE if self.baseline is None else f"{self.baseline[0]}: {seconds(self.baseline[1])}",
            _NONE if base is None else f"{self.seconds / base:.1f}",
            _NONE if self.target is None else self.target.words(),
            met,
        )


class Table:
    """The lines of one run, in the order they came."""

    def __init__(self) -> None:
        self.lines: list[Line] = []

    def add(self, *lines: Line) -> None:
        """Take these lines in."""
        self.lines += lines

    def markdown(self) -> str:
        """The whole table."""
        rows = [_HEAD, *(line.cells() for line in self.lines)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
        ruler = ["-" * width for width in widths]
        return "\n".join(_row(row, widths) for row in [rows[0], ruler, *rows[1:]])


def _row(cells: Sequence[str], widths: Iterable[int]) -> str:
    return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"


def seconds(value: float) -> str:
    """Seconds, or milliseconds below one second."""
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"


def median(samples: Sequence[float]) -> float:
    """The middle one."""
    return statistics.median(samples)


def p95(samples: Sequence[float]) -> float:
    """The smallest sample that at least 95% do not exceed (nearest rank)."""
    return sorted(samples)[math.ceil(0.95 * len(samples)) - 1]
