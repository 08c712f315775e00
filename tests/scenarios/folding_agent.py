"""The daemon over a disk that folds case: ``python folding_agent.py``, composed as ``raven-agent run`` composes it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from agent.cli.logsetup import log_as_daemon
from agent.cli.run import stop_on_signal
from agent.config import Home, load_settings
from agent.daemon.session import run_foreground
from support.folding import FoldingFs


def main() -> None:
    """Run until told to stop."""
    home = Home.from_environment(os.environ)
    settings = load_settings(home)
    home.create()
    with stop_on_signal() as stop:
        log_as_daemon(home, settings)
        fs: Any = FoldingFs()
        run_foreground(home, settings, lambda: None, stop, fs)


if __name__ == "__main__":
    main()
