"""What a person at a terminal sees and is asked: the real command in a pseudo-terminal, against the fake daemon."""

from __future__ import annotations

import base64
import os
import pty
import re
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from agent.settings.home import Home
from cli.documents import passed, plan, source, status
from cli.fake_agent import FakeAgent, Refusal
from support.eventually import eventually, patience

SECONDS = 15
Typed = Callable[..., tuple[int, str]]


@pytest.fixture
def typed(home: Home) -> Typed:
    """Run a command in a terminal; type each answer once its prompt has been shown. Code and everything shown."""

    def run(
        *arguments: str, answers: tuple[tuple[str, str | signal.Signals], ...] = (), env: dict[str, str] | None = None
    ) -> tuple[int, str]:
        ours, theirs = pty.openpty()
        variables = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", **(env or {})}
        command = [sys.executable, "-m", "agent", *arguments]
        child = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env=variables, start_new_session=True
        )
        os.close(theirs)
        try:
            shown = _converse(ours, child, list(answers))
            return child.wait(patience(10)), shown
        finally:
            child.kill()
            child.wait()
            os.close(ours)

    return run


def _converse(terminal: int, child: subprocess.Popen[bytes], answers: list[tuple[str, str | signal.Signals]]) -> str:
    shown = b""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                fresh = os.read(terminal, 65_536)
            except OSError:
                fresh = b""
            if not fresh:
                return shown.decode()
            shown += fresh
        if answers and answers[0][0].encode() in shown:
            _, answer = answers.pop(0)
            if isinstance(answer, signal.Signals):
                child.send_signal(answer)
            else:
                os.write(terminal, answer.encode() + b"\n")
    raise AssertionError(f"the command did not end; it said {shown!r}")


def plain(shown: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)


def test_a_status_has_colour_and_no_name_steers_it(typed: Typed, fake: FakeAgent) -> None:
    fake.answers["status"] = status(source(name="evil\x1b[2J[bold]"))
    code, shown = typed("status")
    assert code == 0
    assert "\x1b[32m" in shown
    assert "\x1b[2J" not in shown
    assert "evil\\x1b[2J[bold]: up to date" in plain(shown)


def test_no_color_is_honoured(typed: Typed, fake: FakeAgent) -> None:
    fake.answers["status"] = status(source())
    _, shown = typed("status", env={"NO_COLOR": "1"})
    assert "\x1b[32m" not in shown


@pytest.mark.parametrize(("answer", "code", "asked"), [("y", 0, [True, False]), ("n", 1, [True])])
def test_a_link_that_meets_files_asks_first(
    typed: Typed, fake: FakeAgent, answer: str, code: int, asked: list[bool]
) -> None:
    fake.answers["link"] = plan(download=3, upload=2)
    ended, shown = typed("link", "d", answers=(("[y/N]", answer),))
    assert ended == code
    assert "3 to fetch" in shown
    assert [params["dry_run"] for _, params in fake.calls] == asked


def test_unlinking_unsent_work_asks_first(typed: Typed, fake: FakeAgent) -> None:
    fake.answers["unlink"] = lambda params: (
        {"changed": True} if params["force"] else Refusal("unsent", "2 files unsent")
    )
    code, shown = typed("unlink", "d", answers=(("[y/N]", "y"),))
    assert code == 0
    assert "2 files unsent" in shown


def test_a_typed_token_is_not_shown(typed: Typed, fake: FakeAgent) -> None:
    fake.answers["login"] = {"name": "r.example"}
    code, shown = typed("login", "https://r.example", "--workspace", "w", answers=(("Token", "t-secret"),))
    assert code == 0
    assert "t-secret" not in shown
    assert fake.params("login")["token"] == "t-secret"


def test_a_long_pass_shows_its_progress(typed: Typed, fake: FakeAgent) -> None:
    progress = {"files_done": 4, "files_total": 10, "bytes_done": 1, "bytes_total": 4, "eta_seconds": 5}
    fake.answers["progress"] = status(source(state="syncing", progress=progress))

    def once_progress_was_asked_for(_params: object) -> object:
        eventually(lambda: sum(method == "progress" for method, _ in fake.calls) >= 2, 10)
        return passed()

    fake.answers["sync"] = once_progress_was_asked_for
    code, shown = typed("sync")
    assert code == 0
    assert "4/10 files" in plain(shown)
    assert "up to date" in plain(shown)


def test_a_pass_without_progress_to_show_goes_on(typed: Typed, fake: FakeAgent) -> None:
    fake.answers |= {"progress": {"nonsense": 1}, "sync": passed()}
    assert typed("sync")[0] == 0


def test_up_shows_the_running_daemons_view_until_it_ends(typed: Typed, fake: FakeAgent, tmp_path: object) -> None:
    """A view that outlived the agent would start and end the hub for each look."""
    fake.answers |= {"ensure_local_hub": {}, "link": plan(upload=1), "status_watch": [status(source())]}
    code, shown = typed("up", str(tmp_path))
    assert code == 0
    assert "linked" in plain(shown)
    assert "notes: up to date" in plain(shown)
    assert "the agent has ended, and nothing is synced: raven-agent up FOLDER" in plain(shown)


def test_an_interrupt_ends_only_the_view_of_the_daemon(typed: Typed, fake: FakeAgent, tmp_path: object) -> None:
    """The agent still answers, so its end is not reported."""
    ended = threading.Event()

    def watch(_params: object) -> list[object]:
        ended.wait(60.0)
        return []

    fake.answers |= {"ensure_local_hub": {}, "link": plan(upload=1), "status_watch": watch}
    try:
        code, shown = typed("up", str(tmp_path), answers=(("Ctrl-C ends only this view", signal.SIGINT),))
    finally:
        ended.set()
    assert code == 0
    assert "the agent has ended" not in plain(shown)


def test_a_shown_version_cannot_steer_the_terminal(typed: Typed, fake: FakeAgent) -> None:
    content = base64.b64encode(b"one\n\x1b[2Jtwo\n").decode()
    fake.answers["show"] = {"path": "a.md", "hash": "0", "size": 1, "content_base64": content}
    code, shown = typed("show", "a.md")
    assert code == 0 and "\x1b[2J" not in shown
    assert "one" in shown and "\\x1b[2Jtwo" in plain(shown)
