"""FC6: a person's merge that could not be used is kept."""

from __future__ import annotations

import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from agent.settings.drafts import Drafts


def test_a_draft_is_kept_listed_and_deleted(tmp_path: Path) -> None:
    """FC6: the newest draft of a conflict replaces the older one; drafts of other conflicts stay."""
    drafts = Drafts(tmp_path / "drafts")
    assert drafts.get(1, 7) is None and drafts.list() == ()
    drafts.put(1, 7, 1, b"first")
    drafts.put(1, 7, 2, b"second")
    drafts.put(2, 7, 1, b"other source")
    found = drafts.get(1, 7)
    assert found is not None and (found.generation, found.read()) == (2, b"second")
    assert [(d.source, d.conflict, d.generation) for d in drafts.list(1)] == [(1, 7, 2)]
    assert len(drafts.list()) == 2
    drafts.delete(1, 7)
    assert drafts.get(1, 7) is None and len(drafts.list()) == 1


def test_a_draft_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    """FC6: the folder has mode 0700 and each draft 0600."""
    draft = Drafts(tmp_path / "drafts").put(1, 7, 1, b"text")
    assert stat.S_IMODE((tmp_path / "drafts").stat().st_mode) == 0o700
    assert stat.S_IMODE(draft.file.stat().st_mode) == 0o600


def test_a_failed_write_leaves_the_older_draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FC6: a full disk loses no draft and leaves no temporary file."""
    drafts = Drafts(tmp_path / "drafts")
    drafts.put(1, 7, 1, b"kept")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("agent.settings.drafts.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        drafts.put(1, 7, 2, b"lost")
    found = drafts.get(1, 7)
    assert found is not None and found.read() == b"kept"
    assert [file.name for file in (tmp_path / "drafts").iterdir()] == ["1-7.1.txt"]


def test_an_edit_that_ends_leaves_no_file(tmp_path: Path) -> None:
    """FC6: what was edited is the caller's to keep; the folder of the edit is gone."""
    drafts = Drafts(tmp_path / "drafts")
    with drafts.editing(1, 7, 2, b"proposed", ".md") as file:
        assert (file.read_bytes(), file.suffix, stat.S_IMODE(file.stat().st_mode)) == (b"proposed", ".md", 0o600)
        file.write_bytes(b"mine")
        assert drafts.list() == ()
    assert drafts.list() == () and list((tmp_path / "drafts").iterdir()) == []


_KILLED_EDIT = """
import os, signal, sys
from pathlib import Path
from agent.settings.drafts import Drafts
with Drafts(Path(sys.argv[1])).editing(1, 7, 2, b"proposed", ".md") as file:
    for name, text in zip(sys.argv[2::2], sys.argv[3::2]):
        (file.parent / name).write_text(text)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def _cut_off(folder: Path, *saved: str) -> None:
    """Edit a merge in a process that saves these files (name, text, ...) and is killed."""
    ended = subprocess.run([sys.executable, "-c", _KILLED_EDIT, str(folder), *saved], check=False)
    assert ended.returncode == -signal.SIGKILL


def test_an_edit_that_was_killed_is_a_draft(tmp_path: Path) -> None:
    """FC6: it is listed, continued in its place, and superseded by the next draft of its conflict."""
    drafts = Drafts(tmp_path / "drafts")
    _cut_off(tmp_path / "drafts", "merge.md", "half")
    found = drafts.get(1, 7)
    assert found is not None and (found.generation, found.read()) == (2, b"half")
    with drafts.editing(1, 7, 3, found.read(), ".md") as file:
        assert file == found.file
        drafts.put(1, 7, 3, b"whole")
    assert [draft.read() for draft in drafts.list()] == [b"whole"]
    _cut_off(tmp_path / "drafts", "merge.md", "again")
    drafts.delete(1, 7)
    assert list((tmp_path / "drafts").iterdir()) == []


def test_an_unchanged_edit_that_was_killed_is_removed(tmp_path: Path) -> None:
    """FC6: nothing was saved, so there is no draft; an editor's own recovery file keeps the folder."""
    drafts = Drafts(tmp_path / "drafts")
    _cut_off(tmp_path / "drafts")
    _cut_off(tmp_path / "drafts", ".merge.md.swp", "recovery")
    assert drafts.list() == ()
    with drafts.editing(1, 8, 1, b"other", ".md"):
        assert len(list((tmp_path / "drafts").iterdir())) == 2
    with drafts.editing(1, 7, 2, b"proposed", ".md") as file:
        assert (file.parent / ".merge.md.swp").read_bytes() == b"recovery"


def test_a_failed_edit_leaves_recovery_files_only(tmp_path: Path) -> None:
    """FC6: after an error the folder stays if the editor left a file of its own there."""
    drafts = Drafts(tmp_path / "drafts")
    for number, beside in enumerate((None, "merge.md~")):
        with pytest.raises(KeyError), drafts.editing(1, 7, 2, b"proposed", ".md") as file:
            if beside:
                (file.parent / beside).write_bytes(b"older")
            raise KeyError
        assert len(list((tmp_path / "drafts").iterdir())) == number
