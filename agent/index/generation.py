"""Whether the index is the one that was last at work here, or an older copy of it that was put back.

An old index knows old bases: what was deleted or renamed since would look like work to be done again. Its generation
is counted up whenever it is put to work, and written down beside it as well; a copy that was put back is behind.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from agent.index.store import Index

WENT_BACK: Final = (
    "the index was put back from an older copy; raven-agent resume compares both sides as at a first link"
)


def advance(index: Index, beside: Path, sources: Iterable[int] = ()) -> bool:
    """Begin the next generation; whether this index is older than the last one. If it is, these sources are stopped
    until a person has looked; then both sides are compared as at a first link.

    Args:
        beside: the file that keeps the number outside the index. If it is lost, nothing is noticed this once.
    """
    row = index.connection.execute("SELECT number FROM generation").fetchone()
    known = _read(beside)
    # An index without a number is a fresh one: everything is a union anyway.
    went_back = row is not None and row[0] < known
    current = max(row[0] if row else 0, known) + 1
    with index.transaction():
        # Together with the number: once it is written, the next start finds nothing wrong with this index.
        for source in sources if went_back else ():
            _distrust(index, source)
        index.connection.execute("INSERT OR REPLACE INTO generation (only, number) VALUES (1, ?)", (current,))
    # Only now: a crash between the two leaves the file behind the index, which says nothing against it.
    partial = beside.with_name(beside.name + ".part")
    partial.touch(mode=0o600)
    partial.write_text(f"{current}\n")
    partial.replace(beside)
    return went_back


def _distrust(index: Index, source: int) -> None:
    standing = index.notes.source_row(source)
    index.notes.update_source_row(source, replace(standing, halted=WENT_BACK, rejoin=True))


def _read(beside: Path) -> int:
    with contextlib.suppress(OSError, ValueError):
        return int(beside.read_text())
    return 0
