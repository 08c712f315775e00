"""systemctl, loginctl and launchctl played by this file, where the real ones have nobody to talk to.

Strict: words they are not known to take are refused with exit code 64 and remembered, so that a test can show that the
agent never says any. What they start is the real program, with the real protocol.

Run as a script: ``players.py NAME FOLDER WORDS...``.
"""

from __future__ import annotations

import contextlib
import json
import os
import plistlib
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

UNIT = "raven-agent.service"
NAMES = ("systemctl", "loginctl", "launchctl")


def install(folder: Path) -> Path:
    """Put the commands into a folder of their own; the folder, for the PATH."""
    place = folder / "played"
    place.mkdir()
    for name in NAMES:
        script = place / name
        script.write_text(f'#!/bin/sh\nexec {sys.executable} -P {__file__} {name} {place} "$@"\n')
        script.chmod(0o755)
    return place


def said(place: Path) -> list[str]:
    """Every call so far, one line each, without what only asks."""
    file = place / "calls"
    lines = file.read_text().splitlines() if file.exists() else []
    return [line for line in lines if not re.search(r" (show|show-user|is-enabled|is-active|print)\b", line)]


def refused(place: Path) -> list[str]:
    """The calls no real command would have taken."""
    file = place / "refused"
    return file.read_text().splitlines() if file.exists() else []


