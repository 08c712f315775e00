"""The package on a machine that boots: services with a real manager, over a reboot and an upgrade.

What happens on the machine stands in `trial.sh`, which it runs by itself; here it is made, booted and listened to.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from support import debian

TRIAL = Path(__file__).with_name("trial.sh")
CLAIMS = re.findall(r'^    claim "([^"]+)"', TRIAL.read_text("utf-8"), re.MULTILINE)
_UNIT = """\
[Unit]
Description=The trial
After=dbus.service systemd-logind.service systemd-user-sessions.service
[Service]
Type=exec
ExecStart=/root/trial.sh
[Install]
WantedBy=multi-user.target
"""
_NEEDS = ("systemd", "systemd-sysv", "dbus", "dbus-user-session", "libpam-systemd", "procps", "python3")


def _prepare(root: Path, package: Path, work: Path, *more: str) -> None:
    debian.install(root, *_NEEDS, *more)
    shutil.copy(debian.as_version(package, "0.0.9", work), root / "root" / "older.deb")
    shutil.copy(package, root / "root" / "newer.deb")
    shutil.copy(TRIAL, root / "root" / "trial.sh")
    (root / "root" / "trial.sh").chmod(0o755)
    (root / "etc/systemd/system/trial.service").write_text(_UNIT)
    debian.inside(root, "systemctl enable trial.service && systemctl mask systemd-networkd-wait-online.service")


def _told(log: str) -> list[str]:
    return re.findall(r"TRIAL ok: (.+?)\r?$", log, re.MULTILINE)


@pytest.mark.packages
def test_services_of_the_package_survive_a_reboot_and_an_upgrade(package: Path, root: Path, tmp_path: Path) -> None:
    reason = debian.no_boot()
    if reason is not None:
        pytest.skip(reason)
    _prepare(root, package, tmp_path)
    log = root / "root" / "trial.log"
    debian.run_booted(root, 300)
    assert "TRIAL reboot" in log.read_text(), log.read_text()
    debian.run_booted(root, 300)
    assert _told(log.read_text()) == CLAIMS, log.read_text()


@pytest.mark.emulated
def test_the_packages_boot_on_an_emulated_computer(package: Path, root: Path, tmp_path: Path) -> None:
    """The same on an emulated computer with a kernel of its own."""
    lacks = [tool for tool in ("qemu-system-x86_64", "mke2fs") if shutil.which(tool) is None]
    if lacks:
        pytest.skip(f"{', '.join(lacks)} is not installed")
    _prepare(root, package, tmp_path, "linux-image-cloud-amd64", "initramfs-tools", "udev")
    (root / "root" / "patience").write_text("8\n")
    disk = tmp_path / "disk.img"
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", root, disk, "3G"], check=True)
    kernel, initrd = (next((root / "boot").glob(f"{name}-*")) for name in ("vmlinuz", "initrd.img"))
    # Whether the timer ticks in time is the emulator's affair, on a busy computer above all.
    boot = "root=/dev/vda rw console=ttyS0 quiet no_timer_check"
    command = [
        "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-m", "2048", "-smp", "2", "-nographic",
        "-no-reboot", "-kernel", str(kernel), "-initrd", str(initrd), "-append", boot,
        "-drive", f"file={disk},format=raw,if=virtio,cache=unsafe",
    ]  # fmt: skip
    log = tmp_path / "console.log"
    for _ in ("first boot", "after the reboot"):
        with log.open("ab") as console:
            subprocess.run(command, stdin=subprocess.DEVNULL, stdout=console, stderr=console, check=True, timeout=1800)
    assert _told(log.read_text("utf-8", "replace")) == CLAIMS, log.read_text("utf-8", "replace")[-6000:]
