"""The consoles in the documents are what a shell prints."""

from __future__ import annotations

import difflib
import os
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.networks import connected
from transcripts.console import Machine, play

DOCUMENTS = Path(__file__).parents[2] / "docs" / "transcripts"


@pytest.mark.parametrize("name", ["newcomer", "administrator"])
def test_every_command_of_the_document_prints_what_stands_there(name: str, tmp_path: Path) -> None:
    """With ``WRITE_TRANSCRIPTS=1`` the document is written anew where it differs, to be read before it is kept."""
    file = DOCUMENTS / f"{name}.md"
    with Machine(tmp_path) as machine:
        _hold(file, play(file.read_text("utf-8"), machine))


def test_two_machines_need_two_commands(tmp_path: Path) -> None:
    """On two machines whose only link is a cable, an invite and a join are enough. See above for writing."""
    file = DOCUMENTS / "two-laptops.md"
    with connected("desk", "laptop") as words, ExitStack() as stack:
        machines = [stack.enter_context(Machine(tmp_path / name, words[name])) for name in words]
        _hold(file, play(file.read_text("utf-8"), *machines))


def _hold(file: Path, played: str) -> None:
    """Compare a document with what was printed."""
    written = file.read_text("utf-8")
    if os.environ.get("WRITE_TRANSCRIPTS"):
        file.write_text(played, "utf-8")
    difference = "\n".join(
        difflib.unified_diff(written.splitlines(), played.splitlines(), "written", "printed", lineterm="")
    )
    assert not difference, difference
