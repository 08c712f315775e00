"""How the program starts itself again: through an interpreter, or as a single file that has none."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Final

AGENT: Final = "agent"
HUB: Final = "agent.hub"
_MODULE_OPTION: Final = "-m"


def is_frozen() -> bool:
    """Whether this is the single file, in which `sys.executable` is the program itself and no interpreter."""
    return bool(getattr(sys, "frozen", False))


def own_command(module: str = AGENT) -> list[str]:
    """The start of an argument list that runs `module` in a process of its own.

    Never a name looked up on the PATH: that could be somebody else's program, or another version of this one.
    """
    if is_frozen():
        return [sys.executable, _MODULE_OPTION, module]
    return [sys.executable, "-P", _MODULE_OPTION, module]


def start_frozen(arguments: Sequence[str]) -> int:
    """The single file's entry: what `own_command` asks for, else the command line.

    Only the two modules that `own_command` is used for can be asked for; anything else is the command line's to refuse.
    """
    if len(arguments) >= 2 and arguments[0] == _MODULE_OPTION and arguments[1] in _ENTRIES:
        return _ENTRIES[arguments[1]](list(arguments[2:]))
    return _command_line(list(arguments))


def _command_line(arguments: list[str]) -> int:
    from agent.cli.main import main

    sys.argv[1:] = arguments
    main()
    return 0


def _hub(arguments: list[str]) -> int:
    from agent.hub.__main__ import main

    return main(arguments)


_ENTRIES: Final[dict[str, Callable[[list[str]], int]]] = {AGENT: _command_line, HUB: _hub}
