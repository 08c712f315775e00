"""Identity of this machine. It distinguishes the connectors of this machine from those of others."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path

from agent.settings.home import Home
from agent.settings.owner_only_files import ensure_private, write_atomically


def machine_id(home: Home, env: Mapping[str, str] | None = None) -> str:
    """Return a stable id of this machine that reveals nothing about it: 32 hexadecimal digits.

    A home copied to another machine yields another id there. ``RAVEN_AGENT_MACHINE_ID`` replaces the system's id, for
    containers that share the one of their image. Without either, an id is made and kept in the state folder.
    """
    env = os.environ if env is None else env
    system = env.get("RAVEN_AGENT_MACHINE_ID") or _system_id()
    if system:
        return hashlib.sha256(f"raven-agent:{os.getuid()}:{system}".encode()).hexdigest()[:32]
    kept = home.state_dir / "machine-id"
    try:
        return kept.read_text("ascii").strip()
    except FileNotFoundError:
        made = uuid.uuid4().hex
        ensure_private(home.state_dir)
        write_atomically(kept, made.encode())
        return made


def _system_id() -> str:
    if sys.platform == "darwin":
        return _host_uuid()
    for candidate in (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id")):
        with contextlib.suppress(OSError, UnicodeDecodeError):
            found = candidate.read_text("ascii").strip()
            # systemd writes this word into an image that was not started yet.
            if found and found != "uninitialized":
                return found
    return ""


def _host_uuid() -> str:
    """Return the kernel's id of the machine: macOS has no file with one."""
    import ctypes

    made = ctypes.create_string_buffer(16)
    wait = (ctypes.c_long * 2)(1, 0)
    try:
        failed = ctypes.CDLL(None).gethostuuid(made, wait)
    except (AttributeError, OSError):
        return ""
    return "" if failed else made.raw.hex()
