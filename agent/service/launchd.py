"""launchd: an agent of the user's login, and a daemon of the system for a user."""

from __future__ import annotations

import os
import plistlib
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from agent.service.commands import CommandLineTool
from agent.service.errors import NotInstalled, ServiceFailed
from agent.service.model import Host, InstallChange, InstallPlan, ManagerKind, ServiceState, StartAt, daemon_label
from agent.service.unit_files import UnitFileOwner, left_alone, look, remove, signed, template, write

LABEL: Final = "ai.raven-local-sync.agent"
AGENT_PLIST: Final = f"{LABEL}.plist"
DAEMON_PLIST: Final = "ai.raven-local-sync.daemon.plist"
GONE_SECONDS: Final = 25.0
"""Longest wait until a service is unloaded. launchd gives it its ExitTimeOut; only then can it be loaded again."""


@dataclass(frozen=True, slots=True)
class Launchd:
    """One property list in one domain of launchd.

    Attributes:
        where: this computer.
        label: the service's name.
        template: the name of the file it is made from.
        user: the user whose agent it runs.
        file: the file that ``install`` writes.
        log: file for output before the program's own log is open.
        at: when it starts.
        launchctl: the command.
    """

    where: Host
    label: str
    template: str
    user: str
    file: Path
    log: Path
    at: StartAt
    launchctl: CommandLineTool

    @property
    def domain(self) -> str:
        """Domain that it is loaded in: the graphical login if there is one, else the user's background."""
        if self.at is StartAt.BOOT:
            return "system"
        graphical = f"gui/{self.where.uid}"
        return graphical if self.launchctl.ask("print", graphical).code == 0 else f"user/{self.where.uid}"

    def install(self, plan: InstallPlan) -> InstallChange:
        """Write and load the service, which starts it."""
        written = write(self.file, self.text(plan))
        domain = self.domain
        loaded = self._loaded(domain)
        if loaded and written:
            self._unload(domain)
        if written or not loaded:
            self.launchctl.do("enable", f"{domain}/{self.label}")
            self.launchctl.do("bootstrap", domain, str(self.file))
        elif not self._running(domain):
            self.launchctl.do("kickstart", f"{domain}/{self.label}")
        else:
            return InstallChange(False, (self.file,))
        return InstallChange(True, (self.file,))

    def text(self, plan: InstallPlan) -> str:
        """Return the signed property list that starts the plan's program."""
        document: dict[str, Any] = plistlib.loads(template(self.template).encode())
        document["Label"] = self.label
        document["ProgramArguments"] = [str(plan.program), *document["ProgramArguments"][1:]]
        document |= {"StandardOutPath": str(self.log), "StandardErrorPath": str(self.log)}
        if plan.variables:
            document["EnvironmentVariables"] = dict(plan.variables)
        if self.at is StartAt.BOOT:
            document["UserName"] = self.user
        return signed(plistlib.dumps(document).decode(), "<!-- {} -->")

    def uninstall(self) -> InstallChange:
        """Unload the service, which stops it, and remove its file."""
        domain = self.domain
        ours = look(self.file) is UnitFileOwner.OURS
        loaded = ours and self._loaded(domain)
        if loaded:
            self._unload(domain)
        removed = remove(self.file)
        return InstallChange(loaded or removed, (self.file,) if removed else (), left_alone(self.file))

    def start(self) -> InstallChange:
        """Start the service now."""
        domain = self._must_be_there()
        if self._running(domain):
            return InstallChange(False)
        if self._loaded(domain):
            self.launchctl.do("kickstart", f"{domain}/{self.label}")
        else:
            self.launchctl.do("bootstrap", domain, str(self.file))
        return InstallChange(True)

    def stop(self) -> InstallChange:
        """Stop the service. It ends without an error, so launchd starts it again only at the next login or boot."""
        domain = self._must_be_there()
        if not self._running(domain):
            return InstallChange(False)
        self.launchctl.do("kill", "SIGTERM", f"{domain}/{self.label}")
        return InstallChange(True)

    def state(self) -> ServiceState:
        """Return the state that launchd reports."""
        ours = look(self.file) is UnitFileOwner.OURS
        shown = self.launchctl.ask("print", f"{self.domain}/{self.label}")
        pid = re.search(r"^\s*pid = (\d+)", shown.out, re.MULTILINE) if shown.code == 0 else None
        program = self._program()
        problem, remedy = None, None
        if ours and program is not None and not os.access(program, os.X_OK):
            problem, remedy = f"{self.label} starts {program}, which is not there", "raven-agent service install"
        elif ours and shown.code != 0:
            problem, remedy = f"{self.label} is not loaded", "raven-agent service start"
        elif ours and pid is None:
            problem, remedy = f"{self.label} does not run", "raven-agent service start"
        return ServiceState(
            ManagerKind.LAUNCHD, self.at, self.user, self.label, ours, pid is not None,
            int(pid[1]) if pid else None, None,
            program if ours else None, (self.file,) if ours else (),
            f"{self.file}, at {self.at}" if ours else "not installed", problem, remedy,
        )  # fmt: skip

    def _program(self) -> Path | None:
        try:
            return Path(plistlib.loads(self.file.read_bytes())["ProgramArguments"][0])
        except (OSError, ValueError, KeyError, IndexError, TypeError):
            return None

    def _must_be_there(self) -> str:
        if look(self.file) is not UnitFileOwner.OURS:
            raise NotInstalled("there is no service here", "raven-agent service install")
        return self.domain

    def _loaded(self, domain: str) -> bool:
        return self.launchctl.ask("print", f"{domain}/{self.label}").code == 0

    def _running(self, domain: str) -> bool:
        said = self.launchctl.ask("print", f"{domain}/{self.label}")
        return said.code == 0 and re.search(r"^\s*pid = \d+", said.out, re.MULTILINE) is not None

    def _unload(self, domain: str) -> None:
        self.launchctl.do("bootout", f"{domain}/{self.label}")
        deadline = time.monotonic() + GONE_SECONDS
        while self._loaded(domain):
            if time.monotonic() > deadline:
                raise ServiceFailed(f"{self.label} is not unloaded from {domain}", "log out and in again, then repeat")
            time.sleep(0.2)


def launch_agent(where: Host) -> Launchd:
    """Return the user's own service, from login to logout."""
    file = where.person / "Library" / "LaunchAgents" / AGENT_PLIST
    log = where.home.log_dir / "service.log"
    return Launchd(
        where, LABEL, AGENT_PLIST, where.user, file, log, StartAt.LOGIN, CommandLineTool(("launchctl",), where.env)
    )


def launch_daemon(where: Host, user: str) -> Launchd:
    """Return the system's service for a user, from boot on."""
    label = daemon_label(user)
    file = where.top / "Library" / "LaunchDaemons" / f"{label}.plist"
    # launchd creates the file for the user, but no folder.
    log = where.top / "Library" / "Logs" / f"raven-agent-{user}.log"
    return Launchd(
        where, label, DAEMON_PLIST, user, file, log, StartAt.BOOT, CommandLineTool(("launchctl",), where.env)
    )
