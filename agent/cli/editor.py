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
        # Taken before the start: a signal in between would end this command and leave the editor open.
        with _taking_signals() as signals:
            # The editor inherits the lock of a merge's folder, so that the merge is in use for as long as it is open.
            process = subprocess.Popen(argv, env={**child_environment(), **variables}, close_fds=False)
            code = _wait(process, argv[0], signals)
    except OSError as error:
        raise EditorFailed(f"cannot start {argv[0]}: {error.strerror}", "set EDITOR") from error
    except _Signalled as signalled:
        # It came after the editor's end.
        if signalled.args[0] == signal.SIGINT:
            raise KeyboardInterrupt from None
        raise EditorFailed(f"{argv[0]} was cut off by {signal.Signals(signalled.args[0]).name}") from None
    if code:
        raise EditorFailed(f"{argv[0]} ended with code {code}; nothing was changed")


class _Signalled(Exception):
    """A signal came: the terminal was closed, or the command is to end."""


class _Signals:
    """Handler of the signals that end a command. It raises the first one, once there is an editor to pass it to."""

    def __init__(self) -> None:
        self._can_raise = False
        self._came: int | None = None

    def __call__(self, number: int, _frame: object) -> None:
        self._came = number
        if self._can_raise:
            self._raise(number)

    def started(self) -> None:
        """Raise a signal from now on, or the one that came before."""
        self._can_raise = True
        if self._came is not None:
            self._raise(self._came)

    def _raise(self, number: int) -> None:
        # A later one would end the wait for the editor that got the first.
        self._can_raise = False
        raise _Signalled(number)


def _wait(process: subprocess.Popen[bytes], name: str, signals: _Signals) -> int:
    """Wait for the editor and return its exit code.

    After a signal the editor gets it too, and time to save what it can.

    Raises:
        EditorFailed: a signal cut it off.
    """
    try:
        signals.started()
        while True:
            # With a limit it looks again and again. A signal that comes just before a wait without one does not end it.
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.wait(_LOOK_SECONDS)
    except _Signalled as signalled:
        number: int = signalled.args[0]
        process.send_signal(number)
        try:
            process.wait(_EDITOR_END_SECONDS)
        except subprocess.TimeoutExpired:
            raise EditorFailed(f"{signal.Signals(number).name} came, and {name} is still open") from None
        if number == signal.SIGINT:
            raise KeyboardInterrupt from None
        raise EditorFailed(f"{name} was cut off by {signal.Signals(number).name}; nothing was changed") from None


@contextlib.contextmanager
def _taking_signals() -> Iterator[_Signals]:
    """Take the signals that end a command in this block. A signal that is ignored stays so."""
    signals = _Signals()
    usual = {n: signal.getsignal(n) for n in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)}
    taken = [n for n, handler in usual.items() if handler in (signal.SIG_DFL, signal.default_int_handler)]
    try:
        for number in taken:
            signal.signal(number, signals)
        yield signals
    finally:
        for number in taken:
            signal.signal(number, usual[number])


def _editor() -> list[str]:
    for variable in ("VISUAL", "EDITOR"):
        named = shlex.split(os.environ.get(variable, ""))
        if named:
            return named
    found = next((path for name in ("editor", "nano", "vi") if (path := shutil.which(name))), None)
    if found is None:
        raise UsageError("no editor is found", "set EDITOR")
    return [found]
