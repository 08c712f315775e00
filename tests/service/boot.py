"""A booted machine of its own: a real systemd as the first process of new namespaces, on a copy of a system.

The root is an overlay, so that nothing it writes or removes reaches the real one; ``/tmp``, ``/run`` and ``/var/log``
are empty. It needs root, systemd and overlayfs, and takes a few seconds.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from support.eventually import eventually

SYSTEMD = Path("/usr/lib/systemd/systemd")

_BOOT = """
set -e
top=$1 lower=$2
mount --make-rprivate /
mount -t tmpfs tmpfs "$top"
mkdir "$top/up" "$top/work" "$top/root"
mount -t overlay overlay -o "lowerdir=$lower,upperdir=$top/up,workdir=$top/work" "$top/root"
cd "$top/root"
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount --rbind /dev dev
for own in run tmp var/log var/tmp; do mount -t tmpfs tmpfs "$own"; done
: > etc/machine-id
mkdir -p the-real-root
pivot_root . the-real-root
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin /bin/sh -c '
  umount -l /the-real-root && rmdir /the-real-root && mount --make-rshared /
  exec /usr/lib/systemd/systemd --system --unit=basic.target --log-target=console --show-status=no'
"""


def missing() -> str | None:
    """What this computer lacks for it; None when it can be booted."""
    if os.getuid() != 0:
        return "only root can make the namespaces"
    if not SYSTEMD.exists():
        return "systemd is not installed"
    lacks = [tool for tool in ("unshare", "nsenter", "pivot_root", "dbus-daemon") if shutil.which(tool) is None]
    if lacks:
        return f"{', '.join(lacks)} is not installed"
    if "overlay" not in Path("/proc/filesystems").read_text():
        return "there is no overlayfs"
    return None if _unified() else "there is no cgroup v2"


def _unified() -> Path | None:
    for line in Path("/proc/mounts").read_text().splitlines():
        _, where, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(where)
    return None


@dataclass(frozen=True)
class Booted:
    """A running system.

    Attributes:
        pid: its first process, as we see it.
    """

    pid: int

    def run(self, *command: str, stdin: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command in it, as its root, with an environment as a login gives."""
        path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        done = subprocess.run(
            ["nsenter", "-t", str(self.pid), "-m", "-p", "-C", "-u", "-i", "-r", "-w", "env", "-i", path, "HOME=/root",
             "LANG=C.UTF-8", *command],
            input=stdin, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert not check or done.returncode == 0, (command, done)
        return done

    def run_as(self, user: str, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command as this user, whose own systemd runs."""
        uid = self.run("id", "-u", user).stdout.strip()
        return self.run(
            "setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "env", f"HOME=/home/{user}",
            f"USER={user}", f"XDG_RUNTIME_DIR=/run/user/{uid}", *command, check=check,
        )  # fmt: skip

    def add_person(self, name: str) -> None:
        """A user with a home folder and, from now on, a systemd of their own."""
        self.run("useradd", "--create-home", name)
        self.run("loginctl", "enable-linger", name)
        manager = ("systemctl", "--user", "is-active", "default.target")
        eventually(lambda: self.run_as(name, *manager, check=False).returncode == 0, 20, "their systemd is up")

    def show(self, unit: str, *names: str, manager: Sequence[str] = ("systemctl",)) -> dict[str, str]:
        """Properties of a unit."""
        lines = self.run(*manager, "show", f"--property={','.join(names)}", unit).stdout.splitlines()
        return dict(line.split("=", 1) for line in lines)


@contextlib.contextmanager
def booted(folder: Path, lower: Path = Path("/")) -> Iterator[Booted]:
    """Boot the system whose root is ``lower``, with a scratch ``folder`` of ours; it is killed with the block."""
    unified = _unified()
    assert unified is not None
    group = unified / f"raven-agent-test-{uuid.uuid4().hex[:8]}"
    group.mkdir()
    top = folder / "booted"
    top.mkdir()

    with (folder / "boot.log").open("wb") as log:
        # The shell enters the control group first, so that it is the top of the namespace made then.
        joining = (
            'echo 0 > "$1/cgroup.procs" && exec unshare -m -p -f -C -u -i --kill-child bash -c "$2" boot "$3" "$4"'
        )
        process = subprocess.Popen(
            ["bash", "-c", joining, "join", str(group), _BOOT, str(top), str(lower)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        pid = eventually(lambda: children.read_text().split()[:1], 10, "the first process")[0]
        machine = Booted(int(pid))
        eventually(
            lambda: machine.run("systemctl", "is-active", "basic.target", check=False).returncode == 0, 40,
            f"the system is up: {(folder / 'boot.log').read_text()[-2000:]}",
        )  # fmt: skip
        yield machine
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        eventually(lambda: _removed(group), 20, "its processes are gone")


def _removed(group: Path) -> bool:
    """Whether the control group and those below it could be removed, which shows that nothing runs in them."""
    for folder, _, _ in os.walk(group, topdown=False):
        with contextlib.suppress(OSError):
            os.rmdir(folder)
    return not group.exists()
