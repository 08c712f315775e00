"""The daemon's parts by themselves: the lock, the control thread, the embedded hub as a child, the socket."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from freezegun import freeze_time

from agent.core.errors import HomeLocked, UsageError
from agent.daemon.foreground import CommandSession, run_foreground
from agent.runtime import hub_process
from agent.runtime.control_loop import ControlLoop
from agent.runtime.home_lock import HomeLock
from agent.runtime.hub_process import HubProcess, HubStartFailed
from agent.settings.credentials import claims
from agent.settings.home import Home
from agent.settings.settings import Settings
from support.eventually import eventually, patience


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home of its own."""
    made = Home.from_environment({"RAVEN_AGENT_HOME": str(tmp_path / "home")})
    made.create()
    return made


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubProcess]:
    """An embedded hub on any free port."""
    made = HubProcess(tmp_path / "hub", 0, 90)
    yield made
    made.stop()


def test_a_second_agent_is_refused_and_told_the_pid(home: Home) -> None:
    """CR9: one agent a home; the other hears who holds it."""
    lock = HomeLock(home.lock_file, home.socket)
    script = (
        "import sys; from pathlib import Path; from agent.runtime.home_lock import HomeLock; "
        "HomeLock(Path(sys.argv[1]))"
    )
    other = subprocess.run(
        [sys.executable, "-P", "-c", script, str(home.lock_file)], capture_output=True, text=True, check=False
    )
    assert other.returncode != 0 and "HomeLocked" in other.stderr and str(os.getpid()) in other.stderr
    lock.release()
    HomeLock(home.lock_file).release()


def test_a_lock_file_left_by_a_dead_agent_locks_nobody_out(home: Home) -> None:
    """The kernel's lock counts, not the number in the file, which may be a living stranger's by now."""
    home.lock_file.write_text(json.dumps({"pid": 1, "socket": "/nowhere"}))
    lock = HomeLock(home.lock_file)
    assert json.loads(home.lock_file.read_text())["pid"] == os.getpid()
    lock.release()


def test_a_session_holds_the_home_while_it_is_open(home: Home) -> None:
    """Two commands at once do not both write the index."""
    with CommandSession.open(home, Settings()), pytest.raises(HomeLocked, match=str(os.getpid())):
        CommandSession.open(home, Settings())


def test_control_loop_followers_wake_after_each_work_and_at_end() -> None:
    """Each of several by itself, and not before the work is done; nobody is woken while nothing happens."""
    control = ControlLoop(time.time)
    control.start()
    one, other = control.follow(), control.follow()
    done: list[bool] = []
    control.call(lambda: done.append(one.is_set()))
    assert done == [False]
    assert one.wait(patience(5)) and other.wait(patience(5))
    one.clear()
    other.clear()
    assert not one.wait(0.1)
    control.stop()
    assert one.is_set() and other.is_set()


def test_the_control_thread_goes_on_after_a_failure() -> None:
    """One failing piece of work does not take what comes behind it down, and call hands errors back."""
    control = ControlLoop(time.time)
    control.start()

    def fail() -> None:
        raise ZeroDivisionError

    control.post(fail)
    assert control.call(lambda: "still here") == "still here"
    with pytest.raises(UsageError):
        control.call(lambda: (_ for _ in ()).throw(UsageError("no")))
    control.stop()


def test_the_control_thread_keeps_its_timers() -> None:
    """A timer fires once at its moment; a newer one with the same key replaces it."""
    control = ControlLoop(time.time)
    control.start()
    fired: list[str] = []
    done = threading.Event()
    control.call(lambda: control.set_timer("key", time.time() + 3600, lambda: fired.append("old")))

    def fire() -> None:
        fired.append("new")
        done.set()

    control.call(lambda: control.set_timer("key", time.time() + 0.05, fire))
    assert done.wait(patience(10))
    assert fired == ["new"]
    control.stop()


def test_the_embedded_hub_comes_back_where_it_was(hub: HubProcess) -> None:
    """Killed, it is started again with its data, and its token is good for it."""
    url = hub.ensure()
    assert httpx.get(f"{url}/healthz").status_code == 200
    headers = {"authorization": f"Bearer {hub.token()}", "x-workspace-id": "local"}
    process = hub._process
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    again = hub.ensure()
    answer = httpx.post(f"{again}/api/local-sync/sources/list", json={}, headers=headers)
    assert answer.status_code == 200


def test_the_hub_s_token_renews_itself_long_before_it_ends(hub: HubProcess) -> None:
    """At half of its 90 days the next call is given a fresh one."""
    with freeze_time(dt.datetime.now(dt.UTC), tick=True) as clock:
        first = hub.token()
        made = hub._token_made
        assert hub.token() == first and hub._token_made == made
        clock.tick(dt.timedelta(days=46))
        hub.token()
        assert hub._token_made > made + 45 * 86400
    assert claims(first)["workspaceId"] == "local"


