"""Nudges of the hub's ScaiDrive API: an edit reaches the other machine at once, and by the timer without them."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable

from scenarios.conftest import Machines
from support.eventually import eventually
from support.processes import Daemon, Home
from support.relay import Relay
from support.servers import Server

EDITS = 20


def login(home: Home, url: str, bearer: str) -> None:
    """Sign a machine in to the hub's ScaiDrive API."""
    ran = home.run("login", url, "--name", "drive", "--dialect", "scaidrive", "--token-stdin", stdin=bearer)
    assert ran.code == 0, ran


def linked(machine: Machines, hub: Server, url: str) -> tuple[Home, Home, str]:
    """Two machines with one share, and its id. The second one uses ``url``. Both poll once an hour without nudges."""
    one, two = machine("one"), machine("two")
    for home in (one, two):
        home.extra |= {"RAVEN_AGENT_POLL_MIN_SECONDS": "3600", "RAVEN_AGENT_POLL_MAX_SECONDS": "3600"}
    login(one, hub.url, hub.token)
    login(two, url, hub.token)
    one.write("a.md", "first\n")
    share = one.link("--name", "nudged")
    two.link("--source", share)
    return one, two, share


def listens(home: Home) -> Callable[[], bool]:
    """A predicate: the hub reports changes to this machine."""
    return lambda: "reports changes as they happen" in home.log()


def arrival(home: Home, path: str, text: str, begin: Callable[[], object]) -> float:
    """Seconds from the end of ``begin`` until the machine's file has this text."""
    begin()
    began = time.perf_counter()
    while (home.folder / path).read_text() != text:
        assert time.perf_counter() < began + 30, home.log()
        time.sleep(0.002)
    return time.perf_counter() - began


def test_an_edit_reaches_the_other_machine_by_a_nudge(machine: Machines, shared_hub: Server) -> None:
    """With polls once an hour. Prints the median of twenty edits: of a machine, and of the server."""
    one, two, share = linked(machine, shared_hub, shared_hub.url)
    with one.daemon() as first, two.daemon() as second:
        for home in (one, two):
            eventually(listens(home), 30, "the hub reports changes")
        texts = [f"edit {number}\n" for number in range(EDITS)]
        saved = [arrival(two, "a.md", text, lambda text=text: one.write("a.md", text)) for text in texts]  # type: ignore[misc]
        texts = [f"put {number}\n" for number in range(EDITS)]
        put = [
            arrival(two, "a.md", text, lambda text=text: shared_hub.replace(share, "a.md", text))  # type: ignore[misc]
            for text in texts
        ]
        print(f"p50 of {EDITS} edits: {statistics.median(saved) * 1000:.0f} ms from a save to the other disk")
        print(f"p50 of {EDITS} edits: {statistics.median(put) * 1000:.0f} ms from the server's answer to the disk")
        for daemon in (first, second):
            assert ended(daemon) == 0


def ended(daemon: Daemon) -> int:
    """The exit code after SIGTERM, within seconds."""
    return daemon.stop(5.0)


def test_without_a_websocket_the_timer_polls(machine: Machines, shared_hub: Server) -> None:
    """A proxy lets every opening handshake hang; changes arrive both ways."""
    with Relay.before(shared_hub.url) as relay:
        relay.swallow_after(b"sec-websocket-key", 0)
        _, two, share = linked(machine, shared_hub, relay.url)
        for name in ("MIN", "MAX"):
            two.extra[f"RAVEN_AGENT_POLL_{name}_SECONDS"] = "1"
        with two.daemon() as daemon:
            eventually(lambda: relay.swallowed > 0, 30, "the handshake was swallowed")
            shared_hub.replace(share, "a.md", "by the timer\n")
            eventually(lambda: two.texts()["a.md"] == "by the timer\n", 30, "the change arrives")
            two.write("b.md", "back\n")
            eventually(lambda: shared_hub.text(share, "b.md") == "back\n", 30, "the file is on the server")
            assert ended(daemon) == 0
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("nudges-")]
