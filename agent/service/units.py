"""Unit files: the template with this computer's program and folders in it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from agent.service.errors import ServiceFailed
from agent.service.model import InstallPlan
from agent.service.unit_files import signed

PACKAGED: Final = "/usr/bin/raven-agent"
"""What the templates start, as packages install it."""

_ENV: Final = "/usr/bin/env"
_UNTAKEN: Final = frozenset("'\"\\$")
_START: Final = re.compile(r"^ExecStart=(.*)$", re.MULTILINE)


def unit_text(template: str, plan: InstallPlan) -> str:
    """The signed unit that starts the plan's program.

    Raises:
        ServiceFailed: a path cannot stand in a unit file.
    """
    lines = [
        f"ExecStart={_command(str(plan.program))} run",
        *(f"Environment={quoted(f'{name}={value}')}" for name, value in sorted(plan.variables.items())),
    ]
    if plan.single_file:
        # The loader is the main process, and the interpreter, its child, is who speaks.
        template = template.replace("NotifyAccess=main", "NotifyAccess=all")
    return signed(_START.sub(lambda _: "\n".join(lines), template, count=1))


def _command(program: str) -> str:
    """The beginning of a command line that starts this program and nothing else."""
    if _UNTAKEN.isdisjoint(program):
        return quoted(program)
    # systemd takes no such character in the name of what it starts, and any in the words behind it.
    return f"{_ENV} {quoted(program).replace('$', '$$')}"


def starts(unit: str) -> Path | None:
    """The program a unit file starts; None where it does not say."""
    found = _START.search(unit)
    words = _unquoted(found[1]) if found else []
    named = words[1:] if words[:1] == [_ENV] else words
    return Path(named[0]) if named else None


def quoted(text: str) -> str:
    """``text`` as one word of a unit file, with nothing in it expanded.

    Raises:
        ServiceFailed: it has a line end in it, which no quoting takes.
    """
    if not text.isprintable():
        raise ServiceFailed(f"{text!r} cannot stand in a unit file", "a name without control characters")
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


def _unquoted(line: str) -> list[str]:
    words = re.findall(r'"((?:\\.|[^"\\])*)"|(\S+)', line)
    return [re.sub(r"\\(.)", r"\1", inner or plain).replace("$$", "$").replace("%%", "%") for inner, plain in words]
