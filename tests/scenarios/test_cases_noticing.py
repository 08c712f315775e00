"""Noticing (CD) where it is hard: too few watches, and a file that does not hold still; and idling (OP5)."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from agent.disk.watch.watcher import DEGRADED_RESCAN_SECONDS
from benchmarks.relay import Relay
from scenarios.conftest import Machines
from support.eventually import eventually
from support.processes import Home
from support.servers import HubServer, StrictServer, sha
from support.wait_idle import assert_equal, settle

FEW_WATCHES = 5
FOLDERS = 12
_HASTY = Path(__file__).with_name("hasty_agent.py")
REST_SECONDS = 3.0
LINK_SECONDS = 1200.0
_WITH_FEW = (
    "unshare", "-Ur", "sh", "-c", f'echo {FEW_WATCHES} > /proc/sys/user/max_inotify_watches && exec "$@"', "sh",
)  # fmt: skip
"""A user namespace of its own, whose limits any user may lower for what runs in it."""


@pytest.fixture
def few_watches(machine: Machines, strict: StrictServer) -> Home:
    """A machine whose agent gets fewer inotify watches than its folder wants."""
    if shutil.which("unshare") is None or subprocess.run([*_WITH_FEW, "true"], check=False).returncode != 0:
        pytest.skip("this machine has no inotify, or lets nobody make a user namespace")
    home = machine()
    home.login(strict)
    home.command = (*_WITH_FEW, sys.executable, "-P", str(_HASTY))
    return home


def test_cd5_with_too_few_watches_it_says_so_and_still_syncs(few_watches: Home, strict: StrictServer) -> None:
    """``degraded`` names the limit; a change where nobody watches is found by itself all the same, both ways.

    The agent scans such a folder every half minute, here every 3 seconds.
    """
    assert DEGRADED_RESCAN_SECONDS <= 30
    home = few_watches
    for number in range(FOLDERS):
        home.write(f"d{number:02}/n.md", f"{number}\n")
    source = home.link()
    with home.daemon() as daemon:
        [degraded] = eventually(lambda: daemon.source()["degraded"], what="it says that it is degraded")
        assert "max_user_watches" in degraded
        eventually(lambda: daemon.source()["state"] == "up_to_date", what="it works all the same")
        for number in range(FOLDERS):
            home.write(f"d{number:02}/n.md", f"{number} again\n")
        home.write("fresh/deep/n.md", "fresh\n")
        strict.put(source, "theirs/n.md", "theirs\n")
        expected = {f"d{number:02}/n.md": f"{number} again\n" for number in range(FOLDERS)}
        expected |= {"fresh/deep/n.md": "fresh\n", "theirs/n.md": "theirs\n"}
        hashes = {path: sha(text) for path, text in expected.items()}
        eventually(lambda: strict.hashes(source) == hashes, what="every folder's change arrives")
        eventually(lambda: home.texts() == expected, what="the server's change arrives")
        assert "watches" in home.run("status").out
        shown = {check["check"]: check for check in home.run("doctor", "--json").document["checks"]}
        assert any("watch" in name for name in shown)


def _append(file: Path, lines: list[str], stop: threading.Event) -> None:
    """Appends line after line, with rests about as long as the one in which an agent takes a file for finished."""
    chance = random.Random(6)
    with file.open("a", buffering=1) as log:
        while not stop.is_set():
            until = time.monotonic() + chance.choice([0.02, 0.1, 0.4])
            while time.monotonic() < until:
                line = f"{len(lines)}\n"
                log.write(line)
                lines.append(line)
                stop.wait(0.0005)
            stop.wait(chance.choice([0.08, 0.1, 0.12, 0.14, 0.5]))


@pytest.mark.parametrize("size", [10, 300_000])
def test_cd6_a_file_growing_while_read_is_sent_as_hashed(strict_home: Home, strict: StrictServer, size: int) -> None:
    """Every version on the server has the hash it came with and is a state the file was in; the last one is all of it.

    The strict server takes a hash on trust, so a version of other bytes would stand there.
    """
    first = "y" * size + "\n"
    file = strict_home.write("log.md", first)
    source = strict_home.link()
    lines: list[str] = []
    stop = threading.Event()
    writer = threading.Thread(target=_append, args=(file, lines, stop))

    def versions() -> list[tuple[str, str]]:
        events = [event for event in strict.client.events(source) if event["type"] == "file.upsert"]
        return [(event["payload"]["hash"], event["payload"]["content"]) for event in events]

    def pushes() -> list[str]:
        return [request.path for request in strict.raven.log if request.path.endswith("push-batch")]

    with strict_home.daemon() as daemon:
        daemon.call("sync")
        writer.start()
        try:
            eventually(lambda: len(pushes()) >= 6, 40, "some versions are sent")
        finally:
            stop.set()
            writer.join()
        settle([daemon])
        assert daemon.call("conflicts") == []
    whole = first + "".join(lines)
    assert len(versions()) > 3
    for digest, content in versions():
        assert digest == sha(content)
        assert whole.startswith(content)
    assert strict.text(source, "log.md") == whole
    assert_equal(source, strict, [strict_home])


def _written(home: Home) -> dict[str, tuple[int, int, int]]:
    """Size, time and inode of everything in the agent's home."""
    found = {}
    for path in (home.path, *home.path.rglob("*")):
        seen = path.lstat()
        found[str(path)] = (seen.st_size if path.is_file() else 0, seen.st_mtime_ns, seen.st_ino)
    return found


