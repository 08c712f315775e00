"""The consoles in the documents are what a shell prints."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

import pytest

from transcripts.console import Machine, play

DOCUMENTS = Path(__file__).parents[2] / "docs" / "transcripts"


@pytest.mark.parametrize("name", ["newcomer", "administrator"])
def test_every_command_of_the_document_prints_what_stands_there(name: str, tmp_path: Path) -> None:
    """With ``WRITE_TRANSCRIPTS=1`` the document is written anew where it differs, to be read before it is kept."""
    file = DOCUMENTS / f"{name}.md"
    written = file.read_text("utf-8")
    with Machine(tmp_path) as machine:
        played = play(written, machine)
    if os.environ.get("WRITE_TRANSCRIPTS"):
        file.write_text(played, "utf-8")
    difference = "\n".join(
        difflib.unified_diff(written.splitlines(), played.splitlines(), "written", "printed", lineterm="")
    )
    assert not difference, difference
