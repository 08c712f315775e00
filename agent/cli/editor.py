"""A person's own editor. Bytes go in and out as they are: no line end is turned into another."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from agent.core.errors import AgentError, UsageError


class EditorFailed(AgentError):
    """The editor could not be started or said that the edit is not wanted."""

    code = "editor"


def edit_text(text: str, suffix: str) -> str:
    """What a person makes of ``text``; ``suffix`` tells the editor the kind of file.

    Raises:
        EditorFailed: as ``edit_file``.
        UnicodeDecodeError: what was saved is not UTF-8.
    """
    with tempfile.TemporaryDirectory(prefix="raven-agent-") as folder:
        file = Path(folder) / f"merge{suffix}"
        file.write_bytes(text.encode())
        edit_file(file)
        return file.read_bytes().decode("utf-8")


def edit_file(file: Path) -> None:
    """Open ``file`` in $VISUAL or $EDITOR and wait.

    Raises:
        EditorFailed: it cannot be started, or ended with an error, as ``:cq`` does in vim.
        UsageError: no editor is named and none is found.
    """
    argv = _editor()
    try:
        ended = subprocess.run([*argv, str(file)], check=False)
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
