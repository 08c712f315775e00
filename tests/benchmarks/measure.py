"""What a process costs: seconds on the wall, seconds of processor, memory, bytes written. Linux only."""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_KIB: Final = 1024
_WHOLE_PROCESS_CLOCK: Final = 2


@dataclass(frozen=True, slots=True)
class Cost:
    """One finished process, those it waited for included.

    Attributes:
        wall, cpu: seconds.
        out: what it printed.
    """

    wall: float
    cpu: float
    out: bytes = b""


def run(
    command: Sequence[str | Path],
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    codes: tuple[int, ...] = (0,),
) -> Cost:
    """Run a command to its end; any other exit code is a failure."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        began = time.perf_counter()
        process = subprocess.Popen(
            [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=out, stderr=errors, env=env, cwd=cwd
        )
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        errors.seek(0)
        assert process.returncode in codes, (command, process.returncode, out.read()[-2000:], errors.read()[-2000:])
        return Cost(wall, used.ru_utime + used.ru_stime, out.read())


def in_turn(rounds: int, *jobs: Callable[[], Cost]) -> list[Cost]:
    """The middle cost of each job; they take turns, so that a busy moment of the machine hits all of them."""
    samples: list[list[Cost]] = [[] for _ in jobs]
    for _ in range(rounds):
        for taken, job in zip(samples, jobs, strict=True):
            taken.append(job())
    return [middle(taken) for taken in samples]


def middle(samples: Sequence[Cost]) -> Cost:
    """The median of each figure by itself."""
    return Cost(
        statistics.median(one.wall for one in samples),
        statistics.median(one.cpu for one in samples),
        samples[-1].out,
    )


def cpu_of(pid: int) -> float:
    """Seconds of processor a living process has used so far, threads that ended included; exact to nanoseconds."""
    return time.clock_gettime((~pid << 3) | _WHOLE_PROCESS_CLOCK)


@dataclass(frozen=True, slots=True)
class Memory:
    """Of a living process, in bytes.

    Attributes:
        now: resident at this moment.
        peak: the most it ever was.
    """

    now: int
    peak: int


def memory_of(pid: int) -> Memory:
    """How much memory a living process has. What is told of an ended one counts that of whoever started it, too."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    now, peak = (int(fields[name].split()[0]) * _KIB for name in ("VmRSS", "VmHWM"))
    return Memory(now, peak)


def written_by(pid: int) -> int:
    """Bytes a process has sent to a disk so far."""
    fields = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
    return int(fields["write_bytes"])
