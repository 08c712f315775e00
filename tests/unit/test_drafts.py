"""FC6: a person's merge that could not be used is kept."""

from __future__ import annotations

import stat
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
