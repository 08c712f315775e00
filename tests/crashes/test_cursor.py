"""Killed after a delta was written and before the index knows it, and then the user edits (CR5)."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from crashes.kill_points import MortalHome, arm, gone_within, link_params
from support.eventually import eventually
from support.processes import Daemon
from support.servers import HubServer
from support.wait_idle import assert_equal, lost, settle

SECONDS_TO_DIE = 20.0


def killed_over(daemon: Daemon, home: MortalHome, hub: HubServer, source: str) -> None:
    """The server's edit is in the folder, and the process is dead before its index could be told."""
    arm(daemon.process)
    hub.replace(source, "a.md", "theirs\n")
    assert gone_within(daemon.process, SECONDS_TO_DIE), home.log()
    assert daemon.process.returncode == -signal.SIGKILL
    assert "died in fsync_dir" in home.last_words()
    assert home.texts()["a.md"] == "theirs\n"


@pytest.mark.parametrize("edited", [True, False], ids=["edited-since", "untouched"])
@pytest.mark.parametrize("folder", [1, 2, 3], ids=["its-folder", "the-trash", "the-slots"])
def test_cr5_killed_between_install_and_index_loses_no_edit(
    tmp_path: Path, hub: HubServer, folder: int, edited: bool
) -> None:
    """Killed as each of the folders is made durable: the user's edit survives and is sent, as an edit of what the
    server sent, not against it; a file nobody touched is neither sent nor parked.
    """
    home = MortalHome(tmp_path, "one", hub)
    home.write("a.md", "base\n")
    home.flags = ("--die-at", str(folder), "--count", "folders")
    with home.daemon() as daemon:
        source = str(daemon.call("link", **link_params(home))["source_id"])
        settle([daemon])
        killed_over(daemon, home, hub, source)
    if edited:
        home.write("a.md", "edited since\n")
    home.flags = ()
    with home.daemon() as daemon:
        settle([daemon])
        eventually(lambda: daemon.source()["state"] == "up_to_date", what="it is in step")
        assert daemon.call("conflicts") == []
    assert home.texts() == {"a.md": "edited since\n" if edited else "theirs\n"}
    assert_equal(source, hub, [home])
    assert lost({"base\n", "theirs\n"}, source, hub, [home]) == set()
    assert len(hub.events(source, "a.md")) == (3 if edited else 2)
    assert home.leftovers() == []
