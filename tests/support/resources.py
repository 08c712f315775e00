"""Memory and processor time of a process, as the kernel counts them; both need ``/proc``."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

import pytest

from support.eventually import eventually

needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory and time are read from /proc")
MEMORY_LIMIT: Final = 200
"""Mebibytes a daemon may hold whatever it meets."""
IDLE_SECONDS: Final = 10.0
"""Seconds after which a daemon must be idle again, where it has a processor to itself."""
_PATIENCE: Final = 100.0
_IDLE_SHARE: Final = 0.1
_INTERVAL: Final = 1.0


def memory(pid: int) -> int:
    """Mebibytes a process holds now."""
    return _kibibytes(pid, "VmRSS") // 1024


def peak_memory(pid: int) -> int:
    """The most mebibytes a process ever held."""
    return _kibibytes(pid, "VmHWM") // 1024


def _kibibytes(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def processor_seconds(pid: int) -> float:
    """Seconds of processor time that a process has used, in user and system mode."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def processor_share(pid: int, seconds: float = _INTERVAL) -> float:
    """The share of one processor that a process uses over an interval from now on."""
    used, began = processor_seconds(pid), time.monotonic()
    time.sleep(seconds)
    return (processor_seconds(pid) - used) / (time.monotonic() - began)


def comes_to_rest(pid: int) -> None:
    """Fail unless a process is idle before it has used the processor for ``IDLE_SECONDS`` more.

    Its own seconds are counted, so that other programs that run now change nothing.
    """
    began = processor_seconds(pid)
    eventually(lambda: processor_share(pid) < _IDLE_SHARE, _PATIENCE, f"process {pid} is idle")
    used = processor_seconds(pid) - began
    assert used <= IDLE_SECONDS, f"process {pid} worked for {used} s"
