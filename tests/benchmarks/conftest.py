"""One hub and one growing folder for all figures, and the table they go into."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.growing import Growing
from benchmarks.machines import Machine
from benchmarks.sizes import Sizes
from benchmarks.table import Table
from benchmarks.transfers import Transfer, pulled, pushed
from support.servers import HubServer

Machines = Callable[[str], Machine]

_TABLE = pytest.StashKey[Table]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Two options of the benchmarks; they are known where this folder is named on the command line."""
    group = parser.getgroup("figures")
    group.addoption("--figures", metavar="FOLDER", type=Path, help="Write the table and the plot of growth there.")
    group.addoption("--peers", action="store_true", help="Measure the other programs that are installed, too.")


@pytest.fixture(scope="session")
def sizes() -> Sizes:
    """How large the figures are made."""
    return Sizes()


@pytest.fixture(scope="session")
def scratch(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A folder for everything. What was measured in stays for the next run to remove: making files is dear for a while
    where many were just deleted.
    """
    measured = any(item.get_closest_marker("benchmark_table") for item in request.session.items)
    place = Path(os.environ.get("BENCH_SCRATCH", tempfile.gettempdir()))
    top = Path(tempfile.mkdtemp(prefix="figures-", dir=place))
    yield top
    for left in place.glob("left-figures-*"):
        shutil.rmtree(left, ignore_errors=True)
    if measured:
        top.rename(place / f"left-{top.name}")
    else:
        shutil.rmtree(top)


@pytest.fixture(scope="session")
def hub(scratch: Path) -> Iterator[HubServer]:
    """A hub process; each figure has sources of its own."""
    with HubServer.serving(scratch / "hub", fresh=True) as serving:
        yield serving


@pytest.fixture(scope="session")
def machines(hub: HubServer, scratch: Path) -> Iterator[Machines]:
    """Makes machines that live as long as the run: a name each."""
    with contextlib.ExitStack() as stack:
        yield lambda name: stack.enter_context(Machine.signed_in(scratch, name, hub))


@pytest.fixture(scope="session")
def growing(machines: Machines, hub: HubServer, scratch: Path, sizes: Sizes) -> Growing:
    """The folder that grows; what is measured at one size is measured once."""
    return Growing(machines("growing"), hub, scratch / "grown", sizes)


@pytest.fixture(scope="session")
def large(machines: Machines, hub: HubServer, scratch: Path, sizes: Sizes) -> Transfer:
    """The large folder, from one machine to another."""
    up = pushed(machines("large-up"), hub, sizes.files, scratch)
    return Transfer(up, pulled(machines("large-down"), hub, up.source, scratch))


@pytest.fixture(scope="session")
def table(pytestconfig: pytest.Config) -> Table:
    """The table; it is printed when the run ends."""
    return pytestconfig.stash.setdefault(_TABLE, Table())


@pytest.fixture(scope="session")
def figures(pytestconfig: pytest.Config) -> Path | None:
    """The folder for the table and the plot; None where none was given."""
    folder: Path | None = pytestconfig.getoption("--figures", default=None)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table where output is not captured."""
    if (made := config.stash.get(_TABLE, None)) is None or not made.lines:
        return
    terminalreporter.write_line(f"\n{made.markdown()}\n")
    folder: Path | None = config.getoption("--figures", default=None)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "table.md").write_text(made.markdown() + "\n", encoding="utf-8")
