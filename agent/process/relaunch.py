"""How the program starts itself again: through an interpreter, or as a single file that has none."""

from __future__ import annotations

import sys
from typing import Final

AGENT: Final = "agent"
HUB: Final = "agent.hub"
MODULE_OPTION: Final = "-m"


def is_frozen() -> bool:
    """Whether this is the single file, in which `sys.executable` is the program itself and no interpreter."""
    return bool(getattr(sys, "frozen", False))


def self_command(module: str = AGENT) -> list[str]:
    """The start of an argument list that runs `module` in a process of its own.

    Never a name looked up on the PATH: that could be somebody else's program, or another version of this one.
    """
    if is_frozen():
        # Answered by agent.frozen, which plays the interpreter's part for our own two modules.
        return [sys.executable, MODULE_OPTION, module]
    return [sys.executable, "-P", MODULE_OPTION, module]
