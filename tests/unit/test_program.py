"""The program starts itself again, with an interpreter and without one."""

from __future__ import annotations

import subprocess
import sys

import pytest

from agent.frozen import start
from agent.process.relaunch import AGENT, HUB, self_command


@pytest.mark.parametrize(("module", "usage"), [(AGENT, "Usage: raven-agent"), (HUB, "usage: agent.hub")])
def test_the_own_command_runs_that_module(module: str, usage: str) -> None:
    done = subprocess.run([*self_command(module), "--help"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.startswith(usage)) == (0, True)


def test_the_single_file_is_its_own_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "executable", "/usr/local/bin/raven-agent")
    assert self_command(HUB) == ["/usr/local/bin/raven-agent", "-m", "agent.hub"]


@pytest.mark.parametrize(
    ("arguments", "usage"),
    [
        (["--help"], "Usage: raven-agent"),
        (["-m", "agent", "--help"], "Usage: raven-agent"),
        (["-m", "agent.hub", "--help"], "usage: agent.hub"),
    ],
)
def test_the_single_file_runs_what_its_own_command_asks_for(
    arguments: list[str], usage: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["raven-agent", *arguments])
    with pytest.raises(SystemExit) as ended:
        start(arguments)
    assert (ended.value.code, capsys.readouterr().out.startswith(usage)) == (0, True)


def test_the_single_file_runs_no_other_module(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["raven-agent"])
    with pytest.raises(SystemExit) as ended:
        start(["-m", "http.server"])
    assert (ended.value.code, "No such option" in capsys.readouterr().err) == (2, True)
