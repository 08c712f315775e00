"""What is told on the desktop, when, and by which tool."""

from __future__ import annotations

import json
import stat
import sys
from pathlib import Path

import pytest

from agent.daemon.alerts import (
    GATHERED_SECONDS,
    QUIET_SECONDS,
    SETTLED_SECONDS,
    AlertPolicy,
    AlertSituation,
    Notification,
)
from agent.daemon.desktop import LONGEST, command_for, show_notification

START = 1000.0
BUS = {"DBUS_SESSION_BUS_ADDRESS": "unix:path=/nowhere"}


def conflicts(*numbers: int, source: str = "notes") -> AlertSituation:
    """These conflicts wait for somebody."""
    return AlertSituation(frozenset((source, number) for number in numbers))


def told(notices: AlertPolicy, seen: AlertSituation, *seconds: float) -> list[str]:
    """The titles told when this is seen at these seconds after the start."""
    return [notice.title for second in seconds for notice in notices.consider(seen, START + second)]


def test_conflicts_that_come_together_are_one_notification() -> None:
    """Told once no more have come for a moment, and never again."""
    notices = AlertPolicy(frozenset())
    for second in range(1, 11):
        assert told(notices, conflicts(*range(second * 100)), second) == []
    assert told(notices, conflicts(*range(1000)), 10 + SETTLED_SECONDS, 100, 2000) == ["1,000 new conflicts"]


def test_repeated_conflicts_are_announced_seldom() -> None:
    """A minute of gathering, then ten minutes of silence, whose conflicts are told of together."""
    notices = AlertPolicy(frozenset())
    titles = [(n, told(notices, conflicts(*range(n + 1)), float(n))) for n in range(int(QUIET_SECONDS) + 200)]
    spoken = [(second, said) for second, said in titles if said]
    assert [second for second, _ in spoken] == [GATHERED_SECONDS, GATHERED_SECONDS + QUIET_SECONDS]
    assert [said for _, said in spoken] == [["61 new conflicts"], ["600 new conflicts"]]


def test_an_old_or_short_lived_conflict_is_not_announced() -> None:
    """Neither one known from before a restart, nor one that was merged before anybody could look."""
    notices = AlertPolicy(frozenset({("notes", 1)}))
    assert told(notices, conflicts(1), 0, SETTLED_SECONDS, 60) == []
    assert told(notices, conflicts(1, 2), 61) == []
    assert told(notices, conflicts(1), 62, 62 + SETTLED_SECONDS, 700) == []


def test_a_halt_is_announced_once_each_time_it_begins() -> None:
    """A folder that is away for a moment is none."""
    notices = AlertPolicy(frozenset())
    halt, calm = AlertSituation(halted={"notes": "the folder is gone"}), AlertSituation()
    assert told(notices, halt, 0, 1) == []
    assert told(notices, calm, 2) == []
    assert told(notices, halt, 3, 4) == []
    assert told(notices, halt, 3 + SETTLED_SECONDS, 60, 3600) == ["Stopped: notes"]
    assert told(notices, calm, 3700) == []
    assert told(notices, halt, 3800, 3800 + SETTLED_SECONDS) == ["Stopped: notes"]


def test_several_folders_that_halt_together_are_one_notification() -> None:
    """A disk that was unplugged holds many of them."""
    notices = AlertPolicy(frozenset())
    halts = AlertSituation(halted=dict.fromkeys(("a", "b", "c"), "the folder is gone"))
    assert told(notices, halts, 0, SETTLED_SECONDS) == ["Stopped: a (and 2 more)"]


def test_a_sign_out_and_an_expiring_token_are_announced() -> None:
    """Seven days before, one day before, and when it has ended: once each."""
    notices = AlertPolicy(frozenset())
    later = SETTLED_SECONDS
    assert told(notices, AlertSituation(expiring={"raven": 7}), 0, later, 99) == ["The token for raven ends soon"]
    assert told(notices, AlertSituation(expiring={"raven": 1}), 100, 100 + later) == ["The token for raven ends soon"]
    assert told(notices, AlertSituation(signed_out=frozenset({"raven"})), 200, 200 + later, 999) == [
        "Signed out of raven"
    ]
    assert AlertPolicy(frozenset()).consider(AlertSituation(), 0.0) == []
    assert Notification("a", "b") != Notification("a", "c")


