"""Run the embedded hub as a child process. The first use of the account ``local`` starts it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from agent.core.errors import AgentError
from agent.process.environment import child_environment
from agent.process.relaunch import HUB, self_command
from agent.settings.owner_only_files import private
from agent.settings.settings import TABLE

WORKSPACE = "local"
USER = "owner"
_START_SECONDS = 30.0
_STOP_SECONDS = 4.0
_FAILED_SECONDS = 5.0
"""Seconds in which a hub that named its own error is not started again: several calls of a pass need it at once."""
_STOPPING = "the embedded hub is not started, because the agent is stopping"
_RENEW_AFTER = 0.5
"""Fraction of a token's life after which a new one is made."""


class HubStartFailed(AgentError):
    """The embedded hub did not start."""

    code = "hub"


@dataclass(frozen=True, slots=True)
class HubDoor:
    """The address at which other machines reach the hub.

    Attributes:
        listen: ``HOST:PORT`` as it was opened.
        pin: sha256 of the hub's certificate in hexadecimal.
    """

    listen: str
    pin: str

    @classmethod
    def from_answer(cls, answer: object) -> HubDoor | None:
        """Read the hub's own words; None if it named no such address."""
        if not isinstance(answer, dict):
            return None
        return cls(f"{answer.get('host')}:{answer.get('port')}", str(answer.get("pin") or ""))


