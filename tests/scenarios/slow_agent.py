"""The daemon over a disk that is slow with large files: ``python slow_agent.py PROGRESS run``.

Each slice of a file of more than 8 MiB takes a moment and adds one byte to the file PROGRESS. A hole reads as text, so
that a sparse file is read to its end. Composed as ``raven-agent run`` composes it.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[1]))

from agent.cli.commands.run import stop_on_signal
from agent.cli.logsetup import log_as_daemon
from agent.daemon.foreground import run_foreground
from agent.disk.fs.posix import PosixFs
from agent.disk.fs.protocol import File
from agent.disk.scan.observe import LARGE
from agent.settings.config_file import load_settings
from agent.settings.home import Home
from support.derived_fs import DerivedFsCalls

SLICE_SECONDS: Final = 0.05


class SlowFs(DerivedFsCalls):
    """The real file system but for the reading of large files."""

    def __init__(self, progress: Path) -> None:
        self._real = PosixFs()
        self._progress = progress

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def read(self, file: File, limit: int) -> bytes:
        """As in ``Fs``, slowly where the file is large."""
        data = self._real.read(file, limit)
        if os.fstat(file).st_size <= LARGE:
            return data
        time.sleep(SLICE_SECONDS)
        with self._progress.open("ab") as slices:
            slices.write(b".")
        return data.replace(b"\0", b"x")


def main() -> None:
    """Run until told to stop."""
    home = Home.from_environment(os.environ)
    settings = load_settings(home)
    home.create()
    with stop_on_signal() as stop:
        log_as_daemon(home, settings)
        fs: Any = SlowFs(Path(sys.argv[1]))
        run_foreground(home, settings, lambda: None, stop, fs)


if __name__ == "__main__":
    main()
