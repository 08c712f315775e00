"""Planted links, inherited tokens and passwords in the bundle (FH5)."""

from __future__ import annotations

import re
import socket
import stat
import sys
import zipfile
from pathlib import Path

import psutil
import pytest

from agent.api.server import ControlServer
from agent.cli.logsetup import scrub
from agent.process.environment import SECRET_VARIABLES, child_environment
from agent.settings.errors import ConfigError
from agent.settings.home import Home as AgentHome
from support.processes import Home

AGENT = Path(__file__).parents[2] / "agent"


def test_fh5_a_planted_link_is_never_followed(tmp_path: Path) -> None:
    """FH5: the socket's folder in the temporary folder is a link to a victim's folder: nothing there is touched."""
    runtime, victim = tmp_path / "tmp", tmp_path / "victim"
    runtime.mkdir()
    victim.mkdir(mode=0o755)
    (victim / "agent.sock").write_text("precious")
    deep = tmp_path / ("d" * 100)
    home = AgentHome.from_environment({"RAVEN_AGENT_HOME": str(deep), "XDG_RUNTIME_DIR": str(runtime)})
    assert home.socket.parent.parent == runtime
    home.socket.parent.symlink_to(victim)
    with pytest.raises(ConfigError, match="link"):
        home.create()
    assert stat.S_IMODE(victim.stat().st_mode) == 0o755
    assert (victim / "agent.sock").read_text() == "precious"


@pytest.mark.parametrize("kind", ["file", "link", "folder"])
def test_fh5_only_an_old_socket_is_removed(tmp_path: Path, kind: str) -> None:
    """FH5: whatever else is at the socket's path stays, and the agent says so instead of unlinking it."""
    path, target = tmp_path / "agent.sock", tmp_path / "target"
    target.write_text("precious")
    if kind == "file":
        path.write_text("precious")
    elif kind == "link":
        path.symlink_to(target)
    else:
        path.mkdir()
    with pytest.raises(ConfigError, match="not a socket"):
        ControlServer(None, path).__enter__()  # type: ignore[arg-type]
    assert path.is_symlink() or path.exists()
    assert target.read_text() == "precious"


def test_fh5_the_socket_of_a_killed_agent_is_replaced(tmp_path: Path) -> None:
    """FH5: the ordinary case still works."""
    from agent.api import server

    path = tmp_path / "agent.sock"
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(str(path))
    listener = server._listen(path)
    listener.close()
    assert stat.S_ISSOCK(path.stat().st_mode)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_fh5_no_child_process_inherits_the_token(home: Home) -> None:
    """FH5: the embedded hub and every other child run without the variables that hold a token."""
    home.extra = {"RAVEN_TOKEN": "opaque-token-0123456789", "RAVEN_JWT": "another-token-0123456789"}
    with home.daemon() as daemon:
        daemon.call("ensure_local_hub")
        children = psutil.Process(daemon.process.pid).children(recursive=True)
        assert children
        for child in children:
            environment = Path(f"/proc/{child.pid}/environ").read_bytes()
            assert b"token-0123456789" not in environment, child.cmdline()


def test_fh5_every_child_process_gets_a_chosen_environment() -> None:
    """FH5: each call that starts a process names its environment, so that none inherits by default."""
    for file in AGENT.rglob("*.py"):
        text = file.read_text("utf-8")
        for found in re.finditer(r"subprocess\.(?:run|Popen)\(", text):
            call = text[found.start() : found.start() + 400]
            assert "env=" in call, f"{file}: {call[:80]}"
    left = child_environment({"RAVEN_TOKEN": "x", "RAVEN_JWT": "y", "PATH": "/bin"})
    assert left == {"PATH": "/bin"} and not SECRET_VARIABLES & child_environment().keys()


def test_fh5_the_bundle_has_no_password_of_a_url(home: Home, tmp_path: Path) -> None:
    """FH5: a URL with a password in `config.toml` is shown without it, in every part of the bundle."""
    home.path.mkdir(parents=True, exist_ok=True)
    (home.path / "config.toml").write_text('proxy = "http://user:s3cret-pass@proxy.example:3128/"\n')
    (home.path / "config.toml").chmod(0o600)
    bundle = tmp_path / "bundle.zip"
    home.run("doctor", "--bundle", bundle)
    with zipfile.ZipFile(bundle) as archive:
        texts = {name: archive.read(name).decode() for name in archive.namelist()}
    assert "config.toml" in texts and "proxy.example:3128" in texts["config.toml"]
    assert all("s3cret-pass" not in text for text in texts.values())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://u:p@ss@db/x", "postgresql://[password]@db/x"),
        ("https://token@host/a?b=c@d", "https://[password]@host/a?b=c@d"),
        ("https://host/a@b", "https://host/a@b"),
        ("mail a@b.example", "mail a@b.example"),
    ],
)
def test_fh5_the_user_part_of_a_url_is_scrubbed(text: str, shown: str) -> None:
    """FH5: only what is before the host is replaced."""
    assert scrub(text) == shown
