"""The agent's command line with every thread under a profiler: which room uses how much processor time.

``python rooms.py RESULT WORDS …`` runs the command and writes a JSON object of seconds by part to RESULT. The profiler
makes each call dearer, so parts with many small calls are shown larger than they are.
"""

from __future__ import annotations

import cProfile
import json
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

_Function = tuple[str, int, str]
_PARTS: Final = {
    "agent/disk/scan": "scan", "agent/disk/selection": "scan", "agent/disk/watch": "scan",
    "agent/disk": "files: read, hash, write", "agent/index": "index", "agent/engine": "decisions",
    "agent/core": "decisions", "agent/remotes": "server calls", "httpx": "server calls", "httpcore": "server calls",
    "h11": "server calls", "agent/runtime": "runtime",
}  # fmt: skip
START: Final = "start and command"
_OTHER: Final = "other"
_DEPTH: Final = 6
"""Callers that are followed from a function of no part."""


def part_of(file: str) -> str | None:
    """The part a source file belongs to; None for the standard library and built-in functions."""
    return next((part for place, part in _PARTS.items() if f"/{place}/" in file), None)


def by_part(stats: Mapping[_Function, Any]) -> dict[str, float]:
    """Own seconds of every function, by part; those of built-in functions count for their callers."""
    found: dict[str, float] = defaultdict(float)

    def count(function: _Function, seconds: float, depth: int) -> None:
        part = part_of(function[0])
        callers = stats[function][4] if function in stats else {}
        whole = sum(caller[3] for caller in callers.values())
        if part is not None or not whole or depth == _DEPTH:
            found[part or _OTHER] += seconds
            return
        for caller, numbers in callers.items():
            count(caller, seconds * numbers[3] / whole, depth + 1)

    for function, numbers in stats.items():
        count(function, numbers[2], 0)
    return dict(found)


def _stats(profile: cProfile.Profile) -> Mapping[_Function, Any]:
    profile.create_stats()
    found: Mapping[_Function, Any] = profile.stats
    return found


def profiled(work: Callable[[], object]) -> dict[str, float]:
    """Run the work; the main thread counts as the start, since it only waits afterwards."""
    threads: list[cProfile.Profile] = []
    plain = threading.Thread.run

    def run(self: threading.Thread) -> None:
        profile = cProfile.Profile(time.thread_time)
        threads.append(profile)
        profile.runcall(plain, self)

    threading.Thread.run = run  # type: ignore[method-assign]
    began = time.thread_time()
    try:
        work()
    except SystemExit as end:
        assert not end.code, end
    total: dict[str, float] = defaultdict(float, {START: time.thread_time() - began})
    for profile in threads:
        for part, seconds in by_part(_stats(profile)).items():
            total[part] += seconds
    return total


def main() -> None:
    """Run the command that the arguments name, and write what it took."""
    result = Path(sys.argv.pop(1))
    from agent.cli.main import main as command

    result.write_text(json.dumps(profiled(command)))


if __name__ == "__main__":
    main()
