"""Merge programs for ``resolve --tool``: those that git knows by name, and those of the person's git settings."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from agent.core.errors import UsageError
from agent.process.environment import child_environment

_KNOWN: Final[dict[str, tuple[str, ...]]] = {
    "meld": ("meld", "--output=$MERGED", "$LOCAL", "$BASE", "$REMOTE"),
    "kdiff3": ("kdiff3", "$BASE", "$LOCAL", "$REMOTE", "-o", "$MERGED"),
    "vimdiff": ("vim", "-f", "-d", "-c", "4wincmd w | wincmd J", "$LOCAL", "$BASE", "$REMOTE", "$MERGED"),
    "nvimdiff": ("nvim", "-d", "-c", "4wincmd w | wincmd J", "$LOCAL", "$BASE", "$REMOTE", "$MERGED"),
    "vscode": ("code", "--wait", "--merge", "$REMOTE", "$LOCAL", "$BASE", "$MERGED"),
    "bc": ("bcompare", "$LOCAL", "$REMOTE", "$BASE", "--mergeoutput=$MERGED"),
    "p4merge": ("p4merge", "$BASE", "$REMOTE", "$LOCAL", "$MERGED"),
    "opendiff": ("opendiff", "$LOCAL", "$REMOTE", "-ancestor", "$BASE", "-merge", "$MERGED"),
}
"""Arguments of each program, in the words of git's mergetools."""
_SIDES: Final = {"BASE": "base", "LOCAL": "local", "REMOTE": "remote"}


class MergeTool(Struct, frozen=True):
    """A program that merges files.

    Attributes:
        name: as the person typed it.
        argv: its arguments; ``$BASE``, ``$LOCAL``, ``$REMOTE`` and ``$MERGED`` are replaced by the files.
        is_shell: True for a line of the git settings, which a shell expands.
    """

    name: str
    argv: tuple[str, ...]
    is_shell: bool = False

    def arguments(self, files: Mapping[str, str]) -> list[str]:
        """Return the arguments for these files, by the names above."""
        if self.is_shell:
            return ["/bin/sh", "-c", *self.argv]
        shown = list(self.argv)
        for name, file in files.items():
            shown = [word.replace(f"${name}", file) for word in shown]
        return shown


def find_tool(name: str) -> MergeTool:
    """Return the merge program of this name: ``mergetool.NAME.cmd`` of git's settings, or one that git knows.

    Raises:
        UsageError: there is no such program, or it is not installed.
    """
    line = _git_setting(f"mergetool.{name}.cmd")
    if line:
        return MergeTool(name, (line,), is_shell=True)
    argv = _KNOWN.get(name)
    if argv is None:
        known = ", ".join(_KNOWN)
        raise UsageError(f"no merge program is called {name!r}", f"known are {known}, and mergetool.NAME.cmd of git")
    program = _git_setting(f"mergetool.{name}.path") or argv[0]
    if shutil.which(program) is None:
        raise UsageError(f"{program} is not installed", "install it, or use --edit")
    return MergeTool(name, (program, *argv[1:]))


def _git_setting(name: str) -> str:
    git = shutil.which("git")
    if git is None:
        return ""
    argv = [git, "config", "--get", name]
    found = subprocess.run(argv, env=child_environment(), capture_output=True, text=True, check=False)
    return found.stdout.strip()


@contextlib.contextmanager
def sides_as_files(shown: Mapping[str, Any], merged: Path) -> Iterator[dict[str, str]]:
    """Yield the files of a conflict by git's names: base, local and remote side, and the file to write.

    The three sides are copies; they are removed at the end of the block.
    """
    with tempfile.TemporaryDirectory(prefix="raven-agent-") as folder:
        files = {"MERGED": str(merged)}
        for name, side in _SIDES.items():
            file = Path(folder) / f"{name}{merged.suffix}"
            file.write_bytes(str(shown.get(side) or "").encode())
            file.chmod(0o400)
            files[name] = os.fspath(file)
        yield files
