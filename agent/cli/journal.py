"""The agent's log in systemd's journal, read with ``journalctl``."""

from __future__ import annotations

import getpass
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from agent.cli.log_reader import LogFilter
from agent.cli.logsetup import PRIORITIES
from agent.process.environment import child_environment
from agent.service.model import USER_UNIT, system_unit
from agent.settings.home import Home

JOURNAL_SECONDS: Final = 30.0


def is_in_journal(home: Home) -> bool:
    """True if the agent that holds this home logs to the journal: its stderr is the stream that systemd named."""
    from agent.cli.client import read_lock

    process = Path("/proc") / str(read_lock(home).get("pid"))
    try:
        given = dict(part.split(b"=", 1) for part in (process / "environ").read_bytes().split(b"\0") if b"=" in part)
        stderr = (process / "fd" / "2").stat()
    except OSError:
        return False
    return given.get(b"JOURNAL_STREAM") == f"{stderr.st_dev}:{stderr.st_ino}".encode()


def _command(count: int, wanted: LogFilter, *more: str) -> list[str]:
    where = (f"_SYSTEMD_USER_UNIT={USER_UNIT}", "+", f"_SYSTEMD_UNIT={system_unit(getpass.getuser())}")
    chosen = []
    if wanted.since is not None:
        chosen.append(f"--since=@{wanted.since.timestamp():.0f}")
    if wanted.level is not None:
        chosen.append(f"--priority={PRIORITIES[wanted.level.upper()]}")
    return ["journalctl", "--quiet", "--no-pager", "--output=short-iso", f"--lines={count}", *chosen, *more, *where]


def journal_lines(count: int, wanted: LogFilter) -> list[str] | None:
    """Return the last lines of the wanted records of the agent's services.

    None where there is no journal, it may not be read, or the services have written nothing to it.
    """
    if shutil.which("journalctl") is None:
        return None
    found = _asked(_command(count, wanted))
    # An empty choice of a log is no missing log.
    return found if found or _asked(_command(1, LogFilter())) else None


def _asked(command: list[str]) -> list[str]:
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, timeout=JOURNAL_SECONDS, env=child_environment()
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return done.stdout.decode("utf-8", "replace").splitlines() if done.returncode == 0 else []


def follow_journal(count: int, wanted: LogFilter) -> Iterator[str]:
    """Yield the last lines of the wanted records, then each wanted line as it is written, until the reader ends."""
    command = _command(count, wanted, "--follow")
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=child_environment()) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                yield line.decode("utf-8", "replace").rstrip("\n")
        finally:
            process.terminate()
