"""The agent's look at a folder as a process of its own: the engine, the index and the disk, and no server.

``python look.py FOLDER INDEX STATE [counted]``: looks at all of FOLDER, with what INDEX remembers of it, until the
engine has written down what was found. One line of JSON says what that took; ``counted`` slows it down and tells which
files were opened and how many folders were listed, as Python's own audit events have it.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections import deque
from pathlib import Path

from agent.process.imports import quick_imports

with quick_imports():
    from agent.core.accepts import TEXT
    from agent.core.errors import Problem, ProblemKind, RemoteError
    from agent.core.model import Mode
    from agent.disk.fs.posix import PosixFs
    from agent.disk.selection.rules import Rules
    from agent.engine import effects as e
    from agent.engine import messages as m
    from agent.engine.config import EngineConfig, RunMode
    from agent.engine.engine import Engine
    from agent.index import open_index
    from agent.runtime.effect_executor import EffectExecutor, ServerConnection
    from agent.runtime.local_folder import LocalFolder
    from agent.runtime.local_index_reader import LocalIndexReader

_SOURCE = 1
"""The index's number of the first folder that was linked."""
_AT_FOLDER = (e.ScanFolder, e.ScanPaths, e.Recover, e.ReleaseJournal)


class Touched:
    """What this process asked of the disk.

    Attributes:
        opened: names of documents that were opened.
        listed: how many folders were listed.
    """

    def __init__(self) -> None:
        self.opened: list[str] = []
        self.listed = 0

    def heard(self, event: str, arguments: tuple[object, ...]) -> None:
        """An audit event."""
        if event == "open" and str(arguments[0]).endswith(".md"):
            self.opened.append(str(arguments[0]).rpartition("/")[2])
        elif event in ("os.listdir", "os.scandir") and isinstance(arguments[0], int):
            # By an open handle; imports list folders too, by name.
            self.listed += 1


def _nobody() -> ServerConnection:
    raise RemoteError(Problem(ProblemKind.OFFLINE, "a look asks nobody"))


def look(folder_path: Path, index_file: Path, state: Path) -> tuple[int, int]:
    """Look once. (files seen that the index did not know so, rows of the index that were written)"""
    index = open_index(index_file)
    before = index.connection.total_changes
    folder = LocalFolder(PosixFs(), str(folder_path), Rules(), str(state), str(_SOURCE))
    memory = LocalIndexReader(index_file, _SOURCE)
    carrier = EffectExecutor("looked-at", folder, memory, _nobody, lambda: TEXT, time.time)
    engine = Engine(index, EngineConfig(_SOURCE, Mode.BIDIRECTIONAL, RunMode.ONE_SHOT), random.Random(1))
    seen = 0
    wanted = deque(engine.step(time.time(), m.Started()))
    while wanted:
        effect = wanted.popleft()
        if isinstance(effect, _AT_FOLDER):
            for message in carrier.carry_out(effect):
                seen += len(message.seen) if isinstance(message, m.ScanResults) else 0
                wanted.extend(engine.step(time.time(), message))
    written = index.connection.total_changes - before
    folder.close()
    memory.close()
    index.close()
    return seen, written


def _peak() -> int:
    """Bytes of memory at the worst moment."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


def main() -> None:
    """Look as the arguments say, and tell what it took."""
    folder, index, state = map(Path, sys.argv[1:4])
    state.mkdir(parents=True, exist_ok=True)
    counts = Touched()
    if sys.argv[4:] == ["counted"]:
        sys.addaudithook(counts.heard)
    seen, written = look(folder, index, state)
    told = {"seen": seen, "rows_written": written, "peak": _peak(), "opened": counts.opened, "listed": counts.listed}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
