"""Show a notification on the desktop with the tool that exists; nothing without a desktop."""

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
"""Characters of a text; a longer one is cut."""

_SCRIPT: Final = ("on run argv", "display notification (item 2 of argv) with title (item 1 of argv)", "end run")


def show_notification(title: str, body: str, env: Mapping[str, str] = os.environ) -> bool:
    """Show one notification. Returns False without a desktop, or if the tool fails; neither is an error.

    The texts are arguments of the tool, never a part of a shell command or a script.
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
    """Return the tool that exists here, with its arguments; None without a tool or a desktop session."""
    path = env.get("PATH")
    if system == "darwin":
        tool = shutil.which("osascript", path=path)
        return tool and [tool, *(word for line in _SCRIPT for word in ("-e", line)), title, body]
    if not _has_session(env):
        return None
    # Many desktops read a body as markup.
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
    """Return True if a session bus is named. Without one the tools would start their own and wait for it."""
    runtime = env.get("XDG_RUNTIME_DIR")
    return bool(env.get("DBUS_SESSION_BUS_ADDRESS")) or (runtime is not None and (Path(runtime) / "bus").exists())


def _plain(text: str) -> str:
    """Return ``text`` on one line, printable, limited in length, and never like an option."""
    clean = "".join(char if char.isprintable() else " " for char in text).strip(" -")
    return clean if len(clean) <= LONGEST else f"{clean[: LONGEST - 1]}…"
