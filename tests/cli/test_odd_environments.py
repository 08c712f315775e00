"""Environments that are not as a command expects them: each is named, with a remedy that destroys nothing."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent.settings.home import Home
from agent.settings.owner_only_files import explain_refusal
from cli.conftest import Ran

COMMAND = [sys.executable, "-m", "agent"]


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL])
def test_fd11_a_file_system_without_locks_is_named(
    raven: Callable[..., Ran], home: Home, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """FD11: it is not "another agent holds this home"."""

    def refuse(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    ran = raven("sync")
    assert ran.code == 2
    assert f"the file system of {home.state_dir} has no working file locks" in ran.err
    assert "set RAVEN_AGENT_HOME to a folder on a local disk" in ran.err
    assert "another agent" not in ran.err


def test_fd11_files_left_by_sudo_are_given_back_not_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FD11: the cause is sudo, the remedy is chown, and no remedy removes anything."""
    file = tmp_path / "registry.json"
    file.write_text("{}")
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    monkeypatch.setattr(Path, "lstat", lambda _: SimpleNamespace(st_uid=0))
    message, hint = explain_refusal(file, PermissionError(errno.EACCES, "Permission denied"))
    assert message == f"{file} belongs to root, not to you: an earlier command was probably run with sudo"
    assert hint == f"sudo chown -R 12345 {file}"


@pytest.mark.parametrize("name", ["registry.json", "config.toml", "agent.lock"])
def test_fd11_a_file_that_cannot_be_read_is_no_traceback(
    raven: Callable[..., Ran], home: Home, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """FD11: every file of the home, in a sentence, without the name of an exception and without "remove"."""
    home.create()
    registry = '{"schema": 1, "next_key": 1, "servers": [{"name": "w", "url": "https://r.example", "workspace": "w"}],'
    (home.state_dir / "registry.json").write_text(registry + ' "sources": []}')
    refused = str(home.state_dir / name)

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and arguments[0] == refused and armed:
            raise PermissionError(errno.EACCES, "Permission denied", refused)

    (home.state_dir / name).touch()
    armed = [True]
    sys.addaudithook(audit)
    try:
        ran = raven("servers")
    finally:
        armed.clear()
    assert ran.code != 0
    assert name in ran.err
    assert "Error" not in ran.err and "Errno" not in ran.err and "remove" not in ran.err


@pytest.mark.parametrize("closed", [(1,), (0, 1), (1, 2), (0, 1, 2)])
def test_fd11_closed_standard_streams_end_no_command(tmp_path: Path, closed: tuple[int, ...]) -> None:
    """FD11: the command works, and where a person can read it the cause is said."""
    closing = " ".join({0: "<&-", 1: ">&-", 2: "2>&-"}[number] for number in closed)
    command = " ".join(COMMAND)
    ran = subprocess.run(
        ["sh", "-c", f"exec {command} status {closing}"],
        env={**os.environ, "RAVEN_AGENT_HOME": str(tmp_path / "home")},
        stderr=subprocess.PIPE,
        check=False,
    )
    assert ran.returncode == 0
    said = (
        b"" if 2 in closed else b"warning: standard output is closed, so nothing is printed; redirect it to /dev/null\n"
    )
    assert ran.stderr == said


def test_fd11_without_a_home_folder_the_variable_is_named(tmp_path: Path) -> None:
    """FD11: HOME unset, and no entry in the user database."""
    code = (
        "import os, pwd, sys\n"
        "def none(_): raise KeyError('no such user')\n"
        "pwd.getpwuid = none\n"
        "from agent.cli.main import run\n"
        "sys.exit(run(['status']))"
    )
    kept = {name: value for name, value in os.environ.items() if name not in ("HOME", "RAVEN_AGENT_HOME")}
    env = {name: value for name, value in kept.items() if not name.startswith("XDG_")}
    ran = subprocess.run([sys.executable, "-c", code], env=env, cwd=tmp_path, capture_output=True, check=False)
    assert ran.returncode == 2
    assert b"HOME is not set" in ran.stderr and b"RAVEN_AGENT_HOME" in ran.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["logout", "\udcff"],
        ["sources", "--server", "\udcff"],
        ["link", ".", "--include", "\udcff*"],
        ["resolve", "\udcff", "keep_local"],
    ],
)
def test_fd11_an_argument_that_is_not_utf8_is_named(
    raven: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: list[str]
) -> None:
    """FD11: a usage error; not an exception, and not "restart it after an update"."""
    monkeypatch.chdir(tmp_path)
    ran = raven(*arguments)
    assert ran.code == 2, ran.err
    assert "UTF-8" in ran.err
    assert "Error" not in ran.err and "update" not in ran.err


@pytest.mark.parametrize("words", [("explain", "x"), ("link", "."), ("sync", "."), ("restore", "x", "--version", "a")])
def test_fd11_a_deleted_working_directory_is_named(
    raven: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: tuple[str, ...]
) -> None:
    """FD11: a relative path has no meaning there. An id has, so diff and resolve go on."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    ran = raven(*words)
    assert (ran.code, ran.out) == (2, "")
    assert "the working directory does not exist any more" in ran.err
    assert "no open conflict '7'" in raven("diff", "7").err
    assert "no open conflict '7'" in raven("resolve", "7", "mine").err


@pytest.mark.parametrize("words", [("explain", "~nobody-here/x"), ("link", "~nobody-here/x"), ("link", "loop")])
def test_fd11_a_path_that_leads_nowhere_is_a_usage_error(
    raven: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: tuple[str, ...]
) -> None:
    """FD11: an unknown user's home, and links in a loop."""
    (tmp_path / "loop").symlink_to("loop")
    monkeypatch.chdir(tmp_path)
    ran = raven(*words)
    assert ran.code == 2, ran.err
    assert "in a way it does not know" not in ran.err


def test_fd11_a_bad_value_in_a_variable_names_the_variable(
    raven: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    """FD11: "not 'loud'" alone does not say where that word is written."""
    monkeypatch.setenv("RAVEN_AGENT_LOG", "loud")
    assert "RAVEN_AGENT_LOG=loud is refused: log_level is one of" in raven("status").err
    monkeypatch.setenv("RAVEN_AGENT_LOG", "info")
    monkeypatch.setenv("RAVEN_SERVER_URL", "nonsense")
    ran = raven("config", "get")
    assert (ran.code, ran.out) == (2, "")
    assert "RAVEN_SERVER_URL=nonsense is refused" in ran.err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize(
    ("words", "full", "code"),
    [(["status"], 1, 1), (["status", "--json"], 1, 1), (["help"], 1, 1), (["explain"], 2, 2)],
)
def test_a_full_output_is_not_a_full_disk(tmp_path: Path, words: list[str], full: int, code: int) -> None:
    """The output is named, not the agent's disk; a full stderr leaves the exit code as it is."""
    with open("/dev/full", "wb") as device:
        streams: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        streams["stdout" if full == 1 else "stderr"] = device
        # A buffered output fails again when the interpreter ends.
        env = {**os.environ, "RAVEN_AGENT_HOME": str(tmp_path / "home"), "PYTHONUNBUFFERED": ""}
        ran = subprocess.run([*COMMAND, *words], env=env, check=False, **streams)
    assert ran.returncode == code
    if full == 1:
        assert b"standard output cannot be written: no space left on device" in ran.stderr
        assert b"disk" not in ran.stderr and b"Exception" not in ran.stderr
