"""The index: whole after a crash, private, refused when newer, set aside when damaged."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from agent.core.conflict import ConflictState
from agent.core.delete_guard import MissingFile
from agent.core.errors import IndexDamaged, IndexTooNew
from agent.core.model import (
    ABSENT,
    OUT_OF_SCOPE,
    ConflictKind,
    Fingerprint,
    Intent,
    Presence,
    Purpose,
    Reason,
    Resolution,
    Side,
    file_side,
    side_of,
)
from agent.core.reconcile import Step
from agent.core.remote_records import Operation, Verb
from agent.core.version import Version
from agent.index import Index, migrate, open_index, open_reader, quarantine
from agent.index.generation import WENT_BACK, advance
from agent.index.migrate import SCHEMA_VERSION
from agent.index.operations import OperationState, OverwriteSuspect, PushReason
from agent.index.problems import ProblemOrigin
from agent.index.trees import PathRow
from support.effort import effort

A, B, C = "a" * 64, "b" * 64, "c" * 64


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the index lies."""
    return tmp_path / "index.sqlite"


def _full_row() -> PathRow:
    local = Side(file_side(A).presence, B, 12, Reason.TOO_LARGE)
    return PathRow(
        "d/ü.md",
        side_of(Version(A, 10, "v1", "f-1")),
        local,
        Fingerprint(12, 5, 6, 7, "x" * 32, racy=True),
        side_of(Version(C, 11, "v2", "f-2")),
        42,
        Step.PARK,
    )


def _opened(path: Path) -> contextlib.closing[Index]:
    return contextlib.closing(open_index(path))


def test_a_row_comes_back_as_it_went_in(path: Path) -> None:
    """Every field of the three trees survives the way through the table."""
    row = _full_row()
    with _opened(path) as index:
        index.trees.put(1, [row])
        assert index.trees.get(1, [row.path])[row.path] == row
        assert list(index.trees.all(1)) == [row]


def test_a_path_nothing_is_known_of_has_no_row(path: Path) -> None:
    """An empty row is deleted, and asking for it answers an empty one."""
    with _opened(path) as index:
        index.trees.put(1, [_full_row()])
        index.trees.put(1, [PathRow("d/ü.md", ABSENT, OUT_OF_SCOPE, None, ABSENT)])
        assert index.trees.get(1, ["d/ü.md"]) == {"d/ü.md": PathRow("d/ü.md")}
        assert index.trees.totals(1) == (0, 0)


def test_known_paths_are_sorted_as_a_look_walks(path: Path) -> None:
    """By code points of the whole path, which is the order of a look."""
    names = ["b.md", "a/b.md", "a.md", "a-b.md", "Z.md", "é.md"]
    with _opened(path) as index:
        index.trees.put(1, [PathRow(name, local=file_side(A)) for name in names])
        assert [known[0] for known in index.trees.known(1)] == sorted(names)


def test_arrivals_are_paths_that_received_a_new_text(path: Path) -> None:
    """FB3: uploads not sent yet, and those acknowledged within the window; a path that kept its text is none."""
    with _opened(path) as index:
        gone = PathRow("old.md", file_side(A), ABSENT, None, file_side(A), step=Step.PUSH_DELETE)
        kept = PathRow("kept.md", file_side(A), file_side(A), None, file_side(A))
        moved = PathRow("new.md", ABSENT, file_side(A), None, ABSENT, step=Step.PUSH)
        index.trees.put(1, [gone, kept, moved])
        for number, at in enumerate((10.0, 20.0, 30.0)):
            operation = Operation(f"o{number}", f"sent{number}.md", Verb.UPSERT, A, 1, None)
            index.operations.add(1, [(operation, 0)], PushReason.PUSH, at)
        recent = index.recent_deletes
        assert recent.due(1, Step.PUSH_DELETE) == [MissingFile("old.md", A)]
        assert recent.arrived(1, Step.PUSH_DELETE, 15.0) == {"new.md", "sent1.md", "sent2.md"}
        assert recent.texts(1, Step.PUSH_DELETE, ["kept.md", "new.md", "old.md"]) == [
            ("kept.md", A, None), ("new.md", A, None)
        ]  # fmt: skip


def test_a_transaction_is_whole_or_nothing(path: Path) -> None:
    """What an exception interrupts leaves nothing behind."""
    with _opened(path) as index:
        with pytest.raises(RuntimeError), index.transaction():
            index.trees.put(1, [_full_row()])
            raise RuntimeError
        assert list(index.trees.all(1)) == []


