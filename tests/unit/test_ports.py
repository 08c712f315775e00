"""The process behind a port, as a message names it."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from agent.process.ports import listener_on


@pytest.mark.skipif(sys.platform != "linux", reason="reads the tables of Linux")
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_listener_is_named_and_a_client_is_not(family: socket.AddressFamily) -> None:
    host = "127.0.0.1" if family is socket.AF_INET else "::1"
    try:
        listener = socket.create_server((host, 0), family=family)
    except OSError:
        pytest.skip("this machine has no such address")
    with listener, socket.create_connection(listener.getsockname()[:2]) as client:
        found = listener_on(listener.getsockname()[1])
        assert found is not None and found[1] == os.getpid() and found[0]
        assert listener_on(client.getsockname()[1]) is None


def test_a_system_without_such_tables_names_nobody(tmp_path: Path) -> None:
    assert listener_on(80, tmp_path) is None
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "tcp").write_text("head\n 0: 0100007F:0050 00000000:0000 0A 0 0 0 0 0 77 1\n")
    assert listener_on(80, tmp_path) is None
