"""The person's own editor. Bytes go in and come out unchanged: no line end is converted."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

from agent.cli.output import may_ask
from agent.core.errors import AgentError, UsageError
from agent.process.environment import child_environment

_IN_TERMINAL: Final = frozenset({"emacs", "helix", "hx", "joe", "micro", "nano", "ne", "nvim", "vi", "vim"})
"""Editors that need a terminal. A script named by EDITOR may work without one."""


_EDITOR_END_SECONDS: Final = 5.0
"""Seconds that an editor has to end after a signal."""
_LOOK_SECONDS: Final = 60.0
"""Seconds of one wait for the editor."""


class EditorFailed(AgentError):
    """The editor could not be started, or ended with an error."""

    code = "editor"


def edit_text(file: Path, keep: Callable[[bytes], object], edit: Callable[[Path], object] | None = None) -> bytes:
    """Have a person edit ``file`` and return the result. ``edit`` opens it; by default in the person's editor.

    ``keep`` gets every text that differs from the first one, before anything else happens to it: also the text of an
    editor that failed.

    Raises:
        EditorFailed: as ``edit_file``.
        UsageError: as ``edit_file``.
    """
    text = file.read_bytes()
    try:
        (edit or edit_file)(file)
    finally:
        edited = file.read_bytes() if file.exists() else text
        if edited != text:
            keep(edited)
    return edited


def edit_file(file: Path) -> None:
    """Open ``file`` in $VISUAL or $EDITOR and wait for it to end.

    Raises:
        EditorFailed: it cannot be started, ended with an error, as ``:cq`` does in vim, or was cut off by a signal.
        UsageError: there is no editor, or the editor needs a terminal and there is none.
    """
    argv = _editor()
    named = bool(os.environ.get("VISUAL") or os.environ.get("EDITOR"))
    if needs_terminal(argv[0]) or (not named and not may_ask()):
        raise UsageError(f"{argv[0]} needs a terminal", "set EDITOR to a program that works without one")
    run_and_wait([*argv, str(file)])


def needs_terminal(program: str) -> bool:
    """Return True if this program draws on a terminal, and there is none."""
    return Path(program).name in _IN_TERMINAL and not may_ask()


def run_and_wait(argv: Sequence[str], variables: Mapping[str, str] = MappingProxyType({})) -> None:
    """Run a program that a person edits with, and wait for it to end.

    Raises:
        EditorFailed: it cannot be started, ended with an error, or was cut off by a signal.
    """
    try:
        # Installed before the start: a signal in between would end this command and leave the editor open.
        with _raising_on_signals():
            # The editor inherits the lock of a merge's folder, so that the merge is in use for as long as it is open.
            process = subprocess.Popen(argv, env={**child_environment(), **variables}, close_fds=False)
            code = _wait(process, argv[0])
    except OSError as error:
        raise EditorFailed(f"cannot start {argv[0]}: {error.strerror}", "set EDITOR") from error
    except _Signalled as signalled:
        raise EditorFailed(f"{argv[0]} was cut off by {signal.Signals(signalled.args[0]).name}") from None
    if code:
        raise EditorFailed(f"{argv[0]} ended with code {code}; nothing was changed")


class _Signalled(Exception):
    """SIGHUP or SIGTERM came: the terminal was closed, or the command is to end."""


def _wait(process: subprocess.Popen[bytes], name: str) -> int:
    """Wait for the editor and return its exit code.

    After a signal the editor gets it too, and time to save what it can.

    Raises:
        EditorFailed: a signal cut it off.
    """
    try:
        while True:
            # With a limit it looks again and again. A signal that comes just before a wait without one does not end it.
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.wait(_LOOK_SECONDS)
    except (_Signalled, KeyboardInterrupt) as signalled:
        number = signalled.args[0] if signalled.args else signal.SIGINT
        process.send_signal(number)
        try:
            process.wait(_EDITOR_END_SECONDS)
        except subprocess.TimeoutExpired:
            raise EditorFailed(f"{signal.Signals(number).name} came, and {name} is still open") from None
        if isinstance(signalled, KeyboardInterrupt):
            raise
        raise EditorFailed(f"{name} was cut off by {signal.Signals(number).name}; nothing was changed") from None


@contextlib.contextmanager
def _raising_on_signals() -> Iterator[None]:
    """Raise _Signalled in this block instead of ending the process at once. A signal that is ignored stays so."""

    def raise_it(number: int, _frame: object) -> None:
        raise _Signalled(number)

    taken = [n for n in (signal.SIGHUP, signal.SIGTERM) if signal.getsignal(n) is signal.SIG_DFL]
    try:
        for number in taken:
            signal.signal(number, raise_it)
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def _editor() -> list[str]:
    for variable in ("VISUAL", "EDITOR"):
        named = shlex.split(os.environ.get(variable, ""))
        if named:
            return named
    found = next((path for name in ("editor", "nano", "vi") if (path := shutil.which(name))), None)
    if found is None:
        raise UsageError("no editor is found", "set EDITOR")
    return [found]
