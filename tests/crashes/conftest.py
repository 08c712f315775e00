"""Servers and machines for the crashes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.processes import Home
from support.servers import HubServer, StrictServer

Machines = Callable[..., Home]


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    """One hub process for all crashes: each has sources of its own."""
    with HubServer.serving(tmp_path_factory.mktemp("hub")) as server:
        yield server


@pytest.fixture
def strict() -> Iterator[StrictServer]:
    """A strict server for one test."""
    with StrictServer.serving() as server:
        yield server


@pytest.fixture
def machine(tmp_path: Path) -> Machines:
    """Makes machines: a name each."""
    return lambda name="one": Home(tmp_path, name)
