"""The single file's entry: the command line, and the part of the interpreter that `program.own_command` needs.

Nothing imports this module; the recipe of the single file names it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Final

from agent.process.relaunch import AGENT, HUB, MODULE_OPTION


def start(arguments: Sequence[str]) -> int:
    """Run what the arguments ask for; returns the exit code.

    Only the modules `own_command` is used for can be asked for; any other is the command line's to refuse.
    """
    if len(arguments) >= 2 and arguments[0] == MODULE_OPTION and arguments[1] in _ENTRIES:
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

if __name__ == "__main__":
    sys.exit(start(sys.argv[1:]))
