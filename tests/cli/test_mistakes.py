"""The typical mistakes: each is answered by its cause and the next step, with the right code and no traceback.

Closed streams, a missing HOME and other encodings need processes of their own: see ``test_odd_environments.py``.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.cli import client
from agent.cli.main import run
from agent.runtime.home_lock import HomeLock
from cli.mistakes import MISTAKES, Mistake
from support.fixtures import quiet_root as quiet_root
from support.servers import StrictServer

CLOSED = "http://127.0.0.1:1"
_INTERNAL = ("Traceback", "Error:", "Errno", "in a way it does not know", "\\n")


@pytest.fixture(scope="module")
def server() -> Iterator[StrictServer]:
    """The server of the linked machines."""
    with StrictServer.serving() as made:
        yield made


@pytest.fixture(scope="module")
def linked(server: StrictServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with one synced folder, to copy."""
    return _linked(server, tmp_path_factory.mktemp("linked"))


@pytest.fixture(scope="module")
def down(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, and the server is gone."""
    with StrictServer.serving() as made:
        return _linked(made, tmp_path_factory.mktemp("down"))


def _linked(server: StrictServer, top: Path) -> Path:
    _furnish(top)
    with pytest.MonkeyPatch.context() as patch:
        _at_home(patch, top)
        flags = ["--workspace", server.workspace, "--name", "work", "--token-stdin"]
        patch.setattr("sys.stdin", io.StringIO(server.token))
        assert _ran(["login", server.url, *flags])[0] == 0
        assert _ran(["link", str(top / "notes"), "--wait"])[0] == 0
    return top


def _furnish(top: Path) -> None:
    (top / "notes" / "sub").mkdir(parents=True)
    (top / "more").mkdir()
    (top / "notes" / "a.md").write_text("one\n")


def _at_home(patch: pytest.MonkeyPatch, top: Path) -> None:
    for name in [name for name in os.environ if name.startswith(("RAVEN_", "XDG_"))]:
        patch.delenv(name)
    patch.setenv("HOME", str(top))
    patch.setenv("RAVEN_AGENT_HOME", str(top / "agent"))
    patch.setenv("RAVEN_AGENT_ETC", str(top / "etc"))
    patch.setenv("RAVEN_AGENT_NOTIFICATIONS", "off")
    # A laptop with a desktop can have a service, wherever the tests run.
    patch.setenv("XDG_CURRENT_DESKTOP", "GNOME")
    patch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    patch.chdir(top)


def _ran(words: list[str]) -> tuple[int, str]:
    """Code and output of one command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(words)
    return code, out.getvalue() + err.getvalue()


@pytest.fixture
def place(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quiet_root: None
) -> Iterator[Path]:
    """The home folder of the person, in the state that the mistake needs."""
    # A handler that another test left would write a traceback about its closed stream.
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    mistake: Mistake = request.getfixturevalue("mistake")
    world, _, trouble = mistake.world.partition("-")
    top = tmp_path / "home"
    if world == "fresh":
        _furnish(top)
    else:
        shutil.copytree(request.getfixturevalue(world), top)
    _at_home(monkeypatch, top)
    if world != "fresh":
        assert _ran(["move", str(request.getfixturevalue(world) / "notes"), str(top / "notes")])[0] == 0
    with contextlib.ExitStack() as stack:
        _break(trouble, top, monkeypatch, stack)
        yield top


def _break(trouble: str, top: Path, patch: pytest.MonkeyPatch, stack: contextlib.ExitStack) -> None:
    """Make one more thing wrong."""
    match trouble:
        case "gone":
            (top / "gone").mkdir()
            patch.chdir(top / "gone")
            (top / "gone").rmdir()
        case "moved":
            (top / "notes").rename(top / "elsewhere")
        case "held":
            patch.setattr(client, "HOME_SECONDS", 0.0)
            (top / "agent").mkdir(mode=0o700)
            stack.callback(HomeLock(top / "agent" / "agent.lock").release)
        case "locked":
            (top / "more").chmod(0o000)
            stack.callback((top / "more").chmod, 0o700)
            # The superuser may read every folder.
            may = os.access
            patch.setattr(os, "access", lambda path, mode: Path(path) != top / "more" and may(path, mode))
        case "relative":
            patch.setenv("RAVEN_AGENT_HOME", "agent")
        case "loud":
            patch.setenv("RAVEN_AGENT_LOG", "loud")
        case "broken":
            (top / "agent").mkdir(mode=0o700)
            (top / "agent" / "config.toml").write_text("quiet_ms = = 3\n")
        case "narrow":
            patch.setenv("COLUMNS", "40")


def test_there_are_at_least_64_different_mistakes() -> None:
    """The table has each command line once for each state of the machine."""
    assert len({(one.world, one.typed) for one in MISTAKES}) == len(MISTAKES) >= 64


@pytest.mark.parametrize(
    "mistake",
    [
        # `up` starts the program's whole foreground, which takes a second.
        pytest.param(
            one, id=f"{one.world}: {one.typed}", marks=[pytest.mark.long] if one.typed.startswith("up ") else []
        )
        for one in MISTAKES
    ],
)
def test_a_mistake_is_answered_with_cause_and_next_step(
    mistake: Mistake, place: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one sentence or two, with ``~`` for the home folder; no internals of the program are shown."""
    words = shlex.split(mistake.typed)
    typed = []
    for word in words:
        if word in ("URL", "DOWN"):
            typed.append(request.getfixturevalue("server").url if word == "URL" else CLOSED)
            typed += ["--workspace", "w"]
        elif word == "TAKEN":
            typed.append(request.getfixturevalue("server").url.removeprefix("http://"))
        else:
            typed.append(str(place) + word[1:] if word == "~" or word.startswith("~/") else word)
    monkeypatch.setattr(sys, "stdin", io.StringIO(mistake.stdin))
    code, said = _ran(typed)
    assert code == mistake.code, said
    for part in mistake.says:
        assert part in said, said
    assert not [word for word in _INTERNAL if word in said], said
    assert str(place) not in said, said
