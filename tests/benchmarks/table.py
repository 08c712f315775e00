"""The table: a line for each figure, with its baseline, their ratio, and what was aimed at."""

from __future__ import annotations

import enum
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

_HEAD = ("figure", "measured", "baseline", "ratio", "target", "met")
_NONE: Final = "–"
_MB: Final = 1_000_000


class Group(enum.IntEnum):
    """Where in the table a line stands, whatever order the figures came in."""

    SCANNING = enum.auto()
    STARTING = enum.auto()
    TRANSFERS = enum.auto()
    WAYS = enum.auto()
    IDLE = enum.auto()
    MEMORY = enum.auto()
    COMMANDS = enum.auto()
    HUB = enum.auto()
    FAR = enum.auto()
    PEERS = enum.auto()


class Unit(enum.Enum):
    """What a figure counts."""

    SECONDS = "seconds"
    BYTES = "bytes"
    PERCENT = "percent"
    EACH_SECOND = "each second"
    COUNT = "count"


def shown(value: float, unit: Unit) -> str:
    """A figure as a person reads it."""
    match unit:
        case Unit.SECONDS:
            return seconds(value)
        case Unit.BYTES:
            return f"{value / _MB:.1f} MB" if value >= _MB else f"{value:.0f} bytes"
        case Unit.PERCENT:
            return f"{value:.3f} %"
        case Unit.EACH_SECOND:
            return f"{value:,.0f}/s"
        case Unit.COUNT:
            return f"{value:,.0f}"


class Target(Protocol):
    """What was aimed at."""

    def words(self, unit: Unit) -> str:
        """As the table shows it."""
        ...

    def met(self, figure: float, baseline: float | None) -> bool:
        """Whether the figure keeps it."""
        ...


@dataclass(frozen=True, slots=True)
class AtMost:
    """A bound for the figure itself."""

    value: float

    def words(self, unit: Unit) -> str:
        """As the table shows it."""
        return f"≤ {shown(self.value, unit)}"

    def met(self, figure: float, _baseline: float | None) -> bool:
        """Whether the figure keeps it."""
        return figure <= self.value


@dataclass(frozen=True, slots=True)
class TimesBaseline:
    """A bound for the figure as a multiple of its baseline."""

    times: float

    def words(self, _unit: Unit) -> str:
        """As the table shows it."""
        return f"≤ {self.times:g} × baseline"

    def met(self, figure: float, baseline: float | None) -> bool:
        """Whether the figure keeps it."""
        return baseline is not None and figure <= self.times * baseline


@dataclass(frozen=True, slots=True)
class AtLeast:
    """A bound from below for the figure itself."""

    value: float

    def words(self, unit: Unit) -> str:
        """As the table shows it."""
        return f"≥ {shown(self.value, unit)}"

    def met(self, figure: float, _baseline: float | None) -> bool:
        """Whether the figure keeps it."""
        return figure >= self.value


@dataclass(frozen=True, slots=True)
class Line:
    """One figure.

    Attributes:
        figure: what was measured, in words.
        value: the result, in ``unit``.
        baseline: what it is compared with, in words, and its result in the same unit; None when nothing compares.
        target: what was aimed at; None when the figure is only for information.
    """

    group: Group
    figure: str
    value: float
    baseline: tuple[str, float] | None = None
    target: Target | None = None
    unit: Unit = Unit.SECONDS

    def cells(self) -> tuple[str, ...]:
        """The columns as text."""
        base = None if self.baseline is None else self.baseline[1]
        met = _NONE if self.target is None else ("yes" if self.target.met(self.value, base) else "no")
        return (
            self.figure,
            shown(self.value, self.unit),
            _NONE if self.baseline is None else f"{self.baseline[0]}: {shown(self.baseline[1], self.unit)}",
            _NONE if not base else f"{self.value / base:.2f}",
            _NONE if self.target is None else self.target.words(self.unit),
            met,
        )


class Table:
    """The lines of one run."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self._beside: list[str] = []

    def add(self, *lines: Line) -> None:
        """Take these lines in."""
        self.lines += lines

    def beside(self, title: str, rows: Sequence[Sequence[str]]) -> None:
        """Show a table of another form after the lines; its first row is its head."""
        self._beside.append(f"**{title}**\n\n{markdown(rows)}")

    def markdown(self) -> str:
        """The whole table, group by group, and what stands beside it."""
        ordered = sorted(self.lines, key=lambda line: line.group)
        return "\n\n".join([markdown([_HEAD, *(line.cells() for line in ordered)]), *self._beside])


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Rows of text as a table; the first is its head."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    ruler = ["-" * width for width in widths]
    return "\n".join(_row(row, widths) for row in [rows[0], ruler, *rows[1:]])


def _row(cells: Sequence[str], widths: Iterable[int]) -> str:
    return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"


def seconds(value: float) -> str:
    """Seconds, or milliseconds below one second."""
    if value >= 1:
        return f"{value:.2f} s"
    return f"{value * 1000:.0f} ms" if value >= 0.01 else f"{value * 1000:.2g} ms"


def median(samples: Sequence[float]) -> float:
    """The middle one."""
    return statistics.median(samples)


def p95(samples: Sequence[float]) -> float:
    """The smallest sample that at least 95% do not exceed (nearest rank)."""
    return sorted(samples)[math.ceil(0.95 * len(samples)) - 1]
