"""Large files through real processes, which are killed while the bytes travel."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec import Struct

from plain_dialect.machines import PlainHome, PlainProcess, hash_of, peak_memory, write_large
from plain_dialect.state import Sizes
from support.eventually import eventually
from support.processes import Daemon

MIB = 1 << 20
MEMORY_KIB = 150 * 1024
SAVES, PACE = 1000, 0.03
LINK_SECONDS = 0.1
"""For a chunk of 4 MiB: a link of 40 MB/s, over which 2 GiB need longer than the saves."""


class Plan(Struct, frozen=True):
    """One file, and the kills on its way. Sizes in bytes.

    Attributes:
        kills: of each side, in each direction.
        patience: seconds for each step.
    """

    size: int
    chunk: int
    kills: int
    patience: float


SHORT = Plan(64 * MIB, MIB, 2, 60)
LONG = Plan(2048 * MIB, 4 * MIB, 10, 600)


class Journey:
    """One machine and the server, killed in turn at points of a transfer."""

    def __init__(self, plan: Plan, server: PlainProcess, home: PlainHome) -> None:
        self._plan = plan
        self._server = server
        self._home = home
        self._stack = contextlib.ExitStack()
        self.daemon: Daemon | None = None

    def __enter__(self) -> Journey:
        self._live()
        return self

    def __exit__(self, *_: object) -> None:
        self._note()
        self._stack.close()

    def _live(self) -> None:
        self.daemon = self._stack.enter_context(self._home.daemon())

    def _note(self) -> None:
        assert self.daemon is not None
        if self.daemon.process.poll() is None:
            self._home.peak = max(self._home.peak, peak_memory(self.daemon.process.pid))

    def be_killed(self, moved: Callable[[], int]) -> list[int]:
        """Kill the agent and the server in turn, each time after the same number of bytes.

        Returns:
            Bytes of the download in the staging folder, at each kill of the agent.
        """
        plan, count = self._plan, 2 * self._plan.kills
        present = []
        for number in range(count):
            point = plan.size * (number + 1) // (count + 1)
            eventually(functools.partial(_reached, moved, point), plan.patience, f"kill {number}")
            if number % 2:
                self._server.kill_and_restart()
                continue
            self._note()
            assert self.daemon is not None
            self.daemon.kill()
            self._stack.close()
            present.append(self._home.present())
            self._live()
        return present


def _reached(moved: Callable[[], int], point: int) -> bool:
    return moved() >= point


@pytest.fixture
def server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[PlainProcess]:
    plan: Plan = request.getfixturevalue("plan")
    made = PlainProcess(tmp_path / "server", Sizes(MIB, plan.chunk, 4 * plan.size))
    yield made
    made.kill()


@pytest.mark.parametrize("plan", [SHORT, pytest.param(LONG, marks=pytest.mark.long)], ids=["short", "long"])
def test_a_large_file_survives_kills_on_both_sides(plan: Plan, server: PlainProcess, tmp_path: Path) -> None:
    """Both machines are equal at the end; each kill costs at most one chunk; memory stays bounded (FC3)."""
    here, there = PlainHome(tmp_path, "here", server), PlainHome(tmp_path, "there", server)
    with here.linked() as source:
        pass
    with there.linked(source):
        pass
    digest = write_large(here.folder / "large.bin", plan.size, 1)
    with Journey(plan, server, here) as journey:
        journey.be_killed(lambda: server.meter.received)
        eventually(lambda: digest in server.arrivals(), plan.patience, "the file is committed")
    with Journey(plan, server, there) as journey:
        present = journey.be_killed(lambda: server.meter.sent)
        eventually((there.folder / "large.bin").exists, plan.patience, "the file is installed")
    assert hash_of(there.folder / "large.bin") == digest
    kills = 2 * plan.kills
    twice = server.meter.received - plan.size, server.meter.sent - plan.size
    server.kill_and_restart()
    print(f"\ntwice: {[each / plan.chunk for each in twice]} chunks; peak KiB {here.peak, there.peak, server.peak}")
    assert twice[0] <= kills * plan.chunk
    # What was on its way to a killed agent is in no file; all that is in the file is never asked for again.
    assert set(present) <= set(server.starts())
    assert max(here.peak, there.peak, server.peak) <= MEMORY_KIB


@pytest.mark.parametrize("plan", [SHORT], ids=["short"])
def test_a_renamed_large_file_is_not_sent_again(plan: Plan, server: PlainProcess, tmp_path: Path) -> None:
    """No byte of its content travels, and the other machine renames its file: the inode stays."""
    here, there = PlainHome(tmp_path, "here", server), PlainHome(tmp_path, "there", server)
    write_large(here.folder / "large.bin", plan.size, 1)
    with here.linked() as source:
        pass
    with there.linked(source):
        pass
    with here.daemon(), there.daemon():
        eventually((there.folder / "large.bin").exists, plan.patience, "the file is installed")
        inode = (there.folder / "large.bin").stat().st_ino
        before = server.meter.received, server.meter.sent
        (here.folder / "large.bin").rename(here.folder / "renamed.bin")
        eventually((there.folder / "renamed.bin").exists, plan.patience, "the file is renamed there")
        eventually(lambda: not (there.folder / "large.bin").exists(), plan.patience, "the old name is gone")
    assert (server.meter.received, server.meter.sent) == before
    assert (there.folder / "renamed.bin").stat().st_ino == inode


@pytest.mark.long
def test_small_saves_pass_a_large_upload(tmp_path: Path) -> None:
    """A thousand saves reach the server as fast as without it: p50 within twice the p50 alone."""
    plan, server = LONG, PlainProcess(tmp_path / "server", Sizes(MIB, LONG.chunk, 4 * LONG.size), LINK_SECONDS)
    home = PlainHome(tmp_path, "here", server)
    with home.linked():
        pass
    large = tmp_path / "large.bin"
    write_large(large, plan.size, 1)
    with home.daemon() as daemon:
        save_and_measure(home, server, "first")
        alone = save_and_measure(home, server, "alone")
        large.rename(home.folder / large.name)
        eventually(lambda: server.meter.received > plan.chunk, plan.patience, "the upload has begun")
        beside = save_and_measure(home, server, "beside")
        assert server.meter.received < plan.size, "the upload ended before the saves"
        peak = peak_memory(daemon.process.pid)
    server.kill()
    print(f"\np50: {alone * 1000:.0f} ms alone, {beside * 1000:.0f} ms beside a large upload; peak {peak} KiB")
    assert beside <= 2 * alone
    assert peak <= MEMORY_KIB


def save_and_measure(home: PlainHome, server: PlainProcess, name: str) -> float:
    """Save small files at a steady pace, each once; the median of the seconds until each text was committed."""
    saved: dict[str, float] = {}
    begun = time.monotonic()
    for number in range(SAVES):
        time.sleep(max(begun + number * PACE - time.monotonic(), 0))
        text = f"{name} {number}\n"
        saved[hashlib.sha256(text.encode()).hexdigest()] = time.time()
        home.write(f"small-{number}.txt", text)
    eventually(lambda: saved.keys() <= server.arrivals().keys(), 60, "every save is committed")
    arrivals = server.arrivals()
    return statistics.median(arrivals[digest] - at for digest, at in saved.items())
