"""Unit files: the template with this computer's program and folders in it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from agent.service.entries import signed
from agent.service.errors import ServiceFailed
from agent.service.model import Plan

PACKAGED: Final = "/usr/bin/raven-agent"
"""What the templates start, as packages install it."""

_START: Final = re.compile(r"^ExecStart=(.*)$", re.MULTILINE)


def unit_text(template: str, plan: Plan) -> str:
    """The signed unit that starts the plan's program.

    Raises:
        ServiceFailed: a path cannot stand in a unit file.
    """
    # In a command line ``$`` begins a variable, in a variable's value it does not.
    command = "ExecStart=" + quoted(str(plan.program)).replace("$", "$$") + " run"
    lines = [command, *(f"Environment={quoted(f'{name}={value}')}" for name, value in sorted(plan.variables.items()))]
    if plan.single_file:
        # The loader is the main process, and the interpreter, its child, is who speaks.
        template = template.replace("NotifyAccess=main", "NotifyAccess=all")
    return signed(_START.sub(lambda _: "\n".join(lines), template, count=1))


def starts(unit: str) -> Path | None:
    """The program a unit file starts; None where it does not say."""
    found = _START.search(unit)
    words = _unquoted(found[1]) if found else []
    return Path(words[0]) if words else None


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
