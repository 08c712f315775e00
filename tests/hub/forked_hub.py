"""The hub's program in a process forked from one that has it imported; ``support/fork_server.py`` runs ``main``."""

from __future__ import annotations

import sys

from agent.hub.__main__ import main as hub


def main() -> None:
    """Run the hub, and end with its exit code."""
    sys.exit(hub())
