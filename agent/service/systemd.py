"""systemd: the user's own instance, and the system's instance for a user."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.service.commands import CommandLineTool
from agent.service.errors import NotInstalled, ServiceFailed
from agent.service.model import (
    USER_UNIT,
    Host,
    InstallChange,
    InstallPlan,
    Linger,
    ManagerKind,
    ServiceState,
    StartAt,
    system_unit,
)
from agent.service.unit_files import UnitFileOwner, left_alone, look, remove, template, write
from agent.service.units import starts, unit_text
from agent.settings.owner_only_files import write_atomically

SYSTEM_UNIT: Final = "raven-agent@.service"
_SHOWN: Final = "LoadState,ActiveState,SubState,Result,UnitFileState,MainPID,StatusText"
_AWAY: Final = frozenset({"not-found", ""})
_UP: Final = frozenset({"active", "reloading"})


def tool_for(where: Host, *words: str) -> CommandLineTool:
    """Return a systemd command that also finds the user's instance without a login's variables (``su``, cron)."""
    env = dict(where.env)
    runtime = where.top / "run" / "user" / str(where.uid)
    if not env.get("XDG_RUNTIME_DIR") and runtime.is_dir():
        env["XDG_RUNTIME_DIR"] = str(runtime)
    return CommandLineTool(words, env)


@dataclass(frozen=True, slots=True)
class Systemd:
    """One unit of one systemd; ``user_manager`` and ``system_manager`` make it.

    Attributes:
        where: this computer.
        unit: its name.
        template: the name of the template file.
        user: the user whose agent it runs.
        folder: folder for unit files.
        packaged: the path of the unit file that a package installs.
        at: when it starts, apart from lingering.
        systemctl, loginctl: the commands.
    """

    where: Host
    unit: str
    template: str
    user: str
    folder: Path
    packaged: Path
    at: StartAt
    systemctl: CommandLineTool
    loginctl: CommandLineTool

    @property
    def file(self) -> Path:
        """The unit file that ``install`` writes."""
        return self.folder / self.unit

    def install(self, plan: InstallPlan) -> InstallChange:
        """Write, enable and start the unit. A package's unit that starts the same program is used unchanged."""
        written = self._write(plan)
        if written:
            self.systemctl.do("daemon-reload")
        enabled = self.systemctl.ask("is-enabled", self.unit).code != 0
        if enabled:
            self.systemctl.do("enable", self.unit)
        lingers = plan.linger is Linger.ON and self._linger()
        hint = f"the reason: {self._journal()}"
        runs = self.systemctl.ask("is-active", self.unit).code == 0
        if not runs:
            self.systemctl.do("start", self.unit, hint=hint)
        elif written:
            self.systemctl.do("restart", self.unit, hint=hint)
        files = (self.file,) if look(self.file) is UnitFileOwner.OURS else ()
        return InstallChange(bool(written or enabled or lingers or not runs), files, self._notes(plan))

    def _write(self, plan: InstallPlan) -> bool:
        if (
            look(self.file) is not UnitFileOwner.FOREIGN
            and not plan.variables
            and _starts(self.packaged) == plan.program
        ):
            return remove(self.file)
        return write(self.file, unit_text(template(self.template), plan))

    def _notes(self, plan: InstallPlan) -> tuple[str, ...]:
        if self.at is StartAt.BOOT or self._lingering() or plan.linger is Linger.ON:
            return ()
        return ("it runs while you are logged in; with --linger also before the login and after the logout",)

    def uninstall(self) -> InstallChange:
        """Stop and disable the unit, remove its file, and end the lingering if ``install`` enabled it."""
        shown = self._show()
        if not shown and look(self.file) is UnitFileOwner.OURS:
            raise ServiceFailed("systemd does not answer: nothing was removed", "log in again, or set XDG_RUNTIME_DIR")
        known = shown.get("LoadState", "") not in _AWAY
        touched = known and (shown.get("UnitFileState") == "enabled" or shown.get("ActiveState") != "inactive")
        if touched:
            self.systemctl.do("disable", "--now", self.unit)
            # Without this call, systemd goes on listing a unit that failed.
            self.systemctl.ask("reset-failed", self.unit)
        removed = remove(self.file)
        if removed:
            self.systemctl.ask("daemon-reload")
            self._forget_folders()
        unlingered = self._end_linger()
        files = (self.file,) if removed else ()
        return InstallChange(touched or removed or unlingered, files, left_alone(self.file))

    def _forget_folders(self) -> None:
        if self.at is StartAt.LOGIN:
            for folder in (self.folder, self.folder.parent):
                with contextlib.suppress(OSError):
                    folder.rmdir()

    def start(self) -> InstallChange:
        """Start the unit, also after systemd gave up restarting it."""
        if self._must_be_there().get("ActiveState") in _UP:
            return InstallChange(False)
        self.systemctl.do("start", self.unit, hint=f"the reason: {self._journal()}")
        return InstallChange(True)

    def stop(self) -> InstallChange:
        """Stop the unit until the next login or boot."""
        if self._must_be_there().get("ActiveState") in ("inactive", "failed"):
            return InstallChange(False)
        self.systemctl.do("stop", self.unit)
        return InstallChange(True)

    def state(self) -> ServiceState:
        """Return the state that systemd reports, or what the unit file implies if systemd does not answer."""
        shown = self._show()
        ours = look(self.file) is UnitFileOwner.OURS
        installed = shown.get("UnitFileState", "") in ("enabled", "enabled-runtime") if shown else ours
        program = _starts(self.file) or _starts(self.packaged)
        at = StartAt.BOOT if self.at is StartAt.BOOT or (installed and self._lingering()) else StartAt.LOGIN
        running = shown.get("ActiveState") in _UP
        pid = int(shown.get("MainPID") or 0)
        problem, remedy = self._problem(shown, program) if installed or ours else (None, None)
        return ServiceState(
            ManagerKind.SYSTEMD, at, self.user, self.unit, installed, running, pid or None,
            shown.get("StatusText") or None,
            program if installed or ours else None, (self.file,) if ours else (),
            f"{self.unit} of {self._whose()}, at {at}" if installed else "not installed", problem, remedy,
        )  # fmt: skip

    def _problem(self, shown: Mapping[str, str], program: Path | None) -> tuple[str | None, str | None]:
        if program is not None and not os.access(program, os.X_OK):
            return f"{self.unit} starts {program}, which is not there", "raven-agent service install"
        if not shown:
            return "systemd does not answer", "log in again, or set XDG_RUNTIME_DIR"
        if shown.get("ActiveState") == "failed" or shown.get("SubState") == "auto-restart":
            words = shown.get("StatusText") or shown.get("Result") or "failed"
            return f"{self.unit} keeps failing: {words}", self._journal()
        if shown.get("UnitFileState") not in ("enabled", "enabled-runtime"):
            return f"{self.unit} is not enabled", "raven-agent service install"
        if shown.get("ActiveState") == "inactive":
            return f"{self.unit} does not run", "raven-agent service start"
        return None, None

    def _whose(self) -> str:
        return "your systemd" if self.at is StartAt.LOGIN else f"the system, for {self.user}"

    def _journal(self) -> str:
        return f"journalctl {'--user ' if self.at is StartAt.LOGIN else ''}-u {self.unit.removesuffix('.service')}"

    def _must_be_there(self) -> dict[str, str]:
        shown = self._show()
        if shown.get("LoadState", "") in _AWAY:
            raise NotInstalled("there is no service here", "raven-agent service install")
        return shown

    def _show(self) -> dict[str, str]:
        """Return the unit's properties; empty if systemd does not answer."""
        said = self.systemctl.ask("show", f"--property={_SHOWN}", self.unit)
        lines = said.out.splitlines() if said.code == 0 else []
        return dict(line.split("=", 1) for line in lines if "=" in line)

    # Lingering

    def _lingering(self) -> bool:
        said = self.loginctl.ask("show-user", self.user, "--property=Linger")
        return said.code == 0 and said.out.strip() == "Linger=yes"

    def _linger(self) -> bool:
        if self._lingering():
            return False
        self.loginctl.do("enable-linger", self.user, hint=f"sudo loginctl enable-linger {self.user}")
        write_atomically(self._linger_file(), json.dumps({"user": self.user}).encode())
        return True

    def _end_linger(self) -> bool:
        if not self._linger_file().exists():
            return False
        self.loginctl.do("disable-linger", self.user)
        self._linger_file().unlink()
        return True

    def _linger_file(self) -> Path:
        """File that records that ``install`` enabled lingering. Lingering from before is not ended by ``uninstall``."""
        return self.where.home.state_dir / "linger.json"


def user_manager(where: Host) -> Systemd:
    """Return the manager of the user's own systemd."""
    return Systemd(
        where, USER_UNIT, USER_UNIT, where.user, where.config_dir / "systemd" / "user",
        where.top / "usr/lib/systemd/user" / USER_UNIT, StartAt.LOGIN,
        tool_for(where, "systemctl", "--user"), tool_for(where, "loginctl"),
    )  # fmt: skip


def system_manager(where: Host, user: str) -> Systemd:
    """Return the manager of the system's systemd, for a user."""
    return Systemd(
        where, system_unit(user), SYSTEM_UNIT, user, where.top / "etc/systemd/system",
        where.top / "usr/lib/systemd/system" / SYSTEM_UNIT, StartAt.BOOT,
        tool_for(where, "systemctl"), tool_for(where, "loginctl"),
    )  # fmt: skip


def _starts(unit: Path) -> Path | None:
    try:
        return starts(unit.read_text("utf-8"))
    except (OSError, UnicodeDecodeError):
        return None
