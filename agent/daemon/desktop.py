"""One notification on the desktop, by whatever tool there is; none where there is no desktop."""

from __future__ import annotations

import html
import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from agent.process.environment import child_environment

log = logging.getLogger(__name__)

APP: Final = "raven-agent"
TOOL_SECONDS: Final = 10.0
LONGEST: Final = 300
"""Characters of a text; what is longer is cut."""

_SCRIPT: Final = ("on run argv", "display notification (item 2 of argv) with title (item 1 of argv)", "end run")


def show_notification(title: str, body: str, env: Mapping[str, str] = os.environ) -> bool:
    """Show one notification; whether some tool took it. A desktop that is not there, or refuses, is no error.

    The texts reach the tool as arguments of their own, never through a shell and never as a part of a script.
    """
    command = command_for(_plain(title), _plain(body), env)
    if command is None:
        return False
    try:
        done = subprocess.run(
            command,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=TOOL_SECONDS,
            env=child_environment(env),
        )
    except (OSError, subprocess.SubprocessError) as error:
        log.debug("no notification could be shown: %s", error)
        return False
    return done.returncode == 0


def command_for(title: str, body: str, env: Mapping[str, str], system: str = sys.platform) -> Sequence[str] | None:
    """The tool that exists here, with its arguments; None where there is none, or no session to show anything in."""
    path = env.get("PATH")
    if system == "darwin":
        tool = shutil.which("osascript", path=path)
        return tool and [tool, *(word for line in _SCRIPT for word in ("-e", line)), title, body]
    if not _has_session(env):
        return None
    # What stands in a body is markup to many desktops.
    body = html.escape(body, quote=False)
    tool = shutil.which("notify-send", path=path)
    if tool:
        return [tool, f"--app-name={APP}", "--", title, body]
    tool = shutil.which("gdbus", path=path)
    if tool:
        where = ("--dest", "org.freedesktop.Notifications", "--object-path", "/org/freedesktop/Notifications")
        method = ("--method", "org.freedesktop.Notifications.Notify")
        name, icon, head, text = (json.dumps(said, ensure_ascii=False) for said in (APP, "", title, body))
        return [tool, "call", "--session", *where, *method, name, "0", icon, head, text, "[]", "{}", "-1"]
    return None


def _has_session(env: Mapping[str, str]) -> bool:
    """Whether a session bus is named; without one the tools would try to start their own, and wait for it."""
    runtime = env.get("XDG_RUNTIME_DIR")
    return bool(env.get("DBUS_SESSION_BUS_ADDRESS")) or (runtime is not None and (Path(runtime) / "bus").exists())


def _plain(text: str) -> str:
    """``text`` on one line, of printable characters, not too long, and never like an option."""
    clean = "".join(char if char.isprintable() else " " for char in text).strip(" -")
    return clean if len(clean) <= LONGEST else f"{clean[: LONGEST - 1]}…"
