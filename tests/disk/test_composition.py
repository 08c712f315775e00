"""A disk that writes names down decomposed (HFS+): names are spelled as other programs spell them."""

from __future__ import annotations

import errno
import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.core.accepts import TEXT
from agent.core.errors import RootError
from agent.core.model import ApplyOutcome, Presence
from agent.disk.fs.protocol import Dir, File
from agent.disk.selection.rules import Rules
from agent.runtime.local_folder import LocalFolder
from disk.fixtures import NOW, inline, intent, remember
from support.folding import FoldingFs

COMPOSED = "r\u00e9sum\u00e9.md"
DECOMPOSED = unicodedata.normalize("NFD", COMPOSED)


class DecomposingFs(FoldingFs):
    """As a folding disk, but a new name is written down decomposed."""

    full = False

    def create(self, folder: Dir, name: str, mode: int) -> File:
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().create(folder, unicodedata.normalize("NFD", name), mode)

    def rename_noreplace(self, source: Dir, old: str, target: Dir, new: str) -> None:
        super().rename_noreplace(source, old, target, unicodedata.normalize("NFD", new))


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[LocalFolder]:
    """A folder with a file that shows that its disk folds."""
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "Plain.md").write_text("plain\n")
    fs: Any = DecomposingFs()
    found = LocalFolder(fs, str(tmp_path / "notes"), Rules(), str(tmp_path), "1")
    yield found
    found.close()


def paths(folder: LocalFolder) -> set[str]:
    return {seen.path for batch in folder.scan((), TEXT) for seen in batch.seen}


def test_what_was_installed_composed_is_found_composed(folder: LocalFolder, tmp_path: Path) -> None:
    """Else it would be pushed under the other spelling, and deleted under its own, for everybody."""
    (landed,) = folder.apply(inline([(intent(COMPOSED, b"text", None), b"text")]), NOW)
    assert landed.landing is ApplyOutcome.DONE
    assert {file.name for file in (tmp_path / "notes").iterdir()} == {"Plain.md", DECOMPOSED}
    assert paths(folder) == {"Plain.md", COMPOSED}
    assert folder.observe([COMPOSED], {}, TEXT)[0].side.is_file
    assert folder.root.canonical(DECOMPOSED) == COMPOSED


def test_a_name_this_disk_cannot_keep_is_blocked_by_itself(folder: LocalFolder) -> None:
    """The server's decomposed spelling: one skipped file, nothing installed, and no delete from its absence."""
    jobs = [(intent(DECOMPOSED, b"text", None), b"text"), (intent("other.md", b"x", None, 2), b"x")]
    first, second = folder.apply(inline(jobs), NOW)
    assert (first.landing, second.landing) == (ApplyOutcome.BLOCKED, ApplyOutcome.DONE)
    assert folder.observe([DECOMPOSED], {}, TEXT)[0].side.presence is Presence.ABSENT
    assert paths(folder) == {"Plain.md", "other.md"}


def test_a_decomposed_name_is_deferred_on_an_untested_disk(folder: LocalFolder, tmp_path: Path) -> None:
    """Full just when a process starts: what is known under the composed name is neither missing nor a new file."""
    (tmp_path / "notes" / "deep").mkdir()
    jobs = [(intent(f"deep/{COMPOSED}", b"text", None), b"text")]
    assert folder.apply(inline(jobs), NOW)[0].landing is ApplyOutcome.DONE
    known = [remember(seen) for batch in folder.scan((), TEXT) for seen in batch.seen]
    fs: Any = DecomposingFs()
    fs.full = True
    fresh = LocalFolder(fs, str(tmp_path / "notes"), Rules(), str(tmp_path), "1")
    ordered = sorted(known, key=lambda row: row.path)
    (seen,) = [seen for batch in fresh.scan(ordered, TEXT) for seen in batch.seen]
    assert (seen.path, seen.side.presence) == (f"deep/{COMPOSED}", Presence.UNKNOWN)
    fs.full = False
    again = [seen for batch in fresh.scan(ordered, TEXT) for seen in batch.seen]
    assert all(seen.side.is_file and seen.path == f"deep/{COMPOSED}" for seen in again)
    fresh.close()


def test_two_handles_may_probe_the_names_at_once(folder: LocalFolder, tmp_path: Path) -> None:
    """Another handle's probe, made and removed in the middle of this one, changes neither result."""
    results: list[bool] = []

    class Between(DecomposingFs):
        def entries(self, folder_handle: Dir) -> Any:
            results.append(folder.trash.stores_nfd())
            return self._real.entries(folder_handle)

    fs: Any = Between()
    first = LocalFolder(fs, str(tmp_path / "notes"), Rules(), str(tmp_path), "1")
    assert first.trash.stores_nfd() and results and all(results)
    plain: Any = FoldingFs()
    second = LocalFolder(plain, str(tmp_path / "notes"), Rules(), str(tmp_path), "1")
    assert not second.trash.stores_nfd()
    first.close()
    second.close()


def test_a_close_waits_for_the_calls_in_progress(tmp_path: Path) -> None:
    """A descriptor closed under a call could be the descriptor of another folder by the next read."""
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.md").write_text("text\n")
    fs: Any = FoldingFs()
    folder = LocalFolder(fs, str(tmp_path / "notes"), Rules(), str(tmp_path), "1")
    with folder.reader():
        handle = folder.root.handle
        folder.close()
        assert os.fstat(handle).st_ino == (tmp_path / "notes").stat().st_ino
        with pytest.raises(RootError, match="not in use"):
            folder.observe(["a.md"], {}, TEXT)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(handle)
    with pytest.raises(RootError, match="not in use"):
        folder.observe(["a.md"], {}, TEXT)
