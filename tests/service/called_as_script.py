"""The agent, forked, under the name of the installed script; ``support/fork_server.py`` runs ``main``."""

from __future__ import annotations

import sys
from pathlib import Path

from agent.cli.main import main as agent

SCRIPT = Path(sys.prefix) / "bin" / "raven-agent"


def main() -> None:
    """Run the command as one that was called by the script's path."""
    sys.argv[0] = str(SCRIPT)
    agent()
