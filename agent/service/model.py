"""Types of services: the host, the plan, the change, the state, and the protocol of a manager."""

from __future__ import annotations

import enum
import os
import pwd
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from agent.settings.home import Home

USER_UNIT: Final = "raven-agent.service"
"""The unit of the user's own systemd."""


def system_unit(user: str) -> str:
    """Return the unit of the system's systemd that runs a user's agent."""
    return f"raven-agent@{user}.service"


def daemon_label(user: str) -> str:
    """Return the label of launchd's daemon that runs a user's agent."""
    return f"ai.raven-local-sync.daemon.{user}"


class ManagerKind(enum.StrEnum):
    """The service manager that starts the agent."""

    SYSTEMD = "systemd"
    LAUNCHD = "launchd"
    AUTOSTART = "autostart"


class StartAt(enum.StrEnum):
    """The moment at which the agent is started."""

    LOGIN = "login"
    BOOT = "boot"


class Linger(enum.Enum):
    """Lingering of a user's systemd: its services start at boot and outlive the login."""

    AS_IT_IS = "as_it_is"
    ON = "on"


@dataclass(frozen=True, slots=True)
class Host:
    """The computer and the user, as far as services need them.

    Attributes:
        home: the agent's folders.
        env: the environment of the command.
        platform: as ``sys.platform`` has it.
        uid: the user's number; 0 is root.
        user: the user's name.
        person: the user's home folder.
        top: where the system's own folders begin.
    """

    home: Home
    env: Mapping[str, str] = field(repr=False)
    platform: str
    uid: int
    user: str
    person: Path
    top: Path = Path("/")

    @classmethod
    def here(cls, home: Home) -> Host:
        """Return this computer and the user of this process."""
        uid = os.getuid()
        try:
            user = pwd.getpwuid(uid).pw_name
        except KeyError:
            user = str(uid)
        return cls(home, os.environ, sys.platform, uid, user, Path.home())

    @property
    def config_dir(self) -> Path:
        """The user's folder for configuration. The XDG rules ignore a relative path in the variable."""
        configured = self.env.get("XDG_CONFIG_HOME")
        return Path(configured) if configured and Path(configured).is_absolute() else self.person / ".config"


@dataclass(frozen=True, slots=True)
class InstallPlan:
    """The service to install.

    Attributes:
        program: the path the service starts, with ``run``.
        single_file: the program is a loader that starts the interpreter as its child.
        variables: environment of the service, besides the manager's own.
        linger: whether the user's systemd starts at boot and keeps running after the logout.
    """

    program: Path
    single_file: bool
    variables: Mapping[str, str]
    linger: Linger = Linger.AS_IT_IS


@dataclass(frozen=True, slots=True)
class InstallChange:
    """The change that a command made.

    Attributes:
        changed: True if anything changed.
        files: files that were written or removed.
        notes: sentences for the person.
    """

    changed: bool
    files: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ServiceState:
    """The state of a service. Reading it changes nothing.

    Attributes:
        kind: the manager that starts it.
        at: when it starts.
        user: the user whose agent it runs.
        name: the unit, label or entry.
        installed: True if it will be started.
        running: True if it runs now.
        pid: its process id, if the manager knows it.
        words: its own status line, if the manager keeps one.
        program: the program that it starts.
        files: the files that ``install`` wrote.
        detail: one sentence.
        problem: one clause about a fault; None without one.
        remedy: the command that mends it.
    """

    kind: ManagerKind
    at: StartAt
    user: str
    name: str
    installed: bool = False
    running: bool = False
    pid: int | None = None
    words: str | None = None
    program: Path | None = None
    files: tuple[Path, ...] = ()
    detail: str = "not installed"
    problem: str | None = None
    remedy: str | None = None

    @property
    def stop_command(self) -> str:
        """The command that stops it. A system's service names its user, and takes root."""
        of_system = self.name in (system_unit(self.user), daemon_label(self.user))
        return f"sudo raven-agent service stop --as {self.user}" if of_system else "raven-agent service stop"


class Manager(Protocol):
    """A way to start the agent. Every method may raise ServiceFailed; ``state`` raises nothing."""

    def install(self, plan: InstallPlan) -> InstallChange:
        """Write the files and start the service; a second call changes nothing. Raises ServiceRefused."""

    def uninstall(self) -> InstallChange:
        """Stop the service and remove only the files that ``install`` made."""

    def start(self) -> InstallChange:
        """Start the service now. Raises NotInstalled."""

    def stop(self) -> InstallChange:
        """Stop the service until the next login or boot. Raises NotInstalled."""

    def state(self) -> ServiceState:
        """Return the state of the service."""
