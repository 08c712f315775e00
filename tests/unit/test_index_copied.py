"""An index that changes hands: of another machine, of an unlinked source, on a disk that refuses it."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from agent.core.conflict import Conflict, ConflictOrigin, ConflictState
from agent.core.errors import IndexUnavailable
from agent.core.model import ABSENT, ConflictKind, Intent, Presence, Purpose, Reason, Resolution, Side, file_side
from agent.core.reconcile import Step
from agent.core.remote_records import Operation, RemoteFile, Verb
from agent.index import Index, open_index, open_reader
from agent.index.operations import PushReason
from agent.index.problems import PathProblem, ProblemOrigin
from agent.index.sources import SourceRow
from agent.index.trash_outbox import PendingTrashWrite
from agent.index.trees import PathRow

A, B = "a" * 64, "b" * 64
ONE, OTHER = 1, 2


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    with contextlib.closing(open_index(tmp_path / "index.sqlite")) as opened:
        yield opened


def opened(index: Index, path: str, origin: ConflictOrigin, source: int = ONE, **changes: Any) -> Conflict:
    """A conflict of a source, as the index stored it."""
    found = Conflict(
        0, 1, path, ConflictKind.EDIT_EDIT, origin, A, A, B, B, (), 5.0, ConflictState.OPEN, mine=True
    )  # fmt: skip
    return index.conflicts.open(source, replace(found, **changes))


def test_conflicts_of_a_copied_index_are_listed_and_not_decided(index: Index) -> None:
    """A copied index: the server's conflicts belong to that machine, its decisions are not carried out here.

    Conflicts that the server does not know are found again from the trees. A refused server edit belongs to every
    machine; one that waited behind another machine's conflict is the next of its path.
    """
    decided: dict[str, Any] = {"state": ConflictState.RESOLVING, "choice": Resolution.KEEP_LOCAL, "wanted_hash": A}
    known = opened(index, "known.md", ConflictOrigin.TREES, server_ids=("c-1",), **decided)
    opened(index, "here.md", ConflictOrigin.TREES)
    edit = opened(index, "edit.md", ConflictOrigin.SERVER_EDIT, server_ids=("c-2",), **decided)
    waiting = opened(index, "known.md", ConflictOrigin.SERVER_EDIT, server_ids=("c-3",), mine=False)
    closed = opened(index, "old.md", ConflictOrigin.TREES, choice=Resolution.KEEP_RAVEN)
    index.conflicts.close(closed, 9.0)
    index.operations.add(ONE, [(Operation("o1", "a.md", Verb.UPSERT, A, 1, None), 0)], PushReason.PUSH, 1.0)
    index.approvals.add(ONE, [("a.md", A)])
    index.undone_deletes.add(ONE, [("b.md", B)])
    index.journal.add(ONE, [Intent("i1", "a.md", A, None, Purpose.PULL)], 1.0)
    index.trees.put(ONE, [PathRow("a.md", file_side(A), file_side(B), None, file_side(A))])

    index.detach_from_other_machine(ONE)

    live = {conflict.id: conflict for conflict in index.conflicts.live(ONE)}
    undecided: dict[str, Any] = {"state": ConflictState.OPEN, "choice": None, "wanted_hash": None}
    assert live == {
        known.id: replace(known, origin=ConflictOrigin.FOREIGN, mine=False, **undecided),
        edit.id: replace(edit, **undecided),
        waiting.id: replace(waiting, mine=True),
    }
    assert [conflict.id for conflict in index.conflicts.resolved(ONE, "old.md")] == [closed.id]
    assert index.conflicts.get(closed.id) == (ONE, replace(closed, state=ConflictState.CLOSED))
    assert index.conflicts.get(99) is None
    assert index.operations.open(ONE) == []
    assert index.approvals.all(ONE) == {} and index.undone_deletes.all(ONE) == {}
    # The journal is of this disk, and the trees are observations.
    assert [intent.id for intent in index.journal.all(ONE)] == ["i1"]
    assert index.trees.has_files(ONE)


def test_a_source_is_forgotten_whole_and_alone(index: Index) -> None:
    """Only its activity, its traffic and the texts that its trash still needs are left; others keep everything."""
    for source in (ONE, OTHER):
        index.trees.put(source, [PathRow("a.md", file_side(A), file_side(A), None, file_side(B), step=Step.PULL)])
        index.listing.add(source, [RemoteFile("a.md", B)])
        index.operations.add(
            source, [(Operation(f"o{source}", "a.md", Verb.UPSERT, A, 1, None), 0)], PushReason.PUSH, 1.0
        )
        index.journal.add(source, [Intent(f"i{source}", "a.md", A, None, Purpose.PULL)], 1.0)
        opened(index, "c.md", ConflictOrigin.TREES, source)
        index.sources.put(source, SourceRow(cursor="7"))
        index.problems.add(source, [PathProblem("p.md", ProblemOrigin.PULL, Reason.REFUSED, "no", 1.0)])
        index.approvals.add(source, [("a.md", A)])
        index.undone_deletes.add(source, [("a.md", A)])
        index.activity.append(source, 1.0, [("a.md", "pushed", None, None)])
        index.traffic.add(source, 1.0, 1, 7, 0, (1, 7))
        index.trash_outbox.add(source, PendingTrashWrite(f"t{source}", "a.md", A, "overwritten"))

    def rows(source: int) -> dict[str, int]:
        tables = [name for (name,) in index.connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = {}
        for table in tables:
            columns = {column for _, column, *_ in index.connection.execute(f"PRAGMA table_info({table})")}
            if "source" in columns:
                sql = f"SELECT count(*) FROM {table} WHERE source = ?"
                (found[table],) = index.connection.execute(sql, (source,)).fetchone()
        return found

    before = rows(OTHER)
    index.forget_source(ONE)
    assert {table for table, count in rows(ONE).items() if count} == {"activity", "stashes", "traffic"}
    assert rows(OTHER) == before and sum(map(bool, before.values())) >= 10


def test_a_scan_of_paths_knows_what_a_whole_scan_knows(index: Index) -> None:
    """Both read the same columns, also of a side that could not be read or is gone."""
    sides = {
        "a.md": file_side(A, 3),
        "gone.md": ABSENT,
        "closed.md": Side(Presence.UNKNOWN, None, None, Reason.UNREADABLE),
        "large.md": Side(Presence.FILE, B, 9, Reason.TOO_LARGE),
    }
    index.trees.put(ONE, [PathRow(path, file_side(A), side) for path, side in sides.items()])
    found = index.trees.known_at(ONE, [*sides, "never.md"])
    assert {path: known.side for path, known in found.items()} == sides
    assert all(known.fingerprint is None for known in found.values())
    assert [row[0] for row in index.trees.known(ONE)] == sorted(sides)


@pytest.mark.parametrize("error", [sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY])
def test_a_disk_that_refuses_the_index_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    """A quarantine would throw a sound index away, so the error names the disk and nothing is moved."""
    file = tmp_path / "index.sqlite"
    open_index(file).close()

    def refuse(_connection: sqlite3.Connection) -> None:
        found = sqlite3.OperationalError("the disk says no")
        found.sqlite_errorcode = error
        raise found

    monkeypatch.setattr("agent.index.store.migrate", refuse)
    with pytest.raises(IndexUnavailable, match="cannot be used now: the disk says no"):
        open_index(file)
    assert [path.name for path in tmp_path.iterdir() if "damaged" in path.name] == []


def test_a_failed_step_leaves_nothing_and_readers_see_whole_ones(index: Index, tmp_path: Path) -> None:
    with contextlib.closing(open_reader(tmp_path / "index.sqlite")) as reader:
        with contextlib.suppress(RuntimeError), index.transaction():
            index.approvals.add(ONE, [("a.md", A)])
            assert reader.approvals.all(ONE) == {}
            raise RuntimeError("the step fails")
        assert index.approvals.all(ONE) == reader.approvals.all(ONE) == {}
        with index.transaction():
            index.approvals.add(ONE, [("a.md", A)])
        assert reader.approvals.all(ONE) == {"a.md": A}
