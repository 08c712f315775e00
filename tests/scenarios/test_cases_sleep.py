"""OP2: connections that died unseen, a machine that slept, a clock that was set."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.daemon.sleep_detector import SleepDetector
from agent.engine.config import RunMode
from agent.runtime.agent import Agent
from agent.settings.config_file import load_settings
from agent.settings.home import Home as AgentHome
from scenarios.conftest import Machines
from support.eventually import eventually
from support.processes import Daemon, Home
from support.relay import Relay
from support.servers import HubServer, StrictServer

YEAR = 365 * 86400.0


@pytest.fixture
def relay(shared_hub: HubServer) -> Iterator[Relay]:
    """A relay before the hub, which waits on behalf of its clients."""
    with Relay.before(shared_hub.url) as made:
        yield made


@pytest.fixture
def far_home(machine: Machines, shared_hub: HubServer, relay: Relay) -> Home:
    """A machine that reaches the hub through the relay only."""
    made = machine()
    ran = made.run(
        "login", relay.url, "--workspace", shared_hub.workspace, "--name", "raven", "--token-stdin",
        stdin=shared_hub.token,
    )  # fmt: skip
    assert ran.code == 0, ran
    return made


def waits_on_the_server(daemon: Daemon, relay: Relay) -> None:
    """The daemon is in step and its long poll is out."""
    eventually(lambda: daemon.source()["state"] == "up_to_date", 20, "the folder is in step")
    eventually(lambda: relay.awaits(b'"waitMs"'), 20, "the server is asked to wait")


def test_op2_a_black_holed_connection_is_given_up_and_made_anew(
    far_home: Home, shared_hub: HubServer, relay: Relay
) -> None:
    """Nothing moves and nobody hangs up: the question under way is given up, what else lies on dead connections with
    it, and both sides come through within a minute; what failed meanwhile is no conflict.
    """
    assert far_home.run("config", "set", "poll_wait_seconds", "2").code == 0
    far_home.write("a.md", "one\n")
    source = far_home.link()
    with far_home.daemon() as daemon:
        waits_on_the_server(daemon, relay)
        assert relay.swallow() > 0
        shared_hub.replace(source, "a.md", "two\n")
        far_home.write("b.md", "from here\n")
        eventually(lambda: far_home.texts()["a.md"] == "two\n", 60, "the server's edit arrives")
        eventually(lambda: shared_hub.text(source, "b.md") == "from here\n", 10, "the folder's edit arrives")
        eventually(lambda: daemon.source()["state"] == "up_to_date", 20, "the folder is in step again")
        assert daemon.call("conflicts") == []


def test_op2_a_machine_that_slept_is_in_step_within_ten_seconds(
    far_home: Home, shared_hub: HubServer, relay: Relay
) -> None:
    """Stopped, with its connections dead when it goes on: the poll under way, which would be waited for until half a
    minute has passed, is given up at once, and the folder is looked at.
    """
    far_home.write("a.md", "one\n")
    source = far_home.link()
    with far_home.daemon() as daemon:
        waits_on_the_server(daemon, relay)
        relay.swallow()
        daemon.process.send_signal(signal.SIGSTOP)
        asleep_until = time.monotonic() + 9
        shared_hub.replace(source, "a.md", "two\n")
        far_home.write("b.md", "from here\n")
        eventually(lambda: time.monotonic() > asleep_until, 20, "the night passes")
        daemon.process.send_signal(signal.SIGCONT)
        eventually(lambda: far_home.texts()["a.md"] == "two\n", 10, "the server's edit arrives")
        eventually(lambda: shared_hub.text(source, "b.md") == "from here\n", 10, "the folder's edit arrives")
        assert "nothing ran here" in far_home.log()


class SetClock:
    """A wall clock that can be set."""

    def __init__(self) -> None:
        self.offset = 0.0

    def __call__(self) -> float:
        """Seconds since the epoch, as far as anybody here knows."""
        return time.time() + self.offset


@contextmanager
def agent_by(home: AgentHome, clock: SetClock) -> Iterator[Agent]:
    """An agent that lives by this clock, watched as a daemon's is."""
    settings = load_settings(home, {})
    agent = Agent(home, settings, RunMode.DAEMON, {}, clock)
    stop = threading.Event()
    watch = threading.Thread(target=SleepDetector(agent.reset_connections, wall=clock).run_forever, args=(stop,))
    try:
        agent.start_all()
        watch.start()
        yield agent
    finally:
        stop.set()
        watch.join()
        agent.close()


@pytest.mark.parametrize("leap", [YEAR, -YEAR], ids=["forward", "back"])
def test_op2_a_clock_set_a_year_off_stops_nothing(
    strict_home: Home, strict: StrictServer, leap: float, tmp_path: Path
) -> None:
    """Whichever way: edits of both sides come through soon, and nothing is deleted or in conflict."""
    strict_home.write("a.md", "one\n")
    source = strict_home.link()
    clock = SetClock()
    with agent_by(AgentHome.from_environment(strict_home.env), clock):
        strict_home.write("before.md", "before\n")
        eventually(lambda: strict.text(source, "before.md") == "before\n", 20, "the agent is at work")
        clock.offset = leap
        strict.replace(source, "a.md", "two\n")
        strict_home.write("b.md", "from here\n")
        eventually(lambda: strict_home.texts()["a.md"] == "two\n", 60, "the server's edit arrives")
        eventually(lambda: strict.text(source, "b.md") == "from here\n", 60, "the folder's edit arrives")
    assert strict_home.texts() == {"a.md": "two\n", "b.md": "from here\n", "before.md": "before\n"}
    assert strict.conflicts(source) == []
