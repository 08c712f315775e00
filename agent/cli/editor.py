"""The person's own editor. Bytes go in and come out unchanged: no line end is converted."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from agent.cli.output import may_ask
from agent.core.errors import AgentError, UsageError
from agent.process.environment import child_environment

_IN_TERMINAL: Final = frozenset({"emacs", "helix", "hx", "joe", "micro", "nano", "ne", "nvim", "vi", "vim"})
"""Editors that need a terminal. A script named by EDITOR may work without one."""


class EditorFailed(AgentError):
    """The editor could not be started, or ended with an error."""

    code = "editor"


def edit_text(text: bytes, suffix: str, keep: Callable[[bytes], object]) -> bytes:
    """Have a person edit ``text`` and return the result; ``suffix`` gives the editor the kind of file.

    ``keep`` gets every text that differs from the first one, before anything else happens to it: also the text of an
    editor that failed. The temporary file is deleted when this returns.

    Raises:
        EditorFailed: as ``edit_file``.
        UsageError: as ``edit_file``.
    """
    with tempfile.TemporaryDirectory(prefix="raven-agent-") as folder:
        file = Path(folder) / f"merge{suffix}"
        file.write_bytes(text)
        try:
            edit_file(file)
        finally:
            edited = file.read_bytes() if file.exists() else text
            if edited != text:
                keep(edited)
        return edited


def edit_file(file: Path) -> None:
    """Open ``file`` in $VISUAL or $EDITOR and wait for it to end.

    Raises:
        EditorFailed: it cannot be started, or ended with an error, as ``:cq`` does in vim.
        UsageError: there is no editor, or the editor needs a terminal and there is none.
    """
    argv = _editor()
    named = bool(os.environ.get("VISUAL") or os.environ.get("EDITOR"))
    if not may_ask() and (not named or Path(argv[0]).name in _IN_TERMINAL):
        raise UsageError(f"{argv[0]} needs a terminal", "set EDITOR to a program that works without one")
    try:
        ended = subprocess.run([*argv, str(file)], check=False, env=child_environment())
    except OSError as error:
        raise EditorFailed(f"cannot start {argv[0]}: {error.strerror}", "set EDITOR") from error
    if ended.returncode:
        raise EditorFailed(f"{argv[0]} ended with code {ended.returncode}; nothing was changed")


def _editor() -> list[str]:
    for variable in ("VISUAL", "EDITOR"):
        named = shlex.split(os.environ.get(variable, ""))
        if named:
            return named
    found = next((path for name in ("editor", "nano", "vi") if (path := shutil.which(name))), None)
    if found is None:
        raise UsageError("no editor is found", "set EDITOR")
    return [found]
