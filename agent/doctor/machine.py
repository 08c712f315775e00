"""Checks of the machine and of the agent's own files."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import shutil
import sqlite3
import stat
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import agent
from agent.core.humanize import size_words
from agent.doctor.rows import CheckRow, failed, ok, unknown
from agent.index.migrate import SCHEMA_VERSION
from agent.settings.home import Home

DISTRIBUTION: Final = "raven-local-sync"
LEAST_FREE: Final = 256 << 20
"""Bytes of free space below which a disk counts as full: a batch of files and the index's log must fit."""
FEW_WATCHES: Final = 8192
MOSTLY_USED: Final = 0.9

_PROC: Final = Path("/proc")


def program() -> Iterator[CheckRow]:
    """Check that no other package is called ``agent``: it could run in its place, or mix with it."""
    ours = Path(agent.__file__).parent
    remedy = "install raven-local-sync into an environment of its own, as pipx does"
    others = sorted(str(place) for place in _packages_named(ours.name, sys.path) if place != ours.resolve())
    owners = sorted(set(_owners(ours.name)) - {DISTRIBUTION})
    if owners:
        yield failed("program", f"{', '.join(owners)} brings a package called {ours.name} too, into {ours}", remedy)
    elif others:
        yield failed("program", f"another package called {ours.name} is in {', '.join(others)}", remedy)
    else:
        yield ok("program", f"{agent.__version__} from {ours}")


def _owners(name: str) -> Iterator[str]:
    """Return the distributions that bring a package of this name, by their lists of files.

    ``importlib.metadata.packages_distributions`` returns the same, but needs 10 to 20 times the processor time.
    """
    for distribution in importlib.metadata.distributions():
        packages = distribution.read_text("top_level.txt")
        if packages is None:
            files = (distribution.read_text("RECORD") or "").splitlines()
            brings = any(file.startswith((f"{name}/", f"{name}.py,")) and ".py," in file for file in files)
        else:
            brings = name in packages.split()
        if brings:
            yield distribution.metadata["Name"]


def _packages_named(name: str, places: Sequence[str]) -> set[Path]:
    found = set()
    for place in places:
        for candidate in (Path(place) / name / "__init__.py", Path(place) / f"{name}.py"):
            if place and candidate.is_file():
                found.add(candidate.resolve().parent if candidate.name == "__init__.py" else candidate.resolve())
    return found


def home(home: Home) -> Iterator[CheckRow]:
    """Check the agent's own folder and the free space of its disk."""
    state = home.state_dir
    if not state.exists():
        yield ok("home", f"{state} is made when it is needed")
        return
    mode = stat.S_IMODE(state.stat().st_mode)
    if mode & 0o077:
        yield failed("home", f"others can enter {state} ({mode:o})", f"chmod 700 {state}")
    elif not os.access(state, os.W_OK | os.X_OK):
        yield failed("home", f"{state} cannot be written", f"chown {os.getuid()} {state}, and chmod 700 it")
    else:
        yield ok("home", f"{state} ({mode:o})")
    yield room("free space", state)


def room(check: str, place: Path) -> CheckRow:
    """Check the free space of the disk of ``place``."""
    try:
        free = shutil.disk_usage(place).free
    except OSError as error:
        return unknown(check, f"{place}: {error.strerror}")
    if free < LEAST_FREE:
        return failed(check, f"{free >> 20} MiB free at {place}", f"make room on the disk of {place}")
    return ok(check, f"{free >> 20} MiB free")


def space(home: Home) -> CheckRow:
    """State the space that the agent's own files take. The texts of linked folders are not among them."""
    parts = (
        ("the index", size_below(home.index_file, home.index_file.with_name(f"{home.index_file.name}-wal"))),
        ("the trash and other texts", size_below(*(home.state_dir / name for name in ("trash", "slots", "kept")))),
        ("the hub on this machine", size_below(home.state_dir / "hub")),
        ("the log", size_below(home.log_file.parent)),
    )
    words = ", ".join(f"{name} {size_words(size)}" for name, size in parts if size)
    return ok("space", f"the agent's own files take {words}" if words else "the agent has no files of its own yet")


def size_below(*places: Path) -> int:
    """Return the bytes of all files at or below some places. Files that cannot be read count as nothing."""
    total = 0
    for place in places:
        files = [place] if place.is_file() else (Path(top, name) for top, _, names in os.walk(place) for name in names)
        for file in files:
            with contextlib.suppress(OSError):
                total += file.lstat().st_size
    return total