def test_a_stop_ends_a_hub_that_is_starting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub takes long to start: a stop does not wait for it, and nothing starts it again."""
    hub = HubProcess(tmp_path / "hub", 0, 90)
    mark = tmp_path / "started"
    script = f"import pathlib, time; pathlib.Path({str(mark)!r}).touch(); time.sleep(60)"
    monkeypatch.setattr(hub, "_command", lambda _action: [sys.executable, "-c", script])
    errors: list[HubStartFailed] = []

    def start() -> None:
        try:
            hub.ensure()
        except HubStartFailed as error:
            errors.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    eventually(mark.exists)
    began = time.monotonic()
    hub.stop()
    thread.join(patience(20))
    assert time.monotonic() - began < patience(20) and not thread.is_alive()
    assert len(errors) == 1 and "stopping" in errors[0].message
    with pytest.raises(HubStartFailed, match="stopping"):
        hub.ensure()
    with pytest.raises(HubStartFailed, match="stopping"):
        hub.token()


def test_a_hub_that_named_its_error_is_not_started_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls of one pass that need it share the error of one start. A later call starts it again."""
    hub, starts = HubProcess(tmp_path / "hub", 0, 90), tmp_path / "starts"
    script = f"open({str(starts)!r}, 'a').write('.'); print('{{\"error\": \"no such schema\"}}', flush=True)"
    monkeypatch.setattr(hub, "_command", lambda _action: [sys.executable, "-c", script])
    for _ in range(3):
        with pytest.raises(HubStartFailed, match="no such schema"):
            hub.ensure()
    assert starts.read_text() == "."
    monkeypatch.setattr(hub_process, "_FAILED_SECONDS", 0.0)
    with pytest.raises(HubStartFailed, match="no such schema"):
        hub.ensure()
    assert starts.read_text() == ".."


def test_a_hub_that_cannot_start_says_where_its_last_words_are(tmp_path: Path) -> None:
    """A folder that is a file: an error with a hint, no hang."""
    folder = tmp_path / "hub"
    folder.mkdir()
    (folder / "secret").mkdir()
    failing = HubProcess(folder, 0, 90)
    with pytest.raises(Exception, match="hub"):
        failing.token()


@contextlib.contextmanager
def foreground(home: Home) -> Iterator[None]:
    """The daemon in a thread of this process."""
    ready, stop = threading.Event(), threading.Event()
    thread = threading.Thread(target=run_foreground, args=(home, Settings(), ready.set, stop))
    thread.start()
    try:
        assert ready.wait(patience(30))
        yield
    finally:
        stop.set()
        thread.join(patience(30))
        assert not thread.is_alive()


def test_the_control_socket_is_owner_only_and_removed_at_exit(home: Home) -> None:
    """SC8: 0600 in a folder that is 0700; nothing is left behind."""
    with foreground(home):
        mode = home.socket.stat().st_mode
        assert stat.S_ISSOCK(mode) and mode & 0o177 == 0
        assert home.socket.parent.stat().st_mode & 0o077 == 0
    assert not home.socket.exists()


def test_the_control_api_answers_and_refuses_in_one_shape(home: Home) -> None:
    """A result, or an error with code, message and hint; an unknown method is refused, not a crash."""
    with foreground(home), httpx.Client(transport=httpx.HTTPTransport(uds=str(home.socket))) as client:
        status = client.post("http://agent/v1/status", json={}).json()["result"]
        assert status["daemon"] == {"running": True, "pid": os.getpid(), "since": status["daemon"]["since"]}
        refused = client.post("http://agent/v1/no_such_method", json={})
        assert refused.status_code == 400 and refused.json()["error"]["code"] == "usage"
        unlinked = client.post("http://agent/v1/status", json={"folder": "/nowhere"})
        assert unlinked.json()["error"]["hint"]


def test_the_daemon_ends_while_somebody_follows_it(home: Home) -> None:
    """OP6 in small: a follower does not hold the daemon up."""
    lines: list[str] = []

    def follow() -> None:
        with (
            contextlib.suppress(httpx.HTTPError),
            httpx.Client(transport=httpx.HTTPTransport(uds=str(home.socket)), timeout=None) as client,
            client.stream("POST", "http://agent/v1/status_watch", json={}) as answer,
        ):
            lines.extend(answer.iter_lines())

    follower = threading.Thread(target=follow)
    with foreground(home):
        follower.start()
        eventually(lambda: lines, 10, "the follower is told")
    follower.join(patience(15))
    assert not follower.is_alive()


def test_a_path_too_long_for_a_socket_gets_a_short_one(tmp_path: Path) -> None:
    """A deep home still has a socket the system can bind."""
    deep = tmp_path / ("d" * 100) / ("e" * 60)
    home = Home.from_environment({"RAVEN_AGENT_HOME": str(deep)})
    home.create()
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as listener:
        listener.bind(str(home.socket))
        assert stat.S_ISSOCK(home.socket.stat().st_mode) and not str(home.socket).startswith(str(deep))
    home.socket.unlink()
