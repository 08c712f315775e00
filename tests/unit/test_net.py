"""Loopback addresses are known without a look-up."""

from __future__ import annotations

import pytest

from agent.core.net import is_loopback


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST", "localhost.", "hub.localhost", "127.0.0.1", "127.9.8.7", "::1", "[::1]"]
)
def test_loopback_hosts(host: str) -> None:
    """Traffic to these hosts stays on this machine, so plain HTTP is allowed."""
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["", "example.org", "localhost.example.org", "notlocalhost", "10.0.0.1", "0.0.0.0", "::", "128.0.0.1"]
)
def test_other_hosts(host: str) -> None:
    """A name that could be pointed elsewhere, and every other address, is not loopback."""
    assert not is_loopback(host)
