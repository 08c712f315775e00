"""Detection of an index that was restored from an older copy.

An old index holds old bases: files deleted or renamed since then would look like work. Its generation rises with every
start and is also written to a file beside it. A restored copy has a smaller number than that file.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from agent.index.store import Index

_REMEDY: Final = "raven-agent resume merges both sides like a new link; nothing is deleted"
WENT_BACK: Final = f"the index was restored from an older copy; {_REMEDY}"


def advance(index: Index, beside: Path, sources: Iterable[int] = ()) -> bool:
    """Begin the next generation. Returns True if this index is older than the last one.

    An older index halts ``sources`` until a person resumes them; then both sides are merged like a new link.

    Args:
        beside: the file that holds the number outside the index. If it is lost, a restored copy is not noticed once.
    """
    row = index.connection.execute("SELECT number FROM generation").fetchone()
    known = _read(beside)
    # An index without a number is a new one: everything in it is a merge anyway.
    went_back = row is not None and row[0] < known
    current = max(row[0] if row else 0, known) + 1
    with index.transaction():
        # In one transaction with the number: once that is written, the next start finds nothing wrong.
        for source in sources if went_back else ():
            index.sources.put(source, replace(index.sources.get(source), halted=WENT_BACK, rejoin=True))
        index.connection.execute("INSERT OR REPLACE INTO generation (only, number) VALUES (1, ?)", (current,))
    # The file is written last: a crash before it leaves the file behind the index, which proves nothing.
    partial = beside.with_name(beside.name + ".part")
    partial.touch(mode=0o600)
    partial.write_text(f"{current}\n")
    partial.replace(beside)
    return went_back


def _read(beside: Path) -> int:
    with contextlib.suppress(OSError, ValueError):
        return int(beside.read_text())
    return 0
