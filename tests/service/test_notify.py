"""What a service manager hears from the agent, on a socket of the test's own."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import httpx

from agent.daemon.sd_notify import SdNotify
from service.manager import listening, unit
from support.eventually import eventually, patience
from support.processes import COMMAND, Home


def test_ready_follows_the_socket_and_stopping_precedes_the_end(tmp_path: Path) -> None:
    """READY=1 means that commands are answered; a SIGTERM is followed by STOPPING=1 and exit code 0 within 10 s."""
    home = Home(tmp_path)
    with unit(home, tmp_path) as running:
        running.wait_for("READY")
        assert home.json("status")["daemon"]["running"] is True
        began = time.monotonic()
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(patience(10)) == 0
        assert time.monotonic() - began < patience(10)
        assert running.heard.states == ["READY", "STOPPING"]


def test_the_status_is_words_about_the_linked_folders(tmp_path: Path) -> None:
    """No folder, then a folder in step, then a conflict-free change that is told when it is through."""
    home = Home(tmp_path)
    with unit(home, tmp_path) as running:
        running.wait_for("READY")
        assert running.heard.status.startswith("no folder is linked yet")
        home.write("a.md", "one")
        assert home.run("up", home.folder, "--once", "--yes").code == 0
        running.wait_for_words("in step: notes (1 file)")
        home.write("b.md", "two")
        running.wait_for_words("in step: notes (2 files)")


def test_the_watchdog_is_fed_well_within_its_term(tmp_path: Path) -> None:
    """With a term of one second the signs of life come several times a second, never later than the term."""
    with unit(Home(tmp_path), tmp_path, watchdog_usec=1_000_000) as running:
        running.wait_for("READY")
        eventually(lambda: len(running.heard.having("WATCHDOG")) >= 6, 10, "six signs of life")


def test_a_watchdog_of_another_process_is_not_fed(tmp_path: Path) -> None:
    """WATCHDOG_PID names who is watched: somebody else's term is not ours."""
    env = {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}
    assert os.getppid() != 1
    assert SdNotify.taken_from(env).watchdog_seconds is None


def test_a_sighup_is_a_reload_between_reloading_and_ready(tmp_path: Path) -> None:
    """RELOADING=1 with the moment on the monotonic clock, then READY=1, and the agent goes on."""
    home = Home(tmp_path)
    with unit(home, tmp_path) as running:
        running.wait_for("READY")
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        running.process.send_signal(signal.SIGHUP)
        eventually(lambda: running.heard.states == ["READY", "RELOADING", "READY"], 20, "a reload")
        moment = int(running.heard.having("MONOTONIC_USEC")[0])
        assert before <= moment <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        assert home.json("status")["daemon"]["pid"] == running.process.pid


def test_a_reload_takes_settings_or_reports_invalid_ones(tmp_path: Path) -> None:
    """A broken file changes nothing and stands in the status until it is mended and reloaded; READY either way."""
    home = Home(tmp_path)
    with unit(home, tmp_path) as running:
        running.wait_for("READY")
        (home.path / "config.toml").write_text("poll_min_secondz = 2\n")
        running.process.send_signal(signal.SIGHUP)
        running.wait_for_words("poll_min_secondz")
        (home.path / "config.toml").write_text('log_level = "debug"\n')
        running.process.send_signal(signal.SIGHUP)
        eventually(lambda: "poll_min_secondz" not in running.heard.status, 20, "the reason is gone")
        assert running.heard.states == ["READY", *(["RELOADING", "READY"] * 2)]
        assert "changed: log_level" in home.log()


def test_a_service_whose_home_is_held_waits_and_takes_over(tmp_path: Path) -> None:
    """It runs, its status names the holder, and when that one ends it becomes the agent."""
    home = Home(tmp_path)
    with home.daemon() as holder, unit(home, tmp_path, watchdog_usec=2_000_000) as running:
        running.wait_for("READY")
        assert running.heard.status.startswith("waiting:") and str(holder.process.pid) in running.heard.status
        eventually(lambda: len(running.heard.having("WATCHDOG")) >= 3, 10, "signs of life while it waits")
        assert running.process.poll() is None
        holder.stop()
        running.wait_for_words("no folder is linked yet")
        assert home.json("status")["daemon"]["pid"] == running.process.pid


def test_a_service_that_cannot_start_says_why(tmp_path: Path) -> None:
    """A setting that makes no sense: exit code 2, never READY, and the status names the setting."""
    home = Home(tmp_path)
    home.path.mkdir(parents=True)
    (home.path / "config.toml").write_text("no_such_setting = 1\n")
    with unit(home, tmp_path) as running:
        assert running.process.wait(patience(20)) == 2
        assert running.heard.states == []
        eventually(lambda: "no_such_setting" in running.heard.status, 5, "the reason")


def test_no_child_speaks_in_the_agents_name(tmp_path: Path) -> None:
    """The embedded hub, a child, is started without the manager's variables."""
    home = Home(tmp_path)
    home.write("a.md", "one")
    with unit(home, tmp_path, watchdog_usec=60_000_000) as running:
        running.wait_for("READY")
        assert home.run("up", home.folder, "--once", "--yes").code == 0
        listed = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(running.process.pid)], capture_output=True, text=True, check=True
        )
        children = listed.stdout.split()
        assert children
        for child in children:
            names = Path(f"/proc/{child}/environ").read_bytes()
            assert b"NOTIFY_SOCKET" not in names and b"WATCHDOG" not in names


def test_a_name_with_a_line_end_cannot_say_anything_else(tmp_path: Path) -> None:
    """Words with line ends stay one variable, also on an abstract socket."""
    address = f"@raven-agent-test-{os.getpid()}"
    with listening(address) as heard:
        SdNotify(address).status("notes\nSTOPPING=1\x00\x1b[0m")
        eventually(lambda: heard.messages, 5, "the message")
    assert heard.messages == [{"STATUS": "notes STOPPING=1  [0m"}]


def test_a_manager_that_is_gone_does_not_disturb_the_agent(tmp_path: Path) -> None:
    """Nobody on the socket, a socket that is no path, no socket at all: nothing is raised."""
    SdNotify(str(tmp_path / "nobody")).ready("x")
    SdNotify("/" + "x" * 300).alive()
    assert SdNotify.taken_from({"NOTIFY_SOCKET": "vsock:2:1"}).address is None
    assert SdNotify.taken_from({}) == SdNotify()


def test_the_hub_says_ready_shows_life_and_says_when_it_ends(tmp_path: Path) -> None:
    """READY=1 once it answers, with its address; the watchdog is fed by its event loop; STOPPING=1 before the end."""
    home = Home(tmp_path)
    data = tmp_path / "hub"
    command = [*COMMAND, "hub", "serve", "--listen", "127.0.0.1:0", "--data", str(data)]
    with unit(home, tmp_path, command, watchdog_usec=1_000_000) as running:
        running.wait_for("READY")
        address = running.heard.status.removeprefix("serving ")
        assert httpx.get(f"{address}/healthz").status_code == 200
        eventually(lambda: len(running.heard.having("WATCHDOG")) >= 6, 10, "six signs of life")
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(patience(10)) == 0
        assert running.heard.states == ["READY", "STOPPING"]
