"""What ends the agent ends it, also where the kernel hands the signal to another thread than the main one."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path

import pytest

from support.eventually import patience
from support.processes import Home

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="threads are named in /proc")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_handed_to_another_thread_ends_the_agent_with_0(home: Home, number: signal.Signals) -> None:
    """The main thread sleeps for hours between two tidyings, and nobody else wakes it."""
    with home.daemon() as daemon:
        pid = daemon.process.pid
        other = next(tid for tid in sorted(map(int, os.listdir(Path(f"/proc/{pid}/task")))) if tid != pid)
        assert ctypes.CDLL(None).tgkill(pid, other, int(number)) == 0
        assert daemon.process.wait(patience(20)) == 0
