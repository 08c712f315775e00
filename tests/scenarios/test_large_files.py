"""Large files delay no small one, and no signal, by real daemons and the hub."""

from __future__ import annotations

import base64
import os
import random
import sys
import time
from pathlib import Path

import pytest

from agent.disk.scan.observe import LARGE
from scenarios.conftest import Machines
from support.eventually import eventually
from support.processes import Home
from support.relay import Relay
from support.servers import HubServer, sha

SLOW_AGENT = Path(__file__).with_name("slow_agent.py")
SPARSE = 2 << 30
SLICE = 1 << 20
AT_THE_LIMIT = 1_040_000
"""Bytes of a text that fits into one request, and nothing beside it."""


@pytest.fixture
def hub_home(machine: Machines, shared_hub: HubServer) -> Home:
    """A machine signed in to the hub."""
    made = machine()
    made.login(shared_hub)
    return made


def at_rest(file: Path) -> None:
    """Let a file look as though nobody had written to it for a minute."""
    then = time.time() - 60
    os.utime(file, (then, then))


def save_and_wait(home: Home, server: HubServer, source: str, count: int) -> None:
    """Save small files, each once the one before has reached the server."""
    for number in range(count):
        home.write(f"small{number}.md", f"small {number}\n")
        eventually(
            lambda path=f"small{number}.md", text=f"small {number}\n": server.text(source, path) == text,  # type: ignore[misc]
            what=f"small file {number} is on the server",
        )


def test_small_saves_overtake_a_large_read(hub_home: Home, shared_hub: HubServer, tmp_path: Path) -> None:
    """FD8: ten saves reach the server, one after another, between two slices of one large file; SIGTERM ends the
    process in the middle of that file, and the next pass finds nothing half done.
    """
    source = hub_home.link()
    progress = tmp_path / "progress"
    hub_home.command = (sys.executable, "-P", str(SLOW_AGENT), str(progress))
    with hub_home.daemon() as daemon:
        daemon.call("sync")
        with (hub_home.folder / "large.md").open("wb") as large:
            large.truncate(SPARSE)
        at_rest(hub_home.folder / "large.md")
        eventually(lambda: progress.exists() and progress.stat().st_size > 1, what="the large file is being read")
        before = progress.stat().st_size
        save_and_wait(hub_home, shared_hub, source, 10)
        eventually(lambda: progress.stat().st_size > before, what="the reading goes on")
        assert daemon.stop(10) == 0
        assert progress.stat().st_size < SPARSE // SLICE // 2
    assert "large.md" not in shared_hub.hashes(source)
    hub_home.command = None
    (hub_home.folder / "large.md").unlink()
    hub_home.sync(code=0)
    assert set(shared_hub.hashes(source)) == {f"small{number}.md" for number in range(10)}


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="what was read is counted by /proc")
def test_a_growing_log_is_not_read_by_the_daemon(hub_home: Home, shared_hub: HubServer) -> None:
    """FD8: a log over 8 MiB grows with each of ten small saves; they arrive, and the log is not read meanwhile."""
    source = hub_home.link()
    log = hub_home.folder / "log.md"
    with hub_home.daemon() as daemon:
        daemon.call("sync")
        log.write_bytes(b"x" * (LARGE + 1))
        read = _bytes_read(daemon.process.pid)
        for number in range(10):
            with log.open("ab") as file:
                file.write(b"one more line\n" * 1000)
            hub_home.write(f"small{number}.md", f"small {number}\n")
        eventually(lambda: len(shared_hub.hashes(source)) == 10, what="the small files are on the server")
        assert _bytes_read(daemon.process.pid) - read < LARGE
    assert "log.md" not in shared_hub.hashes(source)


def _bytes_read(pid: int) -> int:
    """Bytes that a process has read from files so far."""
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("rchar:"))


def test_sigterm_ends_the_sending_of_a_large_file(machine: Machines, shared_hub: HubServer) -> None:
    """FD8: the request of a text at the size limit hangs in its middle; SIGTERM ends the process within 10 s with 0,
    and the next pass sends the text once.
    """
    home = machine()
    with Relay.before(shared_hub.url) as relay:
        login = ("login", relay.url, "--workspace", shared_hub.workspace, "--name", "raven", "--token-stdin")
        assert home.run(*login, stdin=shared_hub.token).code == 0
        home.write("a.md", "a\n")
        source = home.link()
        # Such a text is hard to pack, so most of it travels.
        text = base64.b64encode(random.Random(1).randbytes(AT_THE_LIMIT * 3 // 4)).decode()
        relay.swallow_after(b"push-batch", AT_THE_LIMIT // 4)
        with home.daemon() as daemon:
            daemon.call("sync")
            home.write("large.md", text)
            eventually(lambda: relay.swallowed, what="a part of the text is under way")
            assert daemon.stop(10) == 0
        assert shared_hub.text(source, "large.md") is None
        relay.pass_all()
        home.sync(code=0)
    assert shared_hub.events(source, "large.md") == [("file.upsert", sha(text))]
    assert shared_hub.conflicts(source) == []
