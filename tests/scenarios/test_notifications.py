"""What people are told on their desktop, by a real daemon through a stand-in for the desktop's own tool."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import pytest

from agent.daemon.alerts import EVERY_SECONDS, SETTLED_SECONDS
from hub.fixtures import upsert
from scenarios.conftest import Machines
from strict_raven.faults import unauthorized
from support.eventually import eventually
from support.processes import Home
from support.servers import HubServer, StrictServer, sha


class Desktop:
    """A machine with a desktop, and what was shown there."""

    def __init__(self, home: Home, folder: Path) -> None:
        folder.mkdir()
        self._shown = folder / "shown"
        script = folder / "notify-send"
        script.write_text(
            f"#!{sys.executable}\nimport json, sys\n"
            f"open({str(self._shown)!r}, 'a').write(json.dumps(sys.argv[1:]) + '\\n')\n"
        )
        script.chmod(0o755)
        home.extra |= {
            "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
            "DBUS_SESSION_BUS_ADDRESS": "unix:path=/nowhere",
            "RAVEN_AGENT_NOTIFICATIONS": "on",
        }

    def shown(self) -> list[list[str]]:
        """Title and body of each notification, the oldest first."""
        if not self._shown.exists():
            return []
        return [json.loads(line)[-2:] for line in self._shown.read_text().splitlines()]


@pytest.fixture
def desktop(tmp_path: Path, machine: Machines, shared_hub: HubServer) -> tuple[Home, Desktop]:
    """A machine with a desktop, signed in to the hub."""
    home = machine()
    home.login(shared_hub)
    return home, Desktop(home, tmp_path / "desktop")


def test_cf7_a_thousand_conflicts_are_one_notification(desktop: tuple[Home, Desktop], shared_hub: HubServer) -> None:
    """With their number and no word of theirs; a restart tells nothing of them again."""
    home, screen = desktop
    paths = [f"n{number:04}.md" for number in range(1000)]
    for path in paths:
        home.write(path, f"base of {path}\n")
    source = home.link()
    for start in range(0, len(paths), 100):
        items = [upsert(path, f"theirs of {path}\n", sha(f"base of {path}\n")) for path in paths[start : start + 100]]
        assert shared_hub.client.push(source, *items)["applied"] == 100
    for path in paths:
        home.write(path, f"mine of {path}\n")
    with home.daemon() as daemon:
        eventually(screen.shown, 60, "the notification is shown")
        assert daemon.source()["conflicts"] == 1000
    with home.daemon():
        home.folder.rename(home.folder.with_name("elsewhere"))
        eventually(lambda: screen.shown()[1:], 30, "the halt is told")
    (title, body), (halt, _) = screen.shown()
    assert title == "1,000 new conflicts"
    assert "mine of" not in body and "theirs of" not in body
    assert halt == "Stopped: notes"


def test_a_sign_out_is_told_once(machine: Machines, strict: StrictServer, tmp_path: Path) -> None:
    """However often the server refuses the token; what else comes afterwards is told by itself."""
    home = machine()
    home.login(strict)
    screen = Desktop(home, tmp_path / "desktop")
    home.write("a.md", "one\n")
    home.link()
    with home.daemon() as daemon:
        strict.faulty.inject(unauthorized(), requests=10_000)
        home.write("a.md", "two\n")
        eventually(screen.shown, 30, "the sign-out is told")
        assert daemon.source()["state"] == "signed_out"
        home.run("sync")
        home.folder.rename(home.folder.with_name("elsewhere"))
        eventually(lambda: screen.shown()[1:], 30, "the halt is told")
    assert [title for title, _ in screen.shown()] == ["Signed out of raven", "Stopped: notes"]


def test_notifications_can_be_switched_off(desktop: tuple[Home, Desktop]) -> None:
    """Switched off, a halt shows in the status and nowhere else; switched on again, the next start tells it."""
    home, screen = desktop
    home.write("a.md", "one\n")
    home.link()
    home.extra["RAVEN_AGENT_NOTIFICATIONS"] = "off"
    with home.daemon() as daemon:
        home.folder.rename(home.folder.with_name("elsewhere"))
        eventually(lambda: daemon.source()["state"] == "halted", 30, "the source halts")
        told_by = time.monotonic() + SETTLED_SECONDS + 2 * EVERY_SECONDS
        eventually(lambda: time.monotonic() > told_by, 30, "the moment passes by which it would have been told")
    assert screen.shown() == []
    home.extra["RAVEN_AGENT_NOTIFICATIONS"] = "on"
    with home.daemon():
        eventually(screen.shown, 30, "the halt is told")
    assert len(screen.shown()) == 1
