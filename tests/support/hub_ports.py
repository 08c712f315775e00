"""Ports for embedded hubs: tests that run side by side, each with homes of its own, never want the same one."""

from __future__ import annotations

import itertools
import os
import socket

_FIRST, _EACH = 10_000, 1_000
"""The range of a test process; below the ports that the kernel gives to clients."""

_numbers = itertools.count()


def next_hub_port() -> int:
    """Return a free port of this process's range, another one with each call."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    while True:
        port = _FIRST + worker % 20 * _EACH + next(_numbers) % _EACH
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
