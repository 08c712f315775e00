"""The words of this room: where a service is to run, what was done, and how it stands."""

from __future__ import annotations

import enum
import os
import pwd
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from agent.settings.home import Home


class ManagerKind(enum.StrEnum):
    """Who starts the agent."""

    SYSTEMD = "systemd"
    LAUNCHD = "launchd"
    AUTOSTART = "autostart"


class StartAt(enum.StrEnum):
    """When it is started."""

    LOGIN = "login"
    BOOT = "boot"


class Linger(enum.Enum):
    """Whether a user's services outlive the login and start at boot."""

    AS_IT_IS = "as_it_is"
    ON = "on"


@dataclass(frozen=True, slots=True)
class Host:
    """The computer and the person, as far as services are concerned.

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
        """This computer and whoever runs this."""
        uid = os.getuid()
        try:
            user = pwd.getpwuid(uid).pw_name
        except KeyError:
            user = str(uid)
        return cls(home, os.environ, sys.platform, uid, user, Path.home())


@dataclass(frozen=True, slots=True)
class InstallPlan:
    """What is to be installed.

    Attributes:
        program: the path the service starts, with ``run``.
        single_file: the program is a loader that starts the interpreter as its child.
        variables: what the service's environment needs besides the manager's own.
        linger: whether a user's systemd is to start at boot and to stay after the logout.
    """

    program: Path
    single_file: bool
    variables: Mapping[str, str]
    linger: Linger = Linger.AS_IT_IS


@dataclass(frozen=True, slots=True)
class InstallChange:
    """What a command did.

    Attributes:
        changed: anything at all.
        files: those that were written, or removed.
        notes: sentences for the person.
    """

    changed: bool
    files: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ServiceState:
    """How a service stands. Nothing here was changed to find it out.

    Attributes:
        kind: who starts it.
        at: when.
        user: whose agent.
        name: the unit, label or entry.
        installed: it will be started.
        running: it runs now.
        pid: its process, where the manager knows.
        words: what it says of itself, where the manager keeps that.
        program: what it starts.
        files: what ``install`` wrote.
        detail: one sentence.
        problem: what is wrong with it; None when nothing is.
        remedy: what to do about that.
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


class Manager(Protocol):
    """One way to have the agent started. Every method may raise ServiceFailed; ``state`` raises nothing."""

    def install(self, plan: InstallPlan) -> InstallChange:
        """Write what is needed and start it; the same again changes nothing. Raises Refused over foreign files."""

    def uninstall(self) -> InstallChange:
        """Stop it and remove what ``install`` made, and nothing else."""

    def start(self) -> InstallChange:
        """Have it run now. Raises NotInstalled."""

    def stop(self) -> InstallChange:
        """Have it end until the next start. Raises NotInstalled."""

    def state(self) -> ServiceState:
        """How it stands."""
