"""The daemon over a disk that folds case: ``python folding_agent.py``, composed as ``raven-agent run`` composes it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from agent.cli.commands.run import stop_on_signal
from agent.cli.logsetup import log_as_daemon
from agent.daemon.foreground import run_foreground
from agent.settings.config_file import load_settings
from agent.settings.home import Home
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
