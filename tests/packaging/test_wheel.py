"""The wheel, away from the checkout it was built in."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.packages
CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(CHECKOUT)]
    subprocess.run(command, check=True)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_has_every_module_and_the_service_templates(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
        units = {name: archive.read(f"agent/service/templates/{name}") for name in ("raven-agent.service",)}
    modules = {str(path.relative_to(CHECKOUT)) for path in (CHECKOUT / "agent").rglob("*.py")}
    assert modules <= inside
    assert "agent/py.typed" in inside
    templates = {Path(name).name for name in inside if name.startswith("agent/service/templates/")}
    ours = [*(CHECKOUT / "systemd").glob("*.service"), *(CHECKOUT / "launchd").glob("*.plist")]
    assert {path.name for path in ours} <= templates
    pages = {str(path.relative_to(CHECKOUT)) for path in (CHECKOUT / "agent/ui").rglob("*.*") if path.suffix != ".pyc"}
    sources = {name for name in pages if name.startswith("agent/ui/assets/")}
    assert sources and pages - sources <= inside and not sources & inside
    assert units["raven-agent.service"] == (CHECKOUT / "systemd/raven-agent.service").read_bytes()
    assert not [name for name in inside if name.startswith(("tests/", "packaging/"))]


def test_the_wheel_syncs_a_folder_from_outside_the_checkout(wheel: Path, tmp_path: Path) -> None:
    place = tmp_path / "place"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(place)
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "a.md").write_text("one\n")
    env = {**os.environ, "PYTHONPATH": str(place), "RAVEN_AGENT_HOME": str(tmp_path / "home")}
    whence = [sys.executable, "-P", "-c", "import agent; print(agent.__file__)"]
    found = subprocess.run(whence, cwd=tmp_path, env=env, capture_output=True, text=True, check=True).stdout
    assert found.strip() == str(place / "agent" / "__init__.py")
    command = [sys.executable, "-P", "-m", "agent", "up", str(notes), "--once", "--json"]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, '"up_to_date"' in done.stdout) == (0, True), done.stderr
