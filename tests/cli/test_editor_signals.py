"""A signal ends the wait for an editor, also if it does not interrupt the system call that waits."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

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
    ran = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (ran.returncode, ran.stdout) == (0, "sh was cut off by SIGHUP; nothing was changed\n"), ran.stderr
