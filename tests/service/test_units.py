"""The unit files: what systemd thinks of them, as they ship and as they are written."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from agent.service.errors import ServiceFailed
from agent.service.model import InstallPlan
from agent.service.unit_files import signed, template
from agent.service.units import quoted, starts, unit_text

TOP = Path(__file__).parents[2]
UNITS = ("raven-agent.service", "raven-agent@.service", "raven-hub.service")
needs_analyze = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed (Debian: systemd)"
)


def analyze(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """``systemd-analyze``, with a runtime folder for the user's units."""
    env = {**os.environ, "XDG_RUNTIME_DIR": str(folder), "HOME": str(folder), "SYSTEMD_LOG_LEVEL": "warning"}
    return subprocess.run(["systemd-analyze", *words], env=env, capture_output=True, text=True, check=False, timeout=60)


def program_in(folder: Path, name: str = "raven-agent") -> Path:
    """Something executable by that name."""
    program = folder / name
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return program


def written(folder: Path, name: str, plan: InstallPlan) -> Path:
    """The unit as ``install`` writes it; a template as the instance of root."""
    file = folder / name.replace("@.", "@root.")
    file.write_text(unit_text(template(name), plan))
    return file


def scope(name: str) -> Sequence[str]:
    return ("--user",) if name == "raven-agent.service" else ()


@needs_analyze
@pytest.mark.parametrize("name", UNITS)
def test_systemd_finds_nothing_wrong_with_a_unit(tmp_path: Path, name: str) -> None:
    """`systemd-analyze verify` ends with 0 and says nothing of it: no unknown directive, no missing program."""
    file = written(tmp_path, name, InstallPlan(program_in(tmp_path), single_file=False, variables={}))
    done = analyze(tmp_path, *scope(name), "verify", "--man=no", str(file))
    assert done.returncode == 0
    assert file.stem not in done.stderr + done.stdout


@needs_analyze
@pytest.mark.parametrize("name", ["with space", "100%", "do$HOME", 'quo"te', "back\\slash", "ünï", "it's"])
def test_a_program_in_a_folder_of_any_name_is_found_by_systemd(tmp_path: Path, name: str) -> None:
    """Nothing in a path is expanded or cut: verify, which looks for the program, has nothing to say."""
    program = program_in(tmp_path, f"{name}/raven-agent")
    plan = InstallPlan(program, single_file=False, variables={"RAVEN_AGENT_HOME": str(tmp_path / name)})
    file = written(tmp_path, "raven-agent.service", plan)
    done = analyze(tmp_path, "--user", "verify", "--man=no", str(file))
    assert (done.returncode, done.stderr) == (0, "")
    assert starts(file.read_text()) == program


@needs_analyze
def test_systemd_misses_a_program_that_is_not_there(tmp_path: Path) -> None:
    """So that the tests above can fail."""
    file = written(tmp_path, "raven-agent.service", InstallPlan(tmp_path / "gone", single_file=False, variables={}))
    assert analyze(tmp_path, "--user", "verify", "--man=no", str(file)).returncode != 0


@needs_analyze
@pytest.mark.parametrize(("name", "most"), [("raven-hub.service", 2.0), ("raven-agent@.service", 3.0)])
def test_a_system_unit_is_hardened(tmp_path: Path, name: str, most: float) -> None:
    """`systemd-analyze security` rates the exposure (10 is none of it held back): the hub at most 2.0."""
    file = written(tmp_path, name, InstallPlan(program_in(tmp_path), single_file=False, variables={}))
    done = analyze(tmp_path, "security", "--offline=yes", "--no-pager", f"--threshold={int(most * 10)}", str(file))
    rated = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert rated is not None, done
    print(f"{name}: {rated[1]}")
    assert float(rated[1]) <= most and done.returncode == 0


def test_a_unit_waits_for_no_network_and_names_nobody_else() -> None:
    """No unit orders itself behind a network target, asks for one, or turns its own restarts into a storm."""
    for name in UNITS:
        text = template(name)
        assert "network" not in re.sub(r"^#.*$", "", text, flags=re.MULTILINE)
        assert int(re.findall(r"^RestartSec=(\d+)$", text, re.MULTILINE)[0]) >= 10
        assert re.findall(r"^Restart=(.*)$", text, re.MULTILINE) == ["on-failure"]
        assert int(re.findall(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)[0]) > 10


def test_a_single_file_s_child_may_speak_for_the_unit() -> None:
    """The loader of a single file is the main process; the interpreter below it is who says READY=1."""
    plain, single = (InstallPlan(Path("/opt/raven-agent"), single_file=one, variables={}) for one in (False, True))
    for name in ("raven-agent.service", "raven-agent@.service"):
        assert "NotifyAccess=main" in unit_text(template(name), plain)
        assert "NotifyAccess=all" in unit_text(template(name), single)


def test_a_written_unit_differs_only_by_program_and_variables() -> None:
    """Every other line of the template stands in the unit, in order, and the last one says who wrote it."""
    plan = InstallPlan(Path("/opt/x/raven-agent"), single_file=False, variables={"RAVEN_AGENT_HOME": "/srv/a b"})
    source = template("raven-agent.service")
    expected = source.replace(
        "ExecStart=/usr/bin/raven-agent run",
        'ExecStart="/opt/x/raven-agent" run\nEnvironment="RAVEN_AGENT_HOME=/srv/a b"',
    )
    assert unit_text(source, plan) == signed(expected)


def test_a_name_with_a_line_end_is_refused() -> None:
    """It would begin another directive."""
    with pytest.raises(ServiceFailed, match="unit file"):
        quoted("/srv/a\nExecStartPre=/bin/false")


def test_the_wheel_carries_every_template() -> None:
    """Each file that `service install` fills in is put beside the code by the build."""
    build = (TOP / "pyproject.toml").read_text()
    names = [*UNITS, "ai.raven-local-sync.agent.plist", "ai.raven-local-sync.daemon.plist", "raven-agent.desktop"]
    for name in names:
        found = re.search(
            rf'^"(.+/{re.escape(name)})" = "agent/service/templates/{re.escape(name)}"$', build, re.MULTILINE
        )
        assert found and (TOP / found[1]).read_text() == template(name)