class HubProcess:
    """Starts the hub when it is first needed, and again if it ends. Safe to use from several threads.

    Args:
        data: the hub's folder.
        port: the preferred port. If it is in use, the hub takes a free one and remembers it.
        token_days: days that its tokens are valid.
        door: ``HOST:PORT`` at which other machines reach it; empty for this machine only.
        name: name of this machine for those that join; empty for its host name.
    """

    def __init__(self, data: Path, port: int, token_days: float, door: str = "", name: str = "") -> None:
        self._data = data
        self._port = port
        self._wanted_door = door
        self._wanted_name = name
        self._started_with = ("", "")
        """The address for other machines and the name that the hub which runs was started with."""
        self.door: HubDoor | None = None
        """The address for other machines of the hub that runs; None if there is none."""
        self.door_error = ""
        """The reason why the wanted address could not be opened; empty otherwise."""
        self._token_seconds = token_days * 86400.0
        self._token_days = token_days
        self._lock = threading.Lock()
        """Held while the hub starts or makes a token, which may take a minute."""
        self._stop_lock = threading.Lock()
        """Guards the next two; held only for a moment, and taken after ``_lock``."""
        self._stopping = False
        self._starting: subprocess.Popen[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._failed_at = float("-inf")
        self._error = ""
        """The error that the hub named last before it ended, and when, on the monotonic clock."""
        self._url = ""
        self._token = ""
        self._token_made = 0.0

    @property
    def running(self) -> bool:
        """True while the child process runs."""
        return self._process is not None and self._process.poll() is None

    def use_port(self, port: int) -> None:
        """Use another port from the next start on."""
        self._port = port

    def use_door(self, door: str) -> None:
        """Use another address for other machines. The next ``ensure`` starts the hub again for it."""
        self._wanted_door = door

    def use_name(self, name: str) -> None:
        """Use another name for machines that join. The next ``ensure`` starts the hub again for it."""
        self._wanted_name = name

    def ensure(self) -> str:
        """Return the hub's address. Starts the hub if it does not run, or not with the wanted address and name.

        Raises:
            HubStartFailed: the hub did not start; the message holds the hub's own error.
        """
        with self._lock:
            self._refuse_if_stopping()
            if self.running and self._started_with != (self._wanted_door, self._wanted_name):
                _end(self._process)
            if not self.running:
                if time.monotonic() - self._failed_at < _FAILED_SECONDS:
                    raise self._not_started(self._error)
                self._start()
            return self._url

    def token(self) -> str:
        """Return a token for the hub, renewed after half of its life."""
        with self._lock:
            if not self._token or time.time() - self._token_made > self._token_seconds * _RENEW_AFTER:
                self._create_token()
            return self._token

    def _start(self) -> None:
        self._data.mkdir(mode=0o700, parents=True, exist_ok=True)
        door, name = self._wanted_door, self._wanted_name
        for port in self._ports():
            command = [*self._command("--token-for"), "--parent-pid", str(os.getpid()), *port]
            command += [f"--door={door}"] if door else []
            # One word with its value: a name may begin with a dash.
            command += [f"--name={name}"] if name else []
            with open(self._data / "hub.log", "ab", opener=private) as log:
                process = self._spawn(command, log)
            ready = _first_line(process)
            if "url" in ready:
                _close_output(self._process)
                self._process = process
                self._url = str(ready["url"])
                self._keep_token(str(ready["token"]))
                self._started_with, self.door = (door, name), HubDoor.from_answer(ready.get("door"))
                self.door_error = str(ready.get("door_error", ""))
                return
            process.kill()
            process.wait()
            _close_output(process)
            error = str(ready.get("error", ""))
            self._refuse_if_stopping()
        if error:
            self._failed_at, self._error = time.monotonic(), error
        raise self._not_started(error)

    def _not_started(self, error: str) -> HubStartFailed:
        reason = f": {error}" if error else ""
        return HubStartFailed(f"the embedded hub did not start{reason}", f"see {self._data / 'hub.log'}")

    def _spawn(self, command: list[str], errors: IO[bytes] | int) -> subprocess.Popen[bytes]:
        """Start a child that ``stop`` can end. Raises HubStartFailed after ``stop``."""
        with self._stop_lock:
            if self._stopping:
                raise HubStartFailed(_STOPPING)
            self._starting = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, env=child_environment()
            )
            return self._starting

    def _refuse_if_stopping(self) -> None:
        with self._stop_lock:
            if self._stopping:
                raise HubStartFailed(_STOPPING)

    def _ports(self) -> tuple[tuple[str, ...], ...]:
        """Return the port arguments to try in turn.

        Without an argument the hub takes the port it remembers, else the default one, else any free one. The default
        port is therefore never passed.
        """
        if self._port in (0, TABLE["hub_port"].default):
            return ((),)
        return (("--port", str(self._port)), ())

    def _create_token(self) -> None:
        with self._spawn(self._command("--mint"), subprocess.DEVNULL) as process:
            try:
                output, _ = process.communicate(timeout=_START_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                output = b""
        if process.returncode != 0:
            self._refuse_if_stopping()
            raise HubStartFailed("the embedded hub gave no token", f"see {self._data / 'hub.log'}")
        self._keep_token(output.decode().strip())

    def _command(self, action: str) -> list[str]:
        data, days = str(self._data), str(self._token_days)
        return [*self_command(HUB), "--data", data, "--days", days, action, f"{WORKSPACE}:{USER}"]

    def _keep_token(self, token: str) -> None:
        self._token = token
        self._token_made = time.time()

    def stop(self) -> None:
        """Stop the child for good: SIGTERM first, SIGKILL after a few seconds. A start in progress fails at once.

        Later calls of ``ensure`` raise HubStartFailed.
        """
        with self._stop_lock:
            self._stopping = True
            starting = self._starting
        # The lock is free at once unless a child is starting, which must be ended without it.
        if not self._lock.acquire(blocking=False):
            if starting is not None:
                starting.terminate()
            if not self._lock.acquire(timeout=_STOP_SECONDS):
                if starting is not None:
                    starting.kill()
                self._lock.acquire()
        try:
            process, self._process = self._process, None
        finally:
            self._lock.release()
        _end(process)
        _close_output(process)


def _end(process: subprocess.Popen[bytes] | None) -> None:
    """End a child: SIGTERM first, SIGKILL after a few seconds."""
    if process is None or process.poll() is not None:
        return
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_SECONDS)
    if process.poll() is None:
        process.kill()
        process.wait()


def _close_output(process: subprocess.Popen[bytes] | None) -> None:
    """Close our end of the child's output pipe."""
    if process is not None and process.stdout is not None:
        process.stdout.close()


def _first_line(process: subprocess.Popen[bytes]) -> dict[str, object]:
    """Read the child's first line: its address and token, or its error. Empty if it ended or took too long."""
    timer = threading.Timer(_START_SECONDS, process.kill)
    timer.daemon = True
    timer.start()
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        answer = json.loads(line)
    except ValueError:
        return {}
    finally:
        timer.cancel()
    return answer if isinstance(answer, dict) else {}