def _nothing_written(home: Home, seconds: float) -> bool:
    before = _written(home)
    threading.Event().wait(seconds)
    return _written(home) == before


def _cpu_seconds(pid: int) -> float:
    """What a process and its ended children used so far, in user and kernel."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize(("count", "seconds"), [(2_000, 8.0), pytest.param(100_000, 120.0, marks=pytest.mark.long)])
def test_op5_an_idle_folder_costs_one_waiting_request(
    machine: Machines, shared_hub: HubServer, count: int, seconds: float
) -> None:
    """Nothing in the agent's home is written, the server is asked only for news and told only of the heartbeat, and
    (with all the files) less than 1% of one processor is used.
    """
    home = machine()
    for number in range(count):
        home.write(f"d{number % 100:02}/n{number:06}.md", f"{number}\n")
    with Relay.before(shared_hub.url) as relay:
        signed_in = home.run(
            "login", relay.url, "--workspace", shared_hub.workspace, "--token-stdin", stdin=shared_hub.token
        )
        assert signed_in.code == 0, signed_in
        linked = home.run("link", home.folder, "--yes", "--wait", seconds=LINK_SECONDS)
        assert linked.code == 0, linked
        with home.daemon() as daemon:
            settle([daemon])
            eventually(lambda: daemon.source()["state"] == "up_to_date", what="it is in step")
            # Files just written are looked at once more when their time stamps can be trusted, and then no more.
            eventually(lambda: _nothing_written(home, REST_SECONDS), 60, "the last look is through")
            relay.counted()
            written, used = _written(home), _cpu_seconds(daemon.process.pid)
            threading.Event().wait(seconds)
            spent, asked = _cpu_seconds(daemon.process.pid) - used, relay.counted()
            assert _written(home) == written
            assert daemon.source()["state"] == "up_to_date"
        assert set(asked.endpoints) <= {"deltas", "heartbeat"}
        assert asked.endpoints["heartbeat"] <= seconds / 30 + 1
        assert asked.endpoints["deltas"] <= seconds / 20 + 1
        if count >= 100_000:
            assert spent < 0.01 * seconds, spent


def test_op5_a_server_without_long_poll_is_polled_every_seconds(strict_home: Home, strict: StrictServer) -> None:
    """Also by a daemon that was just started and has seen nothing happen yet."""
    strict_home.write("a.md", "a\n")
    source = strict_home.link()
    with strict_home.daemon() as daemon:
        settle([daemon])
        asked = len(strict.raven.log)
        strict.put(source, "theirs.md", "theirs\n")
        eventually(lambda: "theirs.md" in strict_home.files(), 10, "the server's file arrives without being asked for")
        polls = [request for request in strict.raven.log[asked:] if request.path.endswith("deltas")]
        assert 1 <= len(polls) <= 12
