"""Machines with networks of their own: network namespaces that one cable connects."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest

NETWORK = "192.168.7"
"""The first three numbers of every address on the cable."""
FIRST = 10


@contextlib.contextmanager
def connected(*names: str) -> Iterator[dict[str, tuple[str, ...]]]:
    """Connect machines of these names. Yields for each the words that run a command on it.

    Needs root and iproute2. Where CI runs, their lack fails the test.
    """
    lacks = [tool for tool in ("ip", "unshare", "hostname") if shutil.which(tool) is None]
    if os.getuid() != 0 and not os.environ.get("CI"):
        pytest.skip("only root can make network namespaces")
    assert not lacks, f"{', '.join(lacks)} is not installed"
    bridge = f"rv{os.getpid() % 100_000}"
    spaces = {name: f"{bridge}-{name}" for name in names}
    with contextlib.ExitStack() as stack:
        _ip("link", "add", bridge, "type", "bridge")
        stack.callback(_ip, "link", "del", bridge)
        _ip("link", "set", bridge, "up")
        for number, space in enumerate(spaces.values()):
            _ip("netns", "add", space)
            stack.callback(_ip, "netns", "del", space)
            cable = f"{bridge}c{number}"
            _ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", space)
            _ip("link", "set", cable, "master", bridge, "up")
            _ip("-n", space, "addr", "add", f"{NETWORK}.{FIRST + number}/24", "dev", "eth0")
            for interface in ("lo", "eth0"):
                _ip("-n", space, "link", "set", interface, "up")
        yield {name: _words(space, name) for name, space in spaces.items()}


def _words(space: str, name: str) -> tuple[str, ...]:
    inside = f'hostname {name}; exec "$@"'
    return ("ip", "netns", "exec", space, "unshare", "--uts", "/bin/sh", "-c", inside, "--")


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=30)
