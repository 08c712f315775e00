"""What other programs take for the same on this machine, in this minute: ``--peers``. Nothing is asserted of them but
that they did it.
"""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path
from typing import Final

import pytest

from benchmarks.measure import Cost, middle
from benchmarks.peers import Syncthing, git_status, one_shot
from benchmarks.prototypes import walk
from benchmarks.sizes import Sizes, shape_of
from benchmarks.table import Group, Line, Table, Unit, median
from benchmarks.tree import grow, plant, text

pytestmark = pytest.mark.benchmark_table

SEED: Final = 5_000
BREATH_SECONDS: Final = 1.5
WAYS: Final = 5


@pytest.fixture
def there(pytestconfig: pytest.Config, name: str) -> None:
    """Only where they were asked for, and only those that are installed."""
    if not pytestconfig.getoption("--peers", default=False):
        pytest.skip("other programs are measured with --peers")
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")


def _lines(name: str, what: str, cost: Cost) -> tuple[Line, Line]:
    return (
        Line(Group.PEERS, f"{name}: {what}, wall", cost.wall),
        Line(Group.PEERS, f"{name}: {what}, CPU", cost.cpu),
    )


def _edits(sizes: Sizes, seed: int) -> dict[str, str]:
    shape = shape_of(sizes.peer_files)
    edited = range(min(sizes.edits, sizes.peer_files))
    return {shape.path(number): text(number, shape.size, seed) for number in edited}


@pytest.mark.parametrize("name", ["rsync", "unison", "rclone"])
@pytest.mark.usefixtures("there")
def test_one_shot(table: Table, sizes: Sizes, scratch: Path, name: str) -> None:
    """A whole folder to an empty one, then nothing, then edits at once."""
    peer = one_shot(name, scratch / f"peer-{name}")
    grow(peer.first, shape_of(sizes.peer_files))
    table.add(*_lines(peer.name, f"machine to machine, {sizes.peer_files:,} files", peer.bring()))
    assert len(list(walk(str(peer.second)))) >= sizes.peer_files
    calm = middle([peer.bring() for _ in range(sizes.rounds)])
    table.add(*_lines(peer.name, f"nothing changed, {sizes.peer_files:,} files", calm))
    edits = _edits(sizes, SEED)
    plant(peer.first, edits)
    table.add(*_lines(peer.name, f"{len(edits):,} edits at once", peer.bring()))
    assert all((peer.second / path).read_text(encoding="utf-8") == edit for path, edit in edits.items())


@pytest.mark.parametrize("name", ["git"])
@pytest.mark.usefixtures("there")
def test_git(table: Table, sizes: Sizes, scratch: Path, name: str) -> None:
    """A look at everything that finds nothing."""
    folder = scratch / "peer-git" / "folder"
    folder.mkdir(parents=True)
    grow(folder, shape_of(sizes.peer_files))
    calm = middle([git_status(folder, scratch / "peer-git" / "state") for _ in range(sizes.rounds)])
    table.add(*_lines(f"{name} status", f"nothing changed, {sizes.peer_files:,} files", calm))


@pytest.mark.parametrize("name", ["syncthing"])
@pytest.mark.usefixtures("there")
def test_syncthing(table: Table, sizes: Sizes, scratch: Path, name: str) -> None:
    """A whole folder to an empty one; single saves and edits at once; idling, and memory."""
    top = scratch / "peer-syncthing"
    shape = shape_of(sizes.peer_files)
    with Syncthing(top) as peer:
        peer.first.mkdir(parents=True)
        peer.second.mkdir()
        grow(peer.first, shape)
        table.add(*_lines(name, f"machine to machine, {sizes.peer_files:,} files", peer.bring()))
        ways = []
        for number in range(WAYS):
            threading.Event().wait(BREATH_SECONDS)
            ways.append(peer.arrive({shape.path(number): text(number, shape.size, SEED + number)}))
        table.add(Line(Group.PEERS, f"{name}: save → other disk, p50", median(ways)))
        threading.Event().wait(BREATH_SECONDS)
        edits = _edits(sizes, SEED + WAYS)
        table.add(Line(Group.PEERS, f"{name}: {len(edits):,} edits at once → other disk", peer.arrive(edits)))
        threading.Event().wait(4 * BREATH_SECONDS)
        before, began = peer.cpu(), time.perf_counter()
        threading.Event().wait(sizes.idle_seconds)
        share = (peer.cpu() - before) / (time.perf_counter() - began) * 100
        table.add(
            Line(Group.PEERS, f"{name}: idle {sizes.idle_seconds} s, both, CPU", share, unit=Unit.PERCENT),
            Line(Group.PEERS, f"{name}: memory at the worst moment", peer.peak(), unit=Unit.BYTES),
        )