def test_operations_and_intents_outlive_the_process(path: Path) -> None:
    """Ids, stages, suspects and journalled intents are there after the index is opened again."""
    operation = Operation("op-1", "a.md", Verb.MOVE, A, 3, A, "v1", "f-1", "old.md")
    intent = Intent("00ff", "b.md", B, A, Purpose.PULL, "from.md", "v2", "f-2")
    with _opened(path) as index:
        (entry,) = index.operations.add(1, [(operation, 7)], PushReason.PUSH, 5.0)
        index.operations.set_suspects("op-1", [OverwriteSuspect(C, 9, "v0")])
        index.operations.set_resume("op-1", '{"session": 1}')
        index.operations.set_result(structs.replace(entry, rev="v3"))
        index.operations.move({entry.seq: (OperationState.ACKED, 9)})
        index.journal.add(1, [intent], 5.0)
    with _opened(path) as index:
        (entry,) = index.operations.open(1)
        assert (entry.operation, entry.state, entry.suspects) == (
            operation,
            OperationState.ACKED,
            (OverwriteSuspect(C, 9, "v0"),),
        )
        assert (entry.resume, entry.rev) == ('{"session": 1}', "v3")
        assert (entry.after, entry.echoed) == (7, 9)
        assert index.journal.all(1) == [intent]
        index.operations.move({entry.seq: (OperationState.DONE, None)})
        assert index.operations.open(1) == [] and index.operations.by_ids(1, ["op-1"])


def test_operations_are_found_by_id_in_any_number(path: Path) -> None:
    """A page's echoes cost what they are, not what was ever pushed."""
    with _opened(path) as index:
        costs = []
        for start, end in ((0, 50), (50, 5000)):
            made = [(Operation(f"op-{n}", f"{n}.md", Verb.UPSERT, A, 3, None), 0) for n in range(start, end)]
            index.operations.add(1, made, PushReason.PUSH, 5.0)
            wanted = [f"op-{n}" for n in range(20)]
            costs.append(effort(index.connection, lambda: index.operations.by_ids(1, wanted)))  # noqa: B023
        assert costs[1] < 2 * costs[0]


def test_operations_moved_together_are_moved_as_each_says(path: Path) -> None:
    """Stretches with gaps, other stages and other positions among them."""
    operations = [Operation(f"op-{n}", f"{n}.md", Verb.UPSERT, A, 3, None) for n in range(6)]
    with _opened(path) as index:
        entries = index.operations.add(1, [(operation, 0) for operation in operations], PushReason.PUSH, 5.0)
        moves = [
            (OperationState.ACKED, 11),
            (OperationState.ACKED, 12),
            None,
            (OperationState.ACKED, 14),
            (OperationState.ACKED, 20),
            (OperationState.DONE, None),
        ]
        index.operations.move({entry.seq: move for entry, move in zip(entries, moves, strict=True) if move})
        found = index.operations.by_ids(1, [operation.id for operation in operations])
        assert [(found[o.id].state, found[o.id].echoed) for o in operations] == [
            move or (OperationState.STORED, None) for move in moves
        ]


def test_the_index_is_private_and_readers_cannot_write(path: Path) -> None:
    """0600, and a reader beside the writer is refused any change."""
    with _opened(path) as index, contextlib.closing(open_reader(path)) as reader:
        index.trees.put(1, [_full_row()])
        assert path.stat().st_mode & 0o077 == 0
        assert [row.path for row in reader.trees.all(1)] == ["d/ü.md"]
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader.trees.put(1, [_full_row()])


def test_a_current_index_opens_without_sqlite_utils(path: Path) -> None:
    """Only the migration of an older index imports it; every start pays for imports. A new index is made without it."""
    program = (
        "import sys\nfrom pathlib import Path\nfrom agent.index import open_index\n"
        "open_index(Path(sys.argv[1])).close()\nassert 'sqlite_utils' not in sys.modules\n"
    )
    for _ in ("new", "current"):
        subprocess.run([sys.executable, "-c", program, str(path)], check=True, cwd=Path(__file__).parents[2])


