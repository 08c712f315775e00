"""The agent that holds a home now: its process id, its end, and the service it belongs to."""

from __future__ import annotations

import contextlib
import enum
import fcntl
import json
import os
import signal
import socket
import time
from collections.abc import Collection, Iterable
from typing import Any, Final

from agent.service.errors import ServiceFailed
from agent.service.model import ManagerKind, ServiceState
from agent.settings.home import Home

STOP_SECONDS: Final = 15.0
LOOK_SECONDS: Final = 0.05
CONNECT_SECONDS: Final = 5.0


class Starter(enum.Enum):
    """Starter of a running agent.

    Attributes:
        PERSON: a person or an unknown program; nothing known here starts it again by itself.
        AUTOSTART: the desktop's autostart, or a person who will find it started at the next login.
        SERVICE: a service manager, which must be asked to end it.
    """

    PERSON = "person"
    AUTOSTART = "autostart"
    SERVICE = "service"


def running_pid(home: Home) -> int | None:
    """Return the process id of the agent of this home; None if no agent answers."""
    said = _lock_words(home)
    try:
        pid, path = int(said["pid"]), str(said["socket"])
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(CONNECT_SECONDS)
            probe.connect(path)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return pid


def silent_holder(home: Home) -> int | None:
    """Return the process id that holds the home; None if the home is free. 0 means an unknown one.

    Only the lock itself proves a holder: the file outlives a killed agent.
    """
    try:
        with home.lock_file.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = _lock_words(home).get("pid")
        return pid if isinstance(pid, int) else 0
    except OSError:
        return None
    return None


def end_agent(home: Home, pid: int) -> None:
    """Ask an agent to end, and wait until it has let the home go.

    Raises:
        ServiceFailed: it still holds the home after ``STOP_SECONDS``.
    """
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while silent_holder(home) == pid:
        if time.monotonic() > deadline:
            raise ServiceFailed(f"the agent with pid {pid} does not stop", f"kill {pid}")
        time.sleep(LOOK_SECONDS)


def leaders_of(pid: int) -> frozenset[int]:
    """Return a process id with those of its group and session.

    A service manager starts a session, and names the process that leads it. A loader leads the session of its child.
    """
    with contextlib.suppress(ProcessLookupError):
        return frozenset({pid, os.getpgid(pid), os.getsid(pid)})
    return frozenset({pid})


def starter_of(leaders: Collection[int], services: Iterable[ServiceState]) -> tuple[Starter, ServiceState | None]:
    """Return who started an agent, and the service it belongs to.

    Args:
        leaders: the agent's process id, and those of its group and session.
    """
    for service in services:
        # A manager that does not tell the process may have started this one.
        if service.running and (service.pid is None or service.pid in leaders):
            return Starter.AUTOSTART if service.kind is ManagerKind.AUTOSTART else Starter.SERVICE, service
    return Starter.PERSON, None


def _lock_words(home: Home) -> dict[str, Any]:
    try:
        said = json.loads(home.lock_file.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}
