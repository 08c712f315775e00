"""Servers for the doctor to examine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.servers import HubServer, StrictServer


@pytest.fixture(scope="session")
def shared_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    """One hub process for all: each test has sources of its own."""
    with HubServer.serving(tmp_path_factory.mktemp("hub")) as hub:
        yield hub


@pytest.fixture
def strict() -> Iterator[StrictServer]:
    """A strict server for one test."""
    with StrictServer.serving() as server:
        yield server
