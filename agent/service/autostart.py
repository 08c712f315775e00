"""Desktop autostart (freedesktop.org) for sessions without systemd. The desktop starts the agent once a session."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.process.environment import child_environment
from agent.service.errors import NotInstalled, ServiceFailed
from agent.service.model import Host, InstallChange, InstallPlan, ManagerKind, ServiceState, StartAt
from agent.service.running_agent import end_agent, running_pid
from agent.service.unit_files import UnitFileOwner, left_alone, look, remove, signed, template, write

ENTRY: Final = "raven-agent.desktop"
START_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Autostart:
    """The entry of one person's desktop session. The running agent is found through the home's lock file.

    Attributes:
        where: this computer.
        file: the entry that ``install`` writes.
    """

    where: Host
    file: Path

    def install(self, plan: InstallPlan) -> InstallChange:
        """Write the entry and start the agent as the session would."""
        text = template(ENTRY)
        words = [str(plan.program), "run", "-q"]
        if plan.variables:
            words = ["env", *(f"{name}={value}" for name, value in sorted(plan.variables.items())), *words]
        text = text.replace("Exec=/usr/bin/raven-agent run -q", f"Exec={' '.join(map(_word, words))}")
        text = text.replace("TryExec=/usr/bin/raven-agent", f"TryExec={_string(str(plan.program))}")
        written = write(self.file, signed(text))
        started = self._run(plan.program)
        note = "there is no systemd here: after a failure the agent starts again only at the next login"
        return InstallChange(written or started, (self.file,), (note,))

    def uninstall(self) -> InstallChange:
        """Remove the entry and stop the agent that it started."""
        stopped = look(self.file) is UnitFileOwner.OURS and self._end()
        removed = remove(self.file)
        return InstallChange(stopped or removed, (self.file,) if removed else (), left_alone(self.file))

    def start(self) -> InstallChange:
        """Start the agent as the session would."""
        return InstallChange(self._run(self._must_be_there()))

    def stop(self) -> InstallChange:
        """Stop the agent until the next login."""
        self._must_be_there()
        return InstallChange(self._end())

    def state(self) -> ServiceState:
        """Return the state of the entry and of the agent."""
        ours = look(self.file) is UnitFileOwner.OURS
        pid = self._pid()
        program = self._program() if ours else None
        problem, remedy = None, None
        if ours and (program is None or not os.access(program, os.X_OK)):
            problem, remedy = f"{self.file} starts {program}, which is not there", "raven-agent service install"
        elif ours and pid is None:
            problem, remedy = "the agent does not run", "raven-agent service start"
        return ServiceState(
            ManagerKind.AUTOSTART, StartAt.LOGIN, self.where.user, ENTRY, ours, ours and pid is not None,
            pid if ours else None,
            None, program, (self.file,) if ours else (), f"{self.file}, at login" if ours else "not installed",
            problem, remedy,
        )  # fmt: skip

    def _must_be_there(self) -> Path:
        program = self._program() if look(self.file) is UnitFileOwner.OURS else None
        if program is None:
            raise NotInstalled("there is no service here", "raven-agent service install")
        return program

    def _program(self) -> Path | None:
        with contextlib.suppress(OSError, UnicodeDecodeError):
            for line in self.file.read_text("utf-8").splitlines():
                if line.startswith("TryExec="):
                    return Path(line.removeprefix("TryExec=").replace("\\\\", "\\"))
        return None

    def _pid(self) -> int | None:
        return running_pid(self.where.home)

    def _run(self, program: Path) -> bool:
        if self._pid() is not None:
            return False
        process = subprocess.Popen(
            [str(program), "run", "-q"], env=child_environment(self.where.env), cwd="/", start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS
        while self._pid() is None:
            if process.poll() is not None or time.monotonic() > deadline:
                raise ServiceFailed("the agent did not start", "raven-agent logs, raven-agent doctor")
            time.sleep(0.05)
        # The agent outlives this command, which must not wait for it at exit.
        process.returncode = 0
        return True

    def _end(self) -> bool:
        pid = self._pid()
        if pid is None:
            return False
        end_agent(self.where.home, pid)
        return True


def autostart(where: Host) -> Autostart:
    """Return the autostart entry of the person."""
    return Autostart(where, where.config_dir / "autostart" / ENTRY)


def has_desktop(where: Host) -> bool:
    """Return True if a desktop session runs, or if one is installed that a person could start.

    ``/etc/xdg/autostart`` proves nothing: packages leave entries there on servers without any desktop.
    """
    named = any(where.env.get(name) for name in ("XDG_CURRENT_DESKTOP", "DESKTOP_SESSION", "XDG_SESSION_DESKTOP"))
    kinds = (where.top / "usr/share" / kind for kind in ("xsessions", "wayland-sessions"))
    return named or any(any(kind.glob("*.desktop")) for kind in kinds)


def _word(text: str) -> str:
    """Return one word of an Exec line: quoted, escaped, and with its percent signs doubled.

    Raises:
        ServiceFailed: it has a control character, which an entry cannot hold.
    """
    if not text.isprintable():
        raise ServiceFailed(f"{text!r} cannot be written into a desktop entry", "a name without control characters")
    plain = text.replace("%", "%%")
    if shlex.quote(text) == text:
        return plain
    for mark in ("\\", '"', "`", "$"):
        plain = plain.replace(mark, "\\" + mark)
    return _string(f'"{plain}"')


def _string(text: str) -> str:
    return text.replace("\\", "\\\\")
