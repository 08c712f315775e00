"""The guide for people who come from another sync program: folders as those programs leave them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from support.servers import HubServer
from transcripts.console import Machine
from transcripts.guides import GUIDES, Hosts, hold, login, sections

GUIDE = GUIDES / "coming-from.md"
SYNCTHING = {
    "vault/.stfolder/syncthing-folder-0a1b.txt": "",
    "vault/.stignore": "// my own\n(?d).DS_Store\n/private\n*.draft.md\n",
    "vault/.stversions/ideas~20260101-101010.md": "# Ideas\n",
    "vault/ideas.md": "# Ideas\n\nOne.\n",
    "vault/letter.draft.md": "Dear\n",
    "vault/plans.md": "# Plans\n",
    "vault/plans.sync-conflict-20260101-101010-ABCDEFG.md": "- of the laptop\n",
    "vault/private/diary.md": "# Diary\n",
}
NEXTCLOUD = {
    "cloud/._sync_0a1b.db": "SQLite format 3\0",
    "cloud/.nextcloudsync.log": "",
    "cloud/film.mp4.nextcloud": " ",
    "cloud/ideas.md": "# Ideas\n",
    "cloud/ideas (conflicted copy 2026-01-01 101010).md": "# Ideas\n\nTwo.\n",
}
OBSIDIAN = {
    "garden/.obsidian/app.json": "{}\n",
    "garden/.obsidian/workspace.json": '{"main": {}}\n',
    "garden/.trash/old.md": "# Old\n",
    "garden/board.canvas": "{}\n",
    "garden/ideas.md": "# Ideas\n",
}
DROPBOX = {"Dropbox/.dropbox": "{}", "Dropbox/.dropbox.cache/x": "", "Dropbox/notes/ideas.md": "# Ideas\n"}
PARTS = {
    "From Syncthing": SYNCTHING,
    "From Nextcloud": NEXTCLOUD,
    "From Obsidian Sync": OBSIDIAN,
    "From Dropbox and Maestral": DROPBOX,
}


def write(machine: Machine, files: Mapping[str, str]) -> None:
    """Leave these files below the home folder."""
    for path, text in files.items():
        file = machine.home / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def test_each_program_of_the_guide_is_played() -> None:
    """No console is in a part that the next test does not play."""
    parts = sections(GUIDE.read_text("utf-8"), "\n### ")
    assert list(parts) == list(PARTS)
    assert GUIDE.read_text("utf-8").partition("\n### ")[0].count("```console") == 0


@pytest.mark.parametrize("program", PARTS)
def test_a_folder_of_another_program_moves(program: str, tmp_path: Path, shared_hub: HubServer) -> None:
    """Nothing that the other program left out or left behind is sent, and equal files make no conflict."""
    names = ["desk", "laptop"] if program == "From Syncthing" else ["desk"]
    with Hosts.of_hub(tmp_path, shared_hub).machines(*names) as machines:
        for machine in machines:
            login(machine)
            write(machine, PARTS[program])
        for other in machines[1:]:
            # The old program has finished everywhere: the laptop has what the desk has after its merge.
            write(other, {"vault/plans.md": "# Plans\n- of the laptop\n"})
            (other.home / "vault/plans.sync-conflict-20260101-101010-ABCDEFG.md").unlink()
        hold(GUIDE, program, *machines, mark="\n### ")
