"""A disk that takes names for one if they differ only in case: what stands there is found under its own name only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.core.model import Presence
from agent.disk.root import PathBlocked, Root
from agent.disk.scan.observe import observe_path
from agent.disk.scan.walk import scan
from agent.disk.selection.rules import Rules, Selection
from support.folding import FoldingFs


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    """A folder ``Work`` with a file in it, on such a disk."""
    (tmp_path / "Work").mkdir()
    (tmp_path / "Work" / "Notes.md").write_text("text\n")
    fs: Any = FoldingFs()
    with Root(fs, str(tmp_path)) as root:
        yield root


def test_a_folder_of_another_spelling_is_not_part_of_the_path(root: Root) -> None:
    """It would be entered by the disk, and every file below would be there twice."""
    assert root.is_case_insensitive()
    with root.parent("Work/Notes.md") as (_, name):
        assert name == "Notes.md"
    with (
        pytest.raises(PathBlocked, match="'work' is needed, but this disk takes the existing name 'Work'"),
        root.parent("work/Notes.md"),
    ):
        pass


@pytest.mark.parametrize("path", ["Work/notes.md", "work/Notes.md", "WORK/NOTES.md"])
def test_a_look_finds_a_file_under_its_own_name_only(root: Root, path: str) -> None:
    """So that a renamed file or folder is gone from the old name and there under the new one."""
    selection = Selection(root, Rules())
    assert observe_path(root, selection, path).side.presence is Presence.ABSENT
    assert observe_path(root, selection, "Work/Notes.md").side.is_file
    assert [seen.path for batch in scan(root, selection, []) for seen in batch.seen] == ["Work/Notes.md"]