def test_a_new_index_equals_one_of_sqlite_utils(path: Path) -> None:
    """Its schema, its records of migrations and its version are those that the migrations leave behind."""
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as migrated:
        # An own table, so that it counts as an older index.
        migrated.execute("CREATE TABLE older (id INTEGER)")
        migrate.migrate(migrated)
        migrated.execute("DROP TABLE older")
        with _opened(path) as index:
            assert _tables(index.connection) == _tables(migrated)
            [new], [old] = (
                connection.execute("SELECT applied_at FROM _sqlite_migrations LIMIT 1").fetchall()
                for connection in (index.connection, migrated)
            )
            assert [dt.datetime.fromisoformat(at).utcoffset() for (at,) in (new, old)] == [dt.timedelta(0)] * 2
            assert len(new[0]) == len(old[0])


def test_migrations_are_numbered_without_gaps(path: Path) -> None:
    """The newest number is the schema's version, and every file is on record once applied."""
    files = sorted(migrate.MIGRATIONS.glob("*.sql"))
    assert [int(file.name[:2]) for file in files] == list(range(1, SCHEMA_VERSION + 1))
    with _opened(path) as index:
        applied = [name for _, _, name in _tables(index.connection)[1]]
    assert applied == [file.stem.partition("-")[2] for file in files]


def test_every_table_is_strict(path: Path) -> None:
    """A value of another type than the column's is refused, not converted."""
    with _opened(path) as index:
        tables = index.connection.execute("SELECT name, strict FROM pragma_table_list WHERE type = 'table'").fetchall()
    own = {name: strict for name, strict in tables if not name.startswith(("sqlite_", "_sqlite"))}
    assert len(own) == 18 and all(own.values()), own


def test_the_schema_comments_name_what_the_enums_hold() -> None:
    """Each ``enum NAME: values`` comment lists exactly the members of that enum."""
    kinds = (Presence, Step, Verb, PushReason, OperationState, ConflictKind, ConflictState, Resolution, Purpose)
    enums = {kind.__name__: kind for kind in (*kinds, ProblemOrigin)}
    text = "\n".join(file.read_text() for file in migrate.MIGRATIONS.glob("*.sql"))
    named = dict(re.findall(r"-- enum (\w+): (.+)", text))
    assert named.keys() == enums.keys()
    for name, listed in named.items():
        numbered = issubclass(enums[name], int)
        members = [f"{member.value} {member.name}" if numbered else member.value for member in enums[name]]
        assert listed.split(", ") == members, name


def _tables(connection: sqlite3.Connection) -> tuple[list[Any], list[Any], int]:
    """(the schema, the migrations on record, the schema's version)"""
    [(version,)] = connection.execute("PRAGMA user_version")
    applied = connection.execute("SELECT id, migration_set, name FROM _sqlite_migrations ORDER BY id").fetchall()
    return connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY name").fetchall(), applied, version


def test_an_index_without_its_version_record_is_not_made_twice(path: Path) -> None:
    """A process that ended between a migration and the note of its version left the whole schema behind."""
    with _opened(path) as index:
        index.trees.put(1, [_full_row()])
        index.connection.execute("PRAGMA user_version = 0")
    with _opened(path) as index:
        assert [row.path for row in index.trees.all(1)] == ["d/ü.md"]
        assert _tables(index.connection)[2] == SCHEMA_VERSION


def test_an_index_of_a_newer_release_is_refused_in_a_sentence(path: Path) -> None:
    """It is neither read nor changed nor set aside."""
    with _opened(path) as index:
        index.connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(IndexTooNew, match="this release knows"):
        open_index(path)


def test_a_damaged_index_is_told_and_set_aside_with_its_wal(path: Path) -> None:
    """CR8: it is moved away under its date, and a new one opens in its place."""
    with _opened(path) as index:
        index.trees.put(1, [PathRow(f"{i}.md", local=file_side(A)) for i in range(2000)])
    data = bytearray(path.read_bytes())
    data[4096:40960] = b"\xff" * 36864
    path.write_bytes(data)
    with pytest.raises(IndexDamaged):
        open_index(path)
    aside = quarantine(path, "20261121T120000Z")
    assert aside.read_bytes() == data and not path.exists()
    with _opened(path) as index:
        assert list(index.trees.all(1)) == []