class Player:
    """What one manager remembers between calls."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.file = place / "state.json"
        self.state: dict[str, Any] = json.loads(self.file.read_text()) if self.file.exists() else {}

    def keep(self, **changes: Any) -> None:
        self.state |= changes
        self.file.write_text(json.dumps(self.state))

    def alive(self) -> int:
        """The pid of what was started; 0 when it has ended."""
        pid = int(self.state.get("pid", 0))
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return 0
        return 0 if stat.rpartition(")")[2].split()[0] == "Z" else pid

    def run(self, words: list[str], variables: dict[str, str]) -> None:
        """Start it as a manager does, and wait for READY=1."""
        address = self.place / "notify"
        address.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as inbox:
            inbox.bind(str(address))
            inbox.settimeout(30)
            env = {"PATH": "/usr/bin:/bin", "HOME": os.environ["HOME"], "NOTIFY_SOCKET": str(address), **variables}
            process = subprocess.Popen(
                words, env=env, cwd="/", start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )  # fmt: skip
            self.keep(pid=process.pid)
            while b"READY=1" not in (message := inbox.recv(65_536)):
                pass
            status = re.search(rb"^STATUS=(.*)$", message, re.MULTILINE)
            self.keep(words=status[1].decode() if status else "")

    def answer(self, words: list[str]) -> int | None:
        """Carry out a call and return its exit code; None for words that the real command does not take."""
        raise NotImplementedError

    def stop(self) -> int:
        """End what runs and return 0."""
        self.end()
        return 0

    def end(self) -> None:
        pid = self.alive()
        if pid:
            os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + 15
        while self.alive() and time.monotonic() < deadline:
            time.sleep(0.02)
        self.keep(pid=0)


class Systemctl(Player):
    """``systemctl --user`` for the one unit."""

    def unit_file(self) -> Path:
        config = os.environ.get("XDG_CONFIG_HOME") or f"{os.environ['HOME']}/.config"
        return Path(config) / "systemd" / "user" / UNIT

    def answer(self, words: list[str]) -> int | None:
        known: dict[str, Callable[[], int]] = {
            "show --property=Version": lambda: print("Version=252") or 0,
            "daemon-reload": self.reload,
            f"is-enabled {UNIT}": lambda: 0 if self.state.get("enabled") else 1,
            f"is-active {UNIT}": lambda: 0 if self.alive() else 3,
            f"enable {UNIT}": self.enable,
            f"disable --now {UNIT}": self.disable,
            f"reset-failed {UNIT}": lambda: 0,
            f"start {UNIT}": self.start,
            f"stop {UNIT}": self.stop,
            f"restart {UNIT}": lambda: self.stop() or self.start(),
        }
        if re.fullmatch(r"show --property=[A-Za-z,]+ raven-agent@\w+\.service", " ".join(words)):
            print("LoadState=not-found\nActiveState=inactive\nUnitFileState=")
            return 0
        if words[:1] != ["--user"]:
            return None
        if words[1] == "show" and words[-1] == UNIT:
            return self.show(words[2].removeprefix("--property=").split(","))
        found = known.get(" ".join(words[1:]))
        return None if found is None else found()

    def reload(self) -> int:
        file = self.unit_file()
        self.keep(unit=file.read_text() if file.exists() else None)
        return 0

    def loaded(self) -> str | None:
        unit: str | None = self.state.get("unit")
        return unit

    def enable(self) -> int:
        self.keep(enabled=True)
        return 0 if self.unit_file().exists() else 1

    def disable(self) -> int:
        self.end()
        self.keep(enabled=False)
        return 0

    def start(self) -> int:
        unit = self.loaded()
        if unit is None:
            print(f"Failed to start {UNIT}: Unit {UNIT} not found.", file=sys.stderr)
            return 5
        command = re.search(r"^ExecStart=(.*)$", unit, re.MULTILINE)
        assert command is not None
        variables = [shlex.split(line)[0] for line in re.findall(r"^Environment=(.*)$", unit, re.MULTILINE)]
        self.run(shlex.split(command[1]), dict(line.split("=", 1) for line in variables))
        return 0

    def show(self, names: list[str]) -> int:
        there = self.loaded() is not None
        found = {
            "LoadState": "loaded" if there else "not-found",
            "ActiveState": "active" if self.alive() else "inactive",
            "SubState": "running" if self.alive() else "dead",
            "Result": "success",
            "UnitFileState": ("enabled" if self.state.get("enabled") else "disabled") if there else "",
            "MainPID": str(self.alive()),
            "StatusText": self.state.get("words", "") if self.alive() else "",
        }
        print("\n".join(f"{name}={found[name]}" for name in names))
        return 0


class Loginctl(Player):
    """``loginctl`` for lingering."""

    def answer(self, words: list[str]) -> int | None:
        match words:
            case ["show-user", _, "--property=Linger"]:
                print(f"Linger={'yes' if self.state.get('linger') else 'no'}")
            case ["enable-linger", _]:
                self.keep(linger=True)
            case ["disable-linger", _]:
                self.keep(linger=False)
            case _:
                return None
        return 0


class Launchctl(Player):
    """``launchctl`` for one property list."""

    def answer(self, words: list[str]) -> int | None:
        domain = f"gui/{os.getuid()}"
        target = rf"{domain}/ai\.raven-local-sync\.agent"
        match words:
            case ["print", where] if where == domain:
                return 0
            case ["print", where] if re.fullmatch(target, where):
                if not self.state.get("loaded"):
                    return 113
                print(f"state = running\n\tpid = {pid}" if (pid := self.alive()) else "state = not running")
                return 0
            case ["enable", where] if re.fullmatch(target, where):
                return 0
            case ["bootstrap", where, path] if where == domain:
                if self.state.get("loaded"):
                    print("Bootstrap failed: 5: Input/output error", file=sys.stderr)
                    return 5
                self.keep(loaded=path)
                return self.launch()
            case ["bootout", where] if re.fullmatch(target, where):
                self.end()
                self.keep(loaded=None)
                return 0
            case ["kickstart", where] if re.fullmatch(target, where):
                return self.launch()
            case ["kill", "SIGTERM", where] if re.fullmatch(target, where):
                self.end()
                return 0
        return None

    def launch(self) -> int:
        document = plistlib.loads(Path(self.state["loaded"]).read_bytes())
        self.run(document["ProgramArguments"], document.get("EnvironmentVariables", {}))
        return 0


def main(name: str, place: Path, words: list[str]) -> int:
    """Play one call."""
    line = " ".join([name, *words])
    with (place / "calls").open("a") as calls:
        calls.write(line + "\n")
    player = {"systemctl": Systemctl, "loginctl": Loginctl, "launchctl": Launchctl}[name](place)
    code = player.answer(words)
    if code is None:
        with (place / "refused").open("a") as file:
            file.write(line + "\n")
        print(f"{name}: no such words: {line}", file=sys.stderr)
        return 64
    return code


def finish(place: Path) -> None:
    """End what is still running, so that a failed test leaves nothing behind."""
    with contextlib.suppress(ProcessLookupError):
        Player(place).end()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:]))