def tool(folder: Path, name: str) -> Path:
    """A stand-in for a tool: it writes its arguments and what it was given as a token."""
    script = folder / name
    script.write_text(
        f"#!{sys.executable}\nimport json, os, sys\n"
        f"out = open({str(folder / 'shown')!r}, 'a')\n"
        "out.write(json.dumps([sys.argv[1:], os.environ.get('RAVEN_TOKEN')]) + '\\n')\n"
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return script


@pytest.mark.parametrize("name", ["notify-send", "gdbus"])
def test_texts_are_arguments_and_nothing_in_them_is_a_command(tmp_path: Path, name: str) -> None:
    """Whatever a folder is called: no shell, no option, no markup, no line of its own; and no token for the tool."""
    tool(tmp_path, name)
    nasty = f"--version $(touch {tmp_path}/harm) `id` <b>x</b>\n; '\" & y"
    assert show_notification(nasty, nasty, {**BUS, "PATH": str(tmp_path), "RAVEN_TOKEN": "secret"})
    arguments, token = json.loads((tmp_path / "shown").read_text())
    title, body = arguments[-2:] if name == "notify-send" else [json.loads(word) for word in arguments[-5:-3]]
    assert not (tmp_path / "harm").exists()
    assert title == f"version $(touch {tmp_path}/harm) `id` <b>x</b> ; '\" & y"
    assert body == title.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert name == "gdbus" or arguments[-3] == "--"
    assert token is None


def test_on_macos_the_texts_are_no_part_of_the_script(tmp_path: Path) -> None:
    """The script is fixed; the texts come behind it as arguments."""
    tool(tmp_path, "osascript")
    command = command_for("a title", 'x" & (do shell script "id") & "', {"PATH": str(tmp_path)}, "darwin")
    assert command is not None
    assert list(command[-2:]) == ["a title", 'x" & (do shell script "id") & "']
    assert "argv" in " ".join(command[:-2]) and "shell script" not in " ".join(command[:-2])


def test_a_tool_or_a_desktop_that_is_not_there_is_no_error(tmp_path: Path) -> None:
    """Nor one that fails: nothing is shown, and that is all."""
    assert not show_notification("a", "b", {"PATH": str(tmp_path), **BUS})
    tool(tmp_path, "notify-send").write_text("#!/bin/sh\nexit 1\n")
    assert not show_notification("a", "b", {"PATH": str(tmp_path), **BUS})
    assert command_for("a", "b", {"PATH": str(tmp_path)}, "linux") is None
    assert command_for("a", "b", {"PATH": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}, "linux") is None


def test_a_long_text_is_cut(tmp_path: Path) -> None:
    """So that a long path does not fill the screen."""
    tool(tmp_path, "notify-send")
    assert show_notification("t", "x" * 5000, {**BUS, "PATH": str(tmp_path)})
    arguments, _ = json.loads((tmp_path / "shown").read_text())
    assert len(arguments[-1]) == LONGEST


def test_alerts_set_a_timer_only_for_problems_still_too_young() -> None:
    """A new conflict or a halt is undecided until it was told, or is gone; calm is not."""
    notices = AlertPolicy(frozenset())
    assert notices.consider(AlertSituation(), START) == []
    assert not notices.undecided
    notices.consider(conflicts(1), START)
    assert notices.undecided
    assert notices.consider(conflicts(1), START + SETTLED_SECONDS)
    assert not notices.undecided
    halted = AlertSituation(frozenset({("notes", 1)}), halted={"notes": "away"})
    notices.consider(halted, START + SETTLED_SECONDS)
    assert notices.undecided
    notices.consider(conflicts(1), START + SETTLED_SECONDS + 1)
    assert not notices.undecided
