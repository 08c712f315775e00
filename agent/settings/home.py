"""Paths of one agent: its folders, its files and its control socket.

Every command imports this module before it does anything, so rarely needed modules are imported inside functions.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.settings.errors import ConfigError
from agent.settings.owner_only_files import ensure_private

__all__ = ["APP", "SOCKET_PATH_LIMIT", "SYSTEM_DIR", "Home"]

SOCKET_PATH_LIMIT: Final = 100
"""Bytes allowed in a socket's path. The systems allow 104 (macOS) and 108 (Linux), with the closing NUL."""

APP: Final = "raven-agent"

SYSTEM_DIR: Final = Path("/etc/raven-agent")
"""Configuration for every user of this machine."""


@dataclass(frozen=True, slots=True)
class Home:
    """Every folder and file of one agent.

    Attributes:
        config_dir: holds ``config.toml``.
        state_dir: holds the registry, the index, the lock, the drafts and the embedded hub.
        log_dir: holds the rotating log.
        socket: the control socket; its path is short enough for the system to bind it.
        pinned: ``RAVEN_AGENT_HOME`` named the folder, so nothing outside it is used (no keyring).
        system_dir: holds the administrator's ``config.toml`` and ``conf.d``; never written.
    """

    config_dir: Path
    state_dir: Path
    log_dir: Path
    socket: Path
    pinned: bool
    system_dir: Path = SYSTEM_DIR

    @classmethod
    def from_environment(cls, env: Mapping[str, str] | None = None) -> Home:
        """Return the home that ``RAVEN_AGENT_HOME`` names, else the platform's own folders. Creates nothing.

        Raises:
            ConfigError: ``RAVEN_AGENT_HOME`` is a relative path, or no home folder is known.
        """
        env = os.environ if env is None else env
        chosen = env.get("RAVEN_AGENT_HOME")
        system = Path(env.get("RAVEN_AGENT_ETC") or SYSTEM_DIR).absolute()
        if chosen:
            top = _absolute(chosen)
            return cls(top, top, top / "logs", _socket(top, top / "agent.sock", env), pinned=True, system_dir=system)
        from platformdirs import PlatformDirs

        dirs = PlatformDirs(APP, appauthor=False)
        try:
            state = dirs.user_state_path
            config, logs = dirs.user_config_path, dirs.user_log_path
        except RuntimeError as error:
            # Without HOME, and without an entry in the user database, expanduser gives up.
            raise ConfigError("no home folder is known: HOME is not set", "set HOME, or RAVEN_AGENT_HOME") from error
        runtime = env.get("XDG_RUNTIME_DIR")
        wanted = Path(runtime) / APP / "agent.sock" if runtime else state / "agent.sock"
        socket = _socket(state, wanted, env)
        return cls(config, state, logs, socket, pinned=False, system_dir=system)

    @property
    def config_file(self) -> Path:
        """Settings, written by a person."""
        return self.config_dir / "config.toml"

    @property
    def registry_file(self) -> Path:
        """Accounts and links, written by the agent."""
        return self.state_dir / "registry.json"

    @property
    def index_file(self) -> Path:
        """SQLite index. Losing it loses no link."""
        return self.state_dir / "index.sqlite"

    @property
    def generation_file(self) -> Path:
        """Number of times the index was opened for writing, kept beside it to detect an older copy."""
        return self.state_dir / "index.generation"

    @property
    def lock_file(self) -> Path:
        """Pid and socket of the agent that holds this home."""
        return self.state_dir / "agent.lock"

    @property
    def credentials_file(self) -> Path:
        """Tokens, where no keyring is used; 0600."""
        return self.state_dir / "credentials.json"

    @property
    def drafts_dir(self) -> Path:
        """Texts edited with ``resolve --edit`` that no resolution has taken yet; each file 0600."""
        return self.state_dir / "drafts"

    @property
    def rewinds_dir(self) -> Path:
        """The changes of the last ``restore FOLDER --at`` of each source; each file 0600."""
        return self.state_dir / "rewinds"

    @property
    def ui_file(self) -> Path:
        """Port, colours and keys of the dashboard."""
        return self.state_dir / "ui.json"

    @property
    def hub_dir(self) -> Path:
        """Data of the embedded hub."""
        return self.state_dir / "hub"

    @property
    def log_file(self) -> Path:
        """The newest log; older ones have a number appended."""
        return self.log_dir / "agent.log"

    def create(self) -> None:
        """Make every folder that is missing, 0700.

        Raises:
            ConfigError: a folder cannot be made, is no folder, or is not the user's own.
        """
        for folder in (self.config_dir, self.state_dir, self.log_dir, self.socket.parent):
            ensure_private(folder)
        # In a shared temporary folder anybody may plant a link under a known name: none is followed there.
        if not self.socket.parent.is_relative_to(self.state_dir) and self.socket.parent.is_symlink():
            raise ConfigError(
                f"{self.socket.parent} is a link, and the control socket is not put behind one",
                "remove the link, or set XDG_RUNTIME_DIR to a folder of your own",
            )


def _socket(state: Path, wanted: Path, env: Mapping[str, str]) -> Path:
    if len(os.fsencode(wanted)) <= SOCKET_PATH_LIMIT:
        return wanted
    import hashlib
    import tempfile

    digest = hashlib.sha256(os.fsencode(state)).hexdigest()[:12]
    base = env.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    return Path(base) / f"{APP}-{os.getuid()}-{digest}" / "agent.sock"


def _absolute(chosen: str) -> Path:
    try:
        top = Path(chosen).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"RAVEN_AGENT_HOME={chosen} names a home folder that is not known") from error
    if not top.is_absolute():
        # A relative path would mean another home in each working directory.
        raise ConfigError(
            f"RAVEN_AGENT_HOME={chosen} is a relative path", f"give the whole path, for example {top.absolute()}"
        )
    return top
