"""Servers to be hostile, and machines to be attacked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.hub.store.sql_store import SqlStore
from hub.fixtures import InProcess
from security.hostile_server import WildServer
from support.fixtures import strict as strict
from support.processes import Home
from support.servers import HubServer


@pytest.fixture
def wild() -> Iterator[WildServer]:
    """A strict server that can be told to answer with any bytes."""
    with WildServer.serving() as server:
        yield server


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubServer]:
    """A hub process of its own: its memory is measured."""
    with HubServer.serving(tmp_path / "hub", fresh=True) as server:
        yield server


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A machine, signed in nowhere."""
    return Home(tmp_path)


@pytest.fixture
def hub_in_memory() -> Iterator[InProcess]:
    """A hub in this process, for what it makes of a request."""
    store = SqlStore("sqlite://")
    yield InProcess(store)
    store.close()
