"""Fixtures that several folders of tests use. A ``conftest.py`` imports those that its folder needs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.processes import Home
from support.servers import HubServer, StrictServer

Machines = Callable[..., Home]


@pytest.fixture(scope="session")
def shared_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    """One hub process for all: each test has sources of its own."""
    with HubServer.serving(tmp_path_factory.mktemp("hub")) as hub:
        yield hub


@pytest.fixture
def strict() -> Iterator[StrictServer]:
    """A strict server for one test: it takes any path and believes any hash."""
    with StrictServer.serving() as server:
        yield server


@pytest.fixture
def machine(tmp_path: Path) -> Machines:
    """Makes machines: a name each."""
    return lambda name="one": Home(tmp_path, name)


@pytest.fixture
def signed_in(tmp_path: Path, strict: StrictServer) -> Home:
    """A machine signed in to the strict server, with a folder that is in sync."""
    made = Home(tmp_path)
    made.login(strict)
    made.write("a.md", "one\n")
    made.link()
    return made


@pytest.fixture
def quiet_root() -> Iterator[None]:
    """Puts the root logger back."""
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    yield
    for handler in root.handlers:
        if handler not in before:
            handler.close()
    root.handlers[:] = before
    root.setLevel(level)
