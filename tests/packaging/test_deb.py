"""The Debian package in a fresh debootstrap folder: installed, upgraded, removed, purged."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from support import debian

pytestmark = pytest.mark.packages


def _files(root: Path) -> set[str]:
    """Everything below the places a package may write to."""
    listed = debian.inside(root, "find /etc /usr /var/lib /opt -xdev -not -path '/var/lib/apt/*'")
    passing = ("/var/lib/dpkg/", "/usr/lib/python3")
    return {line for line in listed.splitlines() if not line.startswith(passing)}


def test_it_installs_works_upgrades_and_purges_cleanly(package: Path, root: Path, tmp_path: Path) -> None:
    shutil.copy(debian.as_version(package, "0.0.9", tmp_path), root / "root" / "older.deb")
    shutil.copy(package, root / "root" / "newer.deb")
    debian.install(root, "systemd", "python3")
    before = _files(root)

    debian.install(root, "/root/older.deb")
    assert debian.inside(root, "raven-agent --version").strip() == "raven-agent, version 0.0.9"
    assert debian.inside(root, "systemctl is-enabled raven-hub", expect=1).strip() == "disabled"
    debian.inside(root, "mkdir /root/notes; echo one > /root/notes/a.md; raven-agent up /root/notes --once")
    debian.inside(root, "systemctl enable raven-hub && install -d -o raven-hub /var/lib/raven-hub")
    debian.inside(root, "echo '# mine' >> /etc/default/raven-hub")

    debian.install(root, "/root/newer.deb")
    status = json.loads(debian.inside(root, "raven-agent status --json"))
    assert status["version"] == debian.inside(root, "dpkg-query -W -f '${Version}' raven-local-sync")
    assert [source["state"] for source in status["sources"]] == ["up_to_date"]
    assert debian.inside(root, "systemctl is-enabled raven-hub").strip() == "enabled"
    assert "# mine" in (root / "etc/default/raven-hub").read_text()
    byte_code = "find /usr/lib/raven-local-sync -path '*/agent/*.pyc' | wc -l"
    assert int(debian.inside(root, byte_code)) > 50

    debian.inside(root, "dpkg --remove raven-local-sync")
    said = debian.inside(root, "dpkg --purge raven-local-sync")
    assert "/var/lib/raven-hub" in said and "~/.local/state/raven-agent" in said
    left = _files(root) - before
    assert {path for path in left if "raven" in path} == {"/var/lib/raven-hub"}
    assert left - {"/var/lib/raven-hub"} <= _MANAGER_NOTES
    assert (root / "root/notes/a.md").read_text() == "one\n"
    assert (root / "root/.local/state/raven-agent/hub/hub.db").stat().st_size > 0


_MANAGER_NOTES = frozenset({"/etc/passwd-", "/etc/group-", "/etc/shadow-", "/etc/gshadow-", "/etc/.pwd.lock"})
"""What adding the hub's user leaves; the user itself stays as its documents do."""


def test_it_wants_exactly_the_python_it_was_built_for(package: Path) -> None:
    depends = subprocess.run(["dpkg-deb", "-f", package, "Depends"], capture_output=True, text=True, check=True).stdout
    names = subprocess.run(["dpkg-deb", "-c", package], capture_output=True, text=True, check=True).stdout
    (minor,) = {line.split("/lib/python3.")[1].split("/")[0] for line in names.splitlines() if "/lib/python3." in line}
    assert f"python3.{minor}," in depends
    assert f"-> ../../../bin/python3.{minor}" in names


def test_nothing_in_it_names_the_place_it_was_built_in(source: Path, package: Path, tmp_path: Path) -> None:
    subprocess.run(["dpkg-deb", "-x", package, tmp_path / "x"], check=True)
    found = subprocess.run(
        ["grep", "-rlE", f"raven-deb-|{source}", tmp_path / "x"], capture_output=True, text=True, check=False
    )
    assert found.stdout == ""


def test_building_it_twice_gives_the_same_bytes(source: Path, package: Path, tmp_path: Path) -> None:
    assert debian.build(source, tmp_path, "deb").read_bytes() == package.read_bytes()


@pytest.mark.skipif(shutil.which("lintian") is None, reason="lintian is not installed")
def test_lintian_finds_no_error_and_no_warning(package: Path) -> None:
    done = subprocess.run(
        ["lintian", "--allow-root", "--fail-on", "error,warning", package], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")
