"""The command that starts this program again: through an interpreter, or as a single file."""

from __future__ import annotations

import sys
from typing import Final

AGENT: Final = "agent"
HUB: Final = "agent.hub"
MODULE_OPTION: Final = "-m"


def is_frozen() -> bool:
    """Return True in the single file, where `sys.executable` is the program itself and not an interpreter."""
    return bool(getattr(sys, "frozen", False))


def self_command(module: str = AGENT) -> list[str]:
    """Return the beginning of an argument list that runs `module` in a process of its own.

    It is never a name to look up in PATH, which could find another program or another version.
    """
    if is_frozen():
        # agent.frozen handles this option: it runs one of our two modules, as an interpreter would.
        return [sys.executable, MODULE_OPTION, module]
    return [sys.executable, "-P", MODULE_OPTION, module]
