"""Which program a service starts, and from where it is refused."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from agent.core.errors import UsageError
from agent.service import program
from agent.service.program import find_program, passing, variables
from service.conftest import SCRIPT, Person

HOMES = "/home/ada"


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (f"{HOMES}/.cache/uv/archive-v0/kX2/bin/raven-agent", "cache"),
        (f"{HOMES}/.cache/uv/environments-v2/raven-local-sync-1f/bin/raven-agent", "cache"),
        (f"{HOMES}/.local/share/pipx/.cache/0a1b/bin/raven-agent", "cache"),
        (f"{HOMES}/.local/pipx/.cache/0a1b/bin/raven-agent", "cache"),
        ("/Users/ada/Library/Caches/uv/archive-v0/kX2/bin/raven-agent", "cache"),
        ("/big/uv/archive-v0/kX2/bin/raven-agent", "cache"),
        ("/scratch/venv/bin/raven-agent", "temporary"),
        ("/var/tmp/venv/bin/raven-agent", "temporary"),
    ],
)
def test_a_place_that_is_cleaned_up_is_no_place_for_a_service(path: str, kind: str) -> None:
    """What `uvx` and `pipx run` keep for a while, a cache somebody moved, and temporary folders."""
    found = passing(Path(path), {"UV_CACHE_DIR": "/big/uv", "TMPDIR": "/scratch"})
    assert found is not None and kind in found


@pytest.mark.parametrize(
    "path",
    [
        f"{HOMES}/.local/bin/raven-agent",
        f"{HOMES}/.local/share/pipx/venvs/raven-local-sync/bin/raven-agent",
        f"{HOMES}/.local/share/uv/tools/raven-local-sync/bin/raven-agent",
        f"{HOMES}/src/notes.cache/.venv/bin/raven-agent",
        "/usr/bin/raven-agent",
        "/usr/lib/raven-local-sync/bin/raven-agent",
        "/opt/homebrew/Cellar/raven-local-sync/1.0/libexec/bin/raven-agent",
        "/scratchy/bin/raven-agent",
    ],
)
def test_a_place_where_things_stay_is_taken(path: str) -> None:
    """pipx, uv tools, the package, Homebrew, a virtual environment anywhere else."""
    assert passing(Path(path), {"TMPDIR": "/scratch"}) is None


def test_the_typed_name_is_used_where_it_is_the_same_program(tmp_path: Path) -> None:
    """A link on the PATH outlives the versions and environments it leads to; another program of the name is none."""
    link, other = tmp_path / "bin", tmp_path / "other"
    link.mkdir()
    other.mkdir()
    (link / "raven-agent").symlink_to(SCRIPT)
    (other / "raven-agent").write_text("#!/bin/sh\n")
    (other / "raven-agent").chmod(0o755)
    stays = {"TMPDIR": "/scratch"}
    assert find_program({"PATH": str(link), **stays}, str(SCRIPT)) == link / "raven-agent"
    assert find_program({"PATH": str(other), **stays}, str(SCRIPT)) == SCRIPT
    assert find_program({"PATH": "", **stays}, "/somewhere/agent/__main__.py") == SCRIPT


def test_a_single_file_is_the_program_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A frozen program is started by its own path, whatever it unpacks itself into."""
    file = tmp_path / "raven-agent"
    file.write_text("")
    file.chmod(0o755)
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "executable", str(file))
    monkeypatch.setattr(sys, "prefix", "/scratch/_MEI123")
    assert find_program({"PATH": "", "TMPDIR": "/scratch"}, "raven-agent") == file


def test_a_program_without_its_script_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run from a checkout by `python -m agent` there is nothing a service could start."""
    monkeypatch.setattr("sysconfig.get_path", lambda *_: str(tmp_path))
    with pytest.raises(UsageError, match="without its script"):
        find_program({"PATH": ""}, "/src/agent/__main__.py")


def test_installing_from_a_temporary_folder_is_a_usage_error(person: Person) -> None:
    """Exit code 2, a hint that says what to do, no unit."""
    person.home.extra["TMPDIR"] = str(SCRIPT.parents[1].resolve())
    ran = person.service("install", "--json", code=2)
    assert "temporary folder" in ran.error["message"] and "pipx install" in ran.error["hint"]
    assert not person.unit.exists() and person.said() == []


def test_a_unit_knows_the_agent_s_home_and_no_token() -> None:
    """What decides where the folders are goes along; a secret never does, nor root's own folders for somebody else."""
    env = {"RAVEN_AGENT_HOME": "/srv/raven", "XDG_STATE_HOME": "/srv/state", "RAVEN_TOKEN": "secret"}
    assert variables(env, program.PERSONAL) == {"RAVEN_AGENT_HOME": "/srv/raven", "XDG_STATE_HOME": "/srv/state"}
    assert variables(env, program.OURS) == {"RAVEN_AGENT_HOME": "/srv/raven"}
