"""A signal ends an editor, also if it comes while it starts or does not interrupt the system call that waits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support.eventually import patience

_EDIT = """
import signal, sys, threading
from agent.cli.editor import EditorFailed, run_and_wait

def hang_up():
    open(sys.argv[1]).read()
    signal.pthread_kill(threading.get_ident(), signal.SIGHUP)

threading.Thread(target=hang_up).start()
try:
    run_and_wait(["sh", "-c", 'echo open > "$0"; exec sleep 600', sys.argv[1]])
except EditorFailed as error:
    print(error.message)
"""


def test_a_hangup_given_to_another_thread_ends_the_editor(tmp_path: Path) -> None:
    """FC6: the interpreter runs a handler on its main thread only, and that one waits for the editor."""
    opened = tmp_path / "opened"
    os.mkfifo(opened)
    command = [sys.executable, "-c", _EDIT, str(opened)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=patience(30), check=False)
    assert (ran.returncode, ran.stdout) == (0, "sh was cut off by SIGHUP; nothing was changed\n"), ran.stderr


_START = """
import os, signal, subprocess, sys
from agent.cli.editor import EditorFailed, run_and_wait

class Interrupted(subprocess.Popen):
    def _execute_child(self, *arguments):
        super()._execute_child(*arguments)
        signal.raise_signal(int(sys.argv[1]))

subprocess.Popen = Interrupted
try:
    run_and_wait(["sleep", "600"])
except EditorFailed as error:
    print(error.message)
except KeyboardInterrupt:
    print("interrupted")
try:
    os.waitpid(-1, 0)
except ChildProcessError:
    print("nothing is left")
"""


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (signal.SIGHUP, "sleep was cut off by SIGHUP; nothing was changed"),
        (signal.SIGTERM, "sleep was cut off by SIGTERM; nothing was changed"),
        (signal.SIGINT, "interrupted"),
    ],
)
def test_a_signal_while_the_editor_starts_ends_it_too(number: signal.Signals, said: str) -> None:
    """FC6: no editor stays open without the command that keeps its text."""
    command = [sys.executable, "-c", _START, str(int(number))]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=patience(30), check=False)
    assert (ran.returncode, ran.stdout) == (0, f"{said}\nnothing is left\n"), ran.stderr
