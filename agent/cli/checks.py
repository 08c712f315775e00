"""The checks that ``doctor`` makes by itself, with or without an agent that works."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agent.core.errors import AgentError
from agent.doctor.rows import CheckState, check_row
from agent.settings.config_file import load_settings
from agent.settings.home import Home
from agent.settings.registry_file import load_registry


def check(name: str, detail: str, remedy: str | None = None) -> dict[str, Any]:
    """Return one row of the doctor's document. A remedy means that the check failed."""
    return check_row(name, CheckState.OK if remedy is None else CheckState.FAILED, detail, remedy)


def own_checks(home: Home) -> Iterator[dict[str, Any]]:
    """Settings, registry, permissions."""
    yield _loads("config", lambda: load_settings(home), home.config_file)
    yield _loads("registry", lambda: load_registry(home.registry_file), home.registry_file)
    yield _permissions(home)


def _loads(name: str, read: Any, file: Path) -> dict[str, Any]:
    try:
        read()
    except AgentError as error:
        return check(name, error.message, error.hint or f"look at {file}")
    return check(name, str(file) if file.exists() else "defaults")


def _permissions(home: Home) -> dict[str, Any]:
    folders = (home.config_dir, home.state_dir, home.log_dir, home.hub_dir)
    files = (home.registry_file, home.credentials_file, home.index_file, home.log_file)
    open_ones = [str(path) for path in dict.fromkeys((*folders, *files)) if path.exists() and _mode(path) & 0o077]
    if open_ones:
        return check("permissions", f"others can reach {', '.join(open_ones)}", f"chmod go= {' '.join(open_ones)}")
    return check("permissions", "only you can read the agent's files")


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)
