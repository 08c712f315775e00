"""FD5: every stat value that a kernel can report is handled, and one odd file stops no scan."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

from agent.core.model import Fingerprint
from agent.disk.fs import posix
from agent.disk.fs.protocol import Stat
from agent.disk.root import RootIdentity
from agent.disk.scan.observe import observe_path
from agent.disk.scan.walk import scan
from agent.index import open_index
from disk.fixtures import Room, remember

_YEAR_2300 = 10_413_792_000 * 10**9
_MOST = (1 << 63) - 1


def fits(mark: Fingerprint | None) -> bool:
    """Every number fits a signed 64-bit column."""
    assert mark is not None
    return all(-_MOST - 1 <= one <= _MOST for one in (mark.size, mark.mtime_ns, mark.ctime_ns, mark.inode))


@pytest.mark.parametrize("mtime_ns", [_YEAR_2300, 2**63, 2**64, -1, -2_000_000_000 * 10**9, 0])
def test_fd5_a_file_with_any_modification_time_is_scanned(room: Room, mtime_ns: int) -> None:
    """FD5: it is observed, fits the index, and an unchanged file is not reported again."""
    file = room.folder / "odd.md"
    file.write_bytes(b"text")
    (room.folder / "plain.md").write_bytes(b"text")
    for path in (file, room.folder / "plain.md"):
        os.utime(path, ns=(10**18, 10**18))
    os.utime(file, ns=(mtime_ns, mtime_ns))
    batches = list(scan(room.root, room.selection, []))
    seen = [one for batch in batches for one in batch.seen]
    assert [one.path for one in seen] == ["odd.md", "plain.md"]
    assert all(one.side.is_file and fits(one.fingerprint) for one in seen)
    again = [one for batch in scan(room.root, room.selection, map(remember, seen)) for one in batch.seen]
    assert again == []
    file.write_bytes(b"TEXT")
    os.utime(file, ns=(mtime_ns, mtime_ns))
    assert observe_path(room.root, room.selection, "odd.md", remember(seen[0])).side != seen[0].side


def test_fd5_an_index_takes_what_the_scan_reports(room: Room, tmp_path: Path) -> None:
    """FD5: the values of a file from the year 2300 and with a 64-bit inode number go into SQLite columns."""
    mark = posix._stat(
        os.stat_result(
            (0o100644, 2**64 - 5, 2**64 - 1, 1, 0, 0, 4, 0, 0, 0), {"st_mtime_ns": 2**70, "st_ctime_ns": -(2**70)}
        )
    )
    assert mark == Stat(mark.kind, 4, _MOST, -_MOST - 1, -5, -1, 0o644)
    with contextlib.closing(open_index(tmp_path / "index.db")) as index:
        index.connection.execute("CREATE TABLE numbers(a INTEGER, b INTEGER, c INTEGER, d INTEGER) STRICT")
        index.connection.execute("INSERT INTO numbers VALUES (?, ?, ?, ?)", mark[2:6])


def test_fd5_a_root_with_a_64_bit_inode_is_the_linked_one() -> None:
    """FD5: a link stored before inode numbers were signed still matches."""
    assert RootIdentity(5, 2**64 - 7).is_same(RootIdentity(5, -7))
    assert not RootIdentity(5, 7).is_same(RootIdentity(5, 8))
