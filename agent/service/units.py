"""Unit files of systemd: the template with this computer's program and folders."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from agent.service.errors import ServiceFailed
from agent.service.model import InstallPlan
from agent.service.unit_files import signed

PACKAGED: Final = "/usr/bin/raven-agent"
"""The program in the templates, as packages install it."""

_ENV: Final = "/usr/bin/env"
_UNTAKEN: Final = frozenset("'\"\\$")
_START: Final = re.compile(r"^ExecStart=(.*)$", re.MULTILINE)


def unit_text(template: str, plan: InstallPlan) -> str:
    """Return the signed unit that starts the plan's program.

    Raises:
        ServiceFailed: a path cannot be written into a unit file.
    """
    lines = [
        f"ExecStart={_command(str(plan.program))} run",
        *(f"Environment={quoted(f'{name}={value}')}" for name, value in sorted(plan.variables.items())),
    ]
    if plan.single_file:
        # The loader is the main process; its child, the interpreter, sends the notifications.
        template = template.replace("NotifyAccess=main", "NotifyAccess=all")
    return signed(_START.sub(lambda _: "\n".join(lines), template, count=1))


def _command(program: str) -> str:
    """Return the beginning of a command line that starts exactly this program."""
    if _UNTAKEN.isdisjoint(program):
        return quoted(program)
    # systemd refuses these characters in the program's name, and accepts them in its arguments.
    return f"{_ENV} {quoted(program).replace('$', '$$')}"


def starts(unit: str) -> Path | None:
    """Return the program that a unit file starts; None if it names none."""
    found = _START.search(unit)
    words = _unquoted(found[1]) if found else []
    named = words[1:] if words[:1] == [_ENV] else words
    return Path(named[0]) if named else None


def quoted(text: str) -> str:
    """Return ``text`` as one word of a unit file, without expansion.

    Raises:
        ServiceFailed: it has a control character, which cannot be quoted.
    """
    if not text.isprintable():
        raise ServiceFailed(f"{text!r} cannot be written into a unit file", "a name without control characters")
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


def _unquoted(line: str) -> list[str]:
    words = re.findall(r'"((?:\\.|[^"\\])*)"|(\S+)', line)
    return [re.sub(r"\\(.)", r"\1", inner or plain).replace("$$", "$").replace("%%", "%") for inner, plain in words]
