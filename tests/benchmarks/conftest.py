"""One hub for all figures, and the table they go into."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.machines import Machine
from benchmarks.table import Table
from support.servers import HubServer

Machines = Callable[[str], Machine]

_TABLE = pytest.StashKey[Table]()


@pytest.fixture(scope="session")
def scratch() -> Iterator[Path]:
    """A folder for everything; it is removed when the run ends, for it grows to hundreds of megabytes."""
    with tempfile.TemporaryDirectory(prefix="figures-") as top:
        yield Path(top)


@pytest.fixture(scope="session")
def hub(scratch: Path) -> Iterator[HubServer]:
    """A hub process; each figure has sources of its own."""
    with HubServer.serving(scratch / "hub") as serving:
        yield serving


@pytest.fixture(scope="session")
def machines(hub: HubServer, scratch: Path) -> Iterator[Machines]:
    """Makes machines that live as long as the run: a name each."""
    with contextlib.ExitStack() as stack:
        yield lambda name: stack.enter_context(Machine.signed_in(scratch, name, hub))


@pytest.fixture(scope="session")
def table(pytestconfig: pytest.Config) -> Table:
    """The table; it is printed when the run ends."""
    return pytestconfig.stash.setdefault(_TABLE, Table())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table where output is not captured."""
    if (made := config.stash.get(_TABLE, None)) is not None:
        terminalreporter.write_line(f"\n{made.markdown()}\n")
