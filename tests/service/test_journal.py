"""What the journal is given: priorities and no times of our own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from support.eventually import eventually, patience
from support.processes import COMMAND, Home


def told_the_journal(home: Home, *words: str, until: bytes | None = None) -> list[str]:
    """The lines a command writes where its stderr is the stream systemd named; ended once it wrote ``until``."""
    journal = home.path.parent / "journal"
    with journal.open("wb") as stream:
        found = os.fstat(stream.fileno())
        process = subprocess.Popen(
            [*COMMAND, *words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stream,
            env={**home.env, "JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"},
        )  # fmt: skip
    try:
        if until is not None:
            eventually(lambda: until in journal.read_bytes(), 30, f"{until!r} in the journal")
            process.send_signal(signal.SIGTERM)
        process.wait(patience(15))
    finally:
        process.kill()
        process.wait()
    return journal.read_text().splitlines()


def well_formed(lines: Sequence[str]) -> bool:
    """Each begins with a priority, and none has a time or a level of its own behind it."""
    forms = [re.fullmatch(r"<[0-7]>(?!\d{4}-)(?!\S*(INFO|WARNING|ERROR)\b).+", line) for line in lines]
    return bool(lines) and all(forms)


def test_every_line_for_the_journal_begins_with_its_priority(tmp_path: Path) -> None:
    """A folder that is gone is a warning, 4; no line has a time, and no log file is written beside the journal."""
    home = Home(tmp_path)
    home.write("a.md", "one")
    assert home.run("up", home.folder, "--once", "--yes").code == 0
    home.folder.rename(tmp_path / "elsewhere")
    lines = told_the_journal(home, "run", until=b"<4>")
    assert well_formed(lines)
    assert not (home.path / "logs" / "agent.log").exists()


def test_a_final_command_error_is_an_error_in_the_journal(tmp_path: Path) -> None:
    """A setting that makes no sense: its lines have priority 3."""
    home = Home(tmp_path)
    home.path.mkdir(parents=True)
    (home.path / "config.toml").write_text("no_such_setting = 1\n")
    lines = told_the_journal(home, "run")
    assert well_formed(lines) and {line[:3] for line in lines} == {"<3>"}


def test_a_hub_that_cannot_listen_is_an_error_in_the_journal(tmp_path: Path) -> None:
    """An address of another machine ends the hub with lines of priority 3."""
    home = Home(tmp_path)
    lines = told_the_journal(
        home, "hub", "serve", "--listen", "192.0.2.1:1", "--behind-proxy", "--data", str(tmp_path / "h")
    )
    assert well_formed(lines) and {line[:3] for line in lines} == {"<3>"}