def _checks(path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """How often an opening has the whole index checked."""
    asked: list[Index] = []
    whole = Index.check

    def checked(index: Index) -> str | None:
        asked.append(index)
        return whole(index)

    monkeypatch.setattr(Index, "check", checked)
    with _opened(path):
        pass
    monkeypatch.undo()
    return len(asked)


def test_an_untouched_clean_index_is_not_checked_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index nobody touched since it was closed is not checked again."""
    assert [_checks(path, monkeypatch) for _ in range(3)] == [1, 0, 0]


def test_a_changed_index_is_checked_whatever_its_mtime(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index whose bytes somebody changed is checked whatever its time says."""
    with _opened(path):
        pass
    before = path.stat()
    data = path.read_bytes()
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert _checks(path, monkeypatch) == 1


def test_an_index_that_nobody_closed_is_checked(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that dies has broken the seal when it opened the index, and makes none."""
    with _opened(path):
        pass
    index = open_index(path)
    index.connection.close()
    assert _checks(path, monkeypatch) == 1


def test_an_index_with_a_log_beside_it_is_checked(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with _opened(path):
        pass
    path.with_name(f"{path.name}-wal").write_bytes(b"")
    assert _checks(path, monkeypatch) == 1


def test_texts_nobody_refers_to_are_dropped(path: Path) -> None:
    """A kept text lasts as long as a live conflict, or somebody else, names it."""
    with _opened(path) as index:
        index.texts.put(A, b"kept by name")
        index.texts.put(B, b"dropped")
        index.texts.prune([A])
        assert index.texts.get(A) == b"kept by name" and index.texts.get(B) is None


def test_an_older_copy_is_stopped_in_one_step_with_being_noticed(tmp_path: Path, path: Path) -> None:
    """Cut short right behind that step, the next start finds nothing wrong with the numbers, and the source stopped."""
    beside = tmp_path / "index.generation"
    with contextlib.closing(open_index(path)) as index:
        advance(index, beside, [1])
        beside.write_text("7\n")
        (tmp_path / "index.generation.part").mkdir()
        with pytest.raises(IsADirectoryError):
            advance(index, beside, [1])
        assert index.sources.get(1).halted == WENT_BACK and index.sources.get(1).rejoin
        (tmp_path / "index.generation.part").rmdir()
        assert not advance(index, beside, [1])
        assert index.sources.get(1).halted == WENT_BACK


def test_the_newest_activity_of_a_path_is_found_by_kind(path: Path) -> None:
    """Of the kinds asked for only, and of this source only."""
    with _opened(path) as index, index.transaction():
        index.activity.append(1, 5.0, [("a.md", "pushed", None, None), ("a.md", "conflict", None, None)])
        index.activity.append(2, 6.0, [("a.md", "pulled", None, None)])
        found = index.activity.newest_of(1, "a.md", ("pushed", "pulled"))
        assert found is not None and (found.at, found.what) == (5.0, "pushed")
        assert index.activity.newest_of(1, "a.md", ("pulled",)) is None


def test_pruning_at_start_keeps_what_is_open_or_young(path: Path) -> None:
    """Of operations and activity: of 2,000 young ones none is looked at, however many were written since."""
    with _opened(path) as index:
        young = [Operation(f"y{i}", f"{i}.md", Verb.UPSERT, A, 1, None) for i in range(2000)]
        old = [Operation(f"o{i}", f"{i}.md", Verb.UPSERT, A, 1, None) for i in range(3)]
        index.operations.add(1, [(operation, 0) for operation in old], PushReason.PUSH, 5.0)
        index.activity.append(1, 5.0, [("old.md", "pushed", None, None)])
        index.operations.add(1, [(operation, 0) for operation in young], PushReason.PUSH, 50.0)
        index.activity.append(1, 50.0, [(f"{i}.md", "pushed", None, None) for i in range(2000)])
        numbers = {i: entry.seq for i, entry in index.operations.by_ids(1, ["o0", "o1"]).items()}
        index.operations.move(
            {numbers["o0"]: (OperationState.ECHOED, None), numbers["o1"]: (OperationState.DONE, None)}
        )
        steps: list[None] = []
        index.connection.set_progress_handler(lambda: steps.append(None), 10)
        index.operations.prune(1, 20.0)
        index.activity.prune(20.0)
        index.connection.set_progress_handler(None, 10)
        assert len(steps) < 50
        assert set(index.operations.by_ids(1, ["o0", "o1", "o2", "y0", "y1999"])) == {"o2", "y0", "y1999"}
        assert [line.path for line in index.activity.entries((1,), 0, 5000)] == [f"{i}.md" for i in range(2000)]
