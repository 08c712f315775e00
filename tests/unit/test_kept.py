"""Large texts are files beside the index: durable before their rows, and gone after them."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.core.hashes import sha256_hex
from agent.index import Index, open_index, open_reader
from agent.index.kept import KeptFiles
from agent.index.texts import LARGE_TEXT
from agent.index.trash_outbox import PendingTrashWrite

SMALL, LARGE = b"small text\n", random.Random(1).randbytes(LARGE_TEXT + 1)
DIGEST = sha256_hex(LARGE)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    opened = open_index(tmp_path / "index.sqlite")
    yield opened
    opened.close()


def kept(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "kept").iterdir()) if (folder / "kept").exists() else []


def rows(index: Index) -> list[tuple[str, int]]:
    return list(index.connection.execute("SELECT hash, length(content) FROM texts"))


def test_only_a_large_text_is_a_file(index: Index, tmp_path: Path) -> None:
    """It is private, read by every reader of the index, and kept once."""
    for content in (SMALL, LARGE, LARGE[:LARGE_TEXT], LARGE):
        index.texts.put(sha256_hex(content), content)
    assert kept(tmp_path) == [DIGEST]
    assert (tmp_path / "kept").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "kept" / DIGEST).stat().st_mode & 0o777 == 0o600
    assert dict(rows(index))[DIGEST] == 0
    reader = open_reader(tmp_path / "index.sqlite")
    for texts in (index.texts, reader.texts):
        for content in (SMALL, LARGE, LARGE[:LARGE_TEXT]):
            assert texts.has(sha256_hex(content))
            assert texts.get(sha256_hex(content)) == content
        assert not texts.has(sha256_hex(b"other"))
        assert texts.get(sha256_hex(b"other")) is None
    reader.close()


def test_an_index_in_memory_holds_all_texts() -> None:
    index = open_index(":memory:")
    index.texts.put(DIGEST, LARGE)
    assert index.texts.get(DIGEST) == LARGE
    index.close()


def test_a_file_is_there_before_its_row_and_after_a_rollback(index: Index, tmp_path: Path) -> None:
    """A lost transaction leaves a file without a row, which the next pruning removes."""
    with pytest.raises(KeyError), index.transaction():
        index.texts.put(DIGEST, LARGE)
        assert kept(tmp_path) == [DIGEST]
        raise KeyError
    assert (rows(index), kept(tmp_path)) == ([], [DIGEST])
    assert not index.texts.has(DIGEST)
    (tmp_path / "kept" / f"{DIGEST}.part").write_bytes(LARGE[:5])
    (tmp_path / "kept" / "README").write_bytes(b"not of the agent")
    with index.transaction():
        index.texts.prune(())
    assert kept(tmp_path) == ["README"]


def test_a_pruning_that_is_rolled_back_loses_no_file(index: Index, tmp_path: Path) -> None:
    """The file goes with the pruning after the one that removed its row."""
    index.texts.put(DIGEST, LARGE)
    with index.transaction():
        index.texts.prune([DIGEST])
    assert index.texts.get(DIGEST) == LARGE
    with pytest.raises(KeyError), index.transaction():
        index.texts.prune(())
        raise KeyError
    assert index.texts.get(DIGEST) == LARGE
    for expected in ([DIGEST], []):
        with index.transaction():
            index.texts.prune(())
        assert index.texts.get(DIGEST) is None
        assert kept(tmp_path) == expected


def test_a_text_that_waits_for_the_trash_is_kept(index: Index) -> None:
    index.texts.put(DIGEST, LARGE)
    index.trash_outbox.add(1, PendingTrashWrite("00ff", "a.md", DIGEST, "overwritten"))
    for _ in range(2):
        with index.transaction():
            index.texts.prune(())
    assert index.texts.get(DIGEST) == LARGE


@pytest.mark.parametrize("damage", ["missing", "changed", "cut"])
def test_a_lost_file_is_a_text_that_is_not_here(index: Index, tmp_path: Path, damage: str) -> None:
    """Never other bytes; and it can be kept again."""
    index.texts.put(DIGEST, LARGE)
    file = tmp_path / "kept" / DIGEST
    match damage:
        case "missing":
            file.unlink()
        case "changed":
            file.write_bytes(LARGE[::-1])
        case _:
            os.truncate(file, 100)
    assert index.texts.get(DIGEST) is None
    assert index.texts.has(DIGEST) is (damage != "missing")
    index.texts.put(DIGEST, LARGE)
    assert index.texts.get(DIGEST) == LARGE


@pytest.mark.parametrize("known", [False, True])
def test_a_folder_that_refuses_leaves_the_text_to_the_index(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    """Also where the row says that there is a file, which was lost."""
    if known:
        index.texts.put(DIGEST, LARGE)
        (tmp_path / "kept" / DIGEST).unlink()

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", refuse)
    index.texts.put(DIGEST, LARGE)
    assert index.texts.get(DIGEST) == LARGE
    assert dict(rows(index))[DIGEST] > LARGE_TEXT // 2


def test_a_link_in_the_place_of_a_part_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"mine")
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / f"{DIGEST}.part").symlink_to(outside)
    with pytest.raises(OSError, match="symbolic"):
        KeptFiles(tmp_path / "kept").put(DIGEST, LARGE)
    assert outside.read_bytes() == b"mine"
