"""The one place a result becomes text: JSON, a terminal, or plain lines for a pipe.

A renderer turns a document into a ``View``, a list of blocks; the view is drawn with rich on a terminal and as
aligned columns elsewhere. All text of a view is made printable here, so that no file name can steer the
terminal.
"""

from __future__ import annotations

import contextlib
import enum
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from agent.cli.humanize import printable, short_homes
from agent.core.errors import AgentError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType


class Style(enum.StrEnum):
    """Meaning of a line; a colour on a terminal."""

    PLAIN = ""
    GOOD = "green"
    CARE = "yellow"
    BAD = "red"
    ASIDE = "dim"
    HEAD = "bold"


class OutputFormat(enum.Enum):
    """The form of stdout."""

    HUMAN = "human"
    JSON = "json"


class Verbosity(enum.IntEnum):
    """The amount of output besides the result."""

    QUIET = 0
    NORMAL = 1
    VERBOSE = 2


class TextLine(NamedTuple):
    """One line of text."""

    text: str
    tone: Style = Style.PLAIN


class Grid(NamedTuple):
    """Rows under headings; every cell is one line."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


OutputBlock = TextLine | Grid
View = Sequence[OutputBlock]
Renderer = Callable[[Any], View]


class OutputFailed(AgentError):
    """Standard output cannot be written: its disk is full, for example."""

    code = "output"


@contextlib.contextmanager
def writing() -> Iterator[TextIO]:
    """Give standard output for the length of a block. Its own errors get a type of their own.

    Raises:
        OutputFailed: it takes no text.
        BrokenPipeError: its reader went away.
    """
    try:
        yield sys.stdout
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        forget(sys.stdout)
        reason = (error.strerror or "it refused").lower()
        raise OutputFailed(
            f"standard output cannot be written: {reason}", "what the command did stays done; send its output elsewhere"
        ) from error


def forget(stream: TextIO) -> None:
    """Point a stream that cannot be written at /dev/null, so that the interpreter's last flush does not fail."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


class Output(NamedTuple):
    """The output of a command: result, notes and errors.

    Attributes:
        form: JSON, or words for a person.
        loudness: quiet drops notes and what only confirms an action.
    """

    form: OutputFormat
    loudness: Verbosity

    def data(self, document: Any, render: Renderer) -> None:
        """Write the result; it is what was asked for, so quiet does not drop it."""
        # Documents are made before, so that only the writing itself is at fault.
        if self.form is OutputFormat.JSON:
            text = _json(document, indent=2) + "\n"
            with writing() as out:
                out.write(text)
        else:
            view = render(document)
            with writing() as out:
                draw(view, out)

    def done(self, document: Any, render: Renderer) -> None:
        """Write what an action changed; quiet drops the human form."""
        if self.form is OutputFormat.JSON or self.loudness > Verbosity.QUIET:
            self.data(document, render)

    def each(self, document: Any, render: Renderer) -> None:
        """Write one document of a stream: a line of JSON, or its view."""
        if self.form is OutputFormat.JSON:
            text = _json(document, separators=(",", ":")) + "\n"
            with writing() as out:
                out.write(text)
        else:
            view = render(document)
            with writing() as out:
                draw(view, out)

    def note(self, text: str) -> None:
        """Say something beside the result, on stderr."""
        if self.form is OutputFormat.HUMAN and self.loudness > Verbosity.QUIET:
            draw([TextLine(short_homes(text), Style.ASIDE)], sys.stderr)

    def plan(self, document: Any, render: Renderer) -> None:
        """Show what would be done before a question about it, on stderr."""
        if self.form is OutputFormat.HUMAN:
            draw(render(document), sys.stderr)


def _json(document: Any, **style: Any) -> str:
    # Imported where it is used: what only says something about the program has no document.
    import json

    return json.dumps(document, **style)


def show_error(form: OutputFormat, code: str, message: str, hint: str | None) -> None:
    """Write an error to stderr. A stderr that does not take it changes no exit code."""
    try:
        _write_error(form, code, message, hint)
        sys.stderr.flush()
    except OSError:
        forget(sys.stderr)


def _write_error(form: OutputFormat, code: str, message: str, hint: str | None) -> None:
    if form is OutputFormat.JSON:
        sys.stderr.write(_json({"error": {"code": code, "message": message, "hint": hint}}) + "\n")
        return
    # The journal takes a line's priority from its beginning.
    priority = "<3>" if stderr_is_journal() else ""
    draw([TextLine(f"{priority}error: {short_homes(message)}", Style.BAD)], sys.stderr)
    if hint:
        draw([TextLine(f"{priority}hint: {short_homes(hint)}", Style.ASIDE)], sys.stderr)


def stderr_is_journal() -> bool:
    """True if stderr is the stream that systemd named, and was not redirected since."""
    try:
        found = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


def is_terminal(stream: TextIO) -> bool:
    """True if this stream is a terminal; a closed stream is none."""
    try:
        return stream.isatty()
    except ValueError:
        return False


def may_ask() -> bool:
    """True if a person can answer a question."""
    return is_terminal(sys.stdin) and is_terminal(sys.stderr)


def draw(view: View, stream: TextIO) -> None:
    """Write a view to a stream."""
    if is_terminal(stream) or os.environ.get("FORCE_COLOR"):
        console = console_for(stream)
        for block in view:
            if isinstance(block, Grid) and _width(block) > console.width:
                # Cells folded over several lines can be neither read nor copied, so the terminal wraps whole rows.
                for text in _plain(block):
                    console.print(rich_block(TextLine(text)), soft_wrap=True)
            else:
                console.print(rich_block(block), soft_wrap=isinstance(block, TextLine))
        return
    for block in view:
        for text in _plain(block):
            stream.write(text + "\n")


def console_for(stream: TextIO) -> Console:
    """A rich console that takes no text for markup."""
    from rich.console import Console

    return Console(file=stream, markup=False, highlight=False, emoji=False)


def rich_block(block: OutputBlock) -> RenderableType:
    """A block as rich draws it."""
    from rich.table import Table
    from rich.text import Text

    if isinstance(block, TextLine):
        return Text(printable(block.text), style=block.tone.value)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in block.headings:
        table.add_column(heading, overflow="fold")
    for row in block.rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    return table


def _width(grid: Grid) -> int:
    """Return the cells of a grid whose rows are one line each."""
    from rich.cells import cell_len

    columns = zip(grid.headings, *grid.rows, strict=True)
    return sum(max(cell_len(printable(cell)) for cell in column) for column in columns) + 2 * (len(grid.headings) - 1)


def _plain(block: OutputBlock) -> list[str]:
    if isinstance(block, TextLine):
        return [printable(block.text)]
    rows = [block.headings, *(tuple(printable(cell) for cell in row) for row in block.rows)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(block.headings))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