def lock(home: Home, running: int | None) -> Iterator[CheckRow]:
    """Check the lock of the home. ``running`` is the pid of the agent that answers, or None."""
    if running is not None:
        yield ok("lock", f"held by the running agent (pid {running})")
        return
    holder = _holder(home.lock_file)
    if holder is None:
        yield ok("lock", "free: no agent runs")
        return
    said = _said_in(home.lock_file)
    if said.get("socket"):
        detail = f"pid {holder} holds this home and does not answer"
        yield failed("lock", detail, f"raven-agent logs; if it says nothing: kill {holder}")
    else:
        yield ok("lock", f"a command is at work (pid {holder})")


def _holder(file: Path) -> int | None:
    """Return the pid that holds the lock, by the kernel's list if there is one, else by the file."""
    try:
        inode = file.stat().st_ino
        rows = [line.split() for line in (_PROC / "locks").read_text("ascii", "replace").splitlines()]
    except FileNotFoundError:
        pid = _said_in(file).get("pid")
        return pid if isinstance(pid, int) and _lives(pid) else None
    except OSError:
        return None
    held = (row for row in rows if "FLOCK" in row and row[5].rpartition(":")[2] == str(inode) and "->" not in row)
    return next((int(row[4]) for row in held), None)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _said_in(file: Path) -> dict[str, object]:
    try:
        said = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def index(home: Home) -> Iterator[CheckRow]:
    """Check that the index is sound, beside an agent that has it open. Nothing is created, migrated or moved."""
    file = home.index_file
    if not file.exists():
        yield ok("index", "none yet: the first start makes it")
        return
    remedy = f"stop the agent and move {file} away: it is rebuilt as a union of both sides, nothing is deleted"
    try:
        with contextlib.closing(_reading(file)) as connection:
            (complaint,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            (version,) = connection.execute("PRAGMA user_version").fetchone()
    except (OSError, sqlite3.Error) as error:
        yield failed("index", f"it cannot be read: {error}", remedy)
    else:
        if complaint != "ok":
            yield failed("index", str(complaint), remedy)
        elif version > SCHEMA_VERSION:
            yield failed("index", f"a newer release wrote it (version {version})", "update raven-agent")
        else:
            yield ok("index", f"sound, {file.stat().st_size >> 10} KiB")


def _reading(file: Path) -> sqlite3.Connection:
    """Open the index for reading. If no process has it open, SQLite creates no files beside it."""
    open_now = file.with_name(f"{file.name}-wal").exists()
    uri = f"{file.absolute().as_uri()}?mode=ro{'' if open_now else '&immutable=1'}"
    connection = sqlite3.connect(uri, uri=True)
    connection.execute("PRAGMA busy_timeout=10000")
    return connection


def watches() -> Iterator[CheckRow]:
    """Check the limit of watched folders against those that this user's programs watch."""
    limit = _PROC / "sys/fs/inotify/max_user_watches"
    if not limit.exists():
        yield ok("watches", "the platform has no limit to speak of")
        return
    most = int(limit.read_text().strip())
    used = sum(_watches_of(process) for process in _PROC.glob("[0-9]*") if _is_ours(process))
    detail = f"{used} of {most} in use by this user's programs"
    if most < FEW_WATCHES or used > most * MOSTLY_USED:
        more = max(524_288, 4 * most)
        yield failed("watches", detail, f"sudo sysctl fs.inotify.max_user_watches={more}")
    else:
        yield ok("watches", detail)


def _is_ours(process: Path) -> bool:
    try:
        return process.stat().st_uid == os.getuid()
    except OSError:
        return False


def _watches_of(process: Path) -> int:
    found = 0
    try:
        for link in (process / "fd").iterdir():
            if str(link.readlink()) == "anon_inode:inotify":
                found_in = (process / "fdinfo" / link.name).read_text("ascii", "replace")
                found += sum(1 for line in found_in.splitlines() if line.startswith("inotify "))
    except OSError:
        # The process has ended, or does not allow this user to read its files.
        return found
    return found


def service(home: Home) -> Iterator[CheckRow]:
    """Check that the service manager starts the agent, if it is installed there."""
    from agent.service import in_background, state

    found = state(home)
    if found.problem:
        remedy = found.remedy or "raven-agent service install"
        yield failed("service", found.problem, remedy)
    elif not found.installed:
        yield ok("service", f"not installed; to have it run by itself: {in_background(home)}")
    else:
        yield ok("service", f"{found.detail}; {'running' if found.running else 'not running'}")
