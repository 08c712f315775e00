"""A Debian to install into: a fresh debootstrap folder, commands inside it, and the same folder booted.

Nothing in it reaches the real system: commands run in a mount and process namespace of their own, with their own
`/dev`, `/proc`, `/run` and `/tmp`. The folder as debootstrap leaves it is kept in the user's cache.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import ssl
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

from support.eventually import eventually

SUITE = "bookworm"
MIRROR = os.environ.get("RAVEN_TEST_DEBIAN_MIRROR", "http://deb.debian.org/debian")
CHECKOUT = Path(__file__).resolve().parents[2]

_MOUNTS = """
set -e
mount --make-rprivate /
mount --bind "$1" "$1"
cd "$1"
mount -t proc proc proc
mount -t tmpfs -o mode=755 dev dev
for node in "null 1 3" "zero 1 5" "full 1 7" "random 1 8" "urandom 1 9" "tty 5 0"; do
    read -r name major minor <<<"$node"
    mknod -m 666 "dev/$name" c "$major" "$minor"
done
ln -s /proc/self/fd dev/fd
ln -s pts/ptmx dev/ptmx
mkdir dev/shm dev/pts
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
for own in run tmp dev/shm; do mount -t tmpfs tmpfs "$own"; done
"""
_CHROOT = (
    _MOUNTS
    + """
exec chroot . /usr/bin/env -i PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
    DEBIAN_FRONTEND=noninteractive PIP_CERT=/etc/trusted.pem /bin/sh -c "$2"
"""
)
_BOOT = (
    _MOUNTS
    + """
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mkdir -p the-real-root
pivot_root . the-real-root
exec /usr/bin/env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin /bin/sh -c '
    umount -l /the-real-root && rmdir /the-real-root
    exec /lib/systemd/systemd --system --log-target=null --show-status=no'
"""
)


def missing() -> str | None:
    """What this computer lacks for it, or None."""
    if os.getuid() != 0:
        return "only root can make a Debian to install into"
    tools = ("debootstrap", "unshare", "dpkg-deb", "dpkg-shlibdeps")
    lacks = [tool for tool in tools if shutil.which(tool) is None]
    return f"{', '.join(lacks)} is not installed" if lacks else None


def fresh(into: Path) -> Path:
    """A new copy of the folder debootstrap makes, without Python and without systemd."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "raven-local-sync-tests"
    kept = cache / f"debian-{SUITE}"
    if not kept.exists():
        cache.mkdir(parents=True, exist_ok=True)
        growing = cache / f"{kept.name}.{uuid.uuid4().hex[:8]}"
        subprocess.run(["debootstrap", "--variant=minbase", SUITE, str(growing), MIRROR], check=True)
        growing.rename(kept)
    subprocess.run(["cp", "-a", str(kept), str(into)], check=True)
    for name in ("resolv.conf", "hosts"):
        shutil.copyfile(Path("/etc") / name, into / "etc" / name)
    # The network inside is that of this machine, whose proxies it has to trust as this machine does.
    shutil.copyfile(ssl.get_default_verify_paths().openssl_cafile, into / "etc" / "trusted.pem")
    return into


def inside(root: Path, script: str, *, expect: int = 0) -> str:
    """Run a shell script as root inside; returns what it said on both outputs."""
    done = subprocess.run(
        ["unshare", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child", "bash", "-c", _CHROOT, "in", root,
         script],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == expect, f"{script}\nended with {done.returncode}:\n{done.stdout[-6000:]}"
    return done.stdout


def install(root: Path, *packages: str) -> str:
    """Install packages, by name from the mirror or by path inside, with what they depend on."""
    names = " ".join(packages)
    return inside(root, f"apt-get update -qq && apt-get install -y -qq --no-install-recommends {names}")


def run_booted(root: Path, seconds: float) -> None:
    """Boot the folder with its own systemd as the first process, in a network of its own, until it ends by itself."""
    group = _unified() / f"raven-agent-test-{uuid.uuid4().hex[:8]}"
    group.mkdir()
    # The shell enters the control group first, so that it is the top of the namespace made then.
    joining = (
        'echo 0 > "$1/cgroup.procs" && exec unshare --mount --pid --fork --cgroup --uts --ipc --net --kill-child '
        'bash -c "$2" boot "$3"'
    )
    try:
        subprocess.run(
            ["bash", "-c", joining, "join", group, _BOOT, root], stdin=subprocess.DEVNULL, check=False, timeout=seconds
        )
    finally:
        eventually(lambda: _removed(group), 20, "its processes are gone")


def no_boot() -> str | None:
    """Why a folder cannot be booted here, or None."""
    try:
        _unified()
    except LookupError as error:
        return str(error)
    return missing()


def _unified() -> Path:
    for line in Path("/proc/mounts").read_text().splitlines():
        _, where, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(where)
    raise LookupError("there is no cgroup v2")


def _removed(group: Path) -> bool:
    for folder, _, _ in os.walk(group, topdown=False):
        with contextlib.suppress(OSError):
            os.rmdir(folder)
    return not group.exists()


def snapshot(into: Path) -> Path:
    """A copy of the checkout's files as they are now, so that what is built from it does not change meanwhile."""
    listed = subprocess.run(["git", "ls-files"], cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout
    for name in listed.splitlines():
        if (CHECKOUT / name).exists():
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(CHECKOUT / name, into / name)
    return into


def build(source: Path, into: Path, target: str) -> Path:
    """Build one package from a checkout, by the documented command."""
    done = subprocess.run(
        [_python(), "packaging/build.py", "--into", str(into), target],
        cwd=source, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


def _python() -> str:
    system = Path("/usr/bin/python3")
    return str(system) if system.exists() else sys.executable


def as_version(package: Path, version: str, work: Path) -> Path:
    """The package again as another version, which the program inside says as well."""
    folder = work / f"as-{version}"
    subprocess.run(["dpkg-deb", "-R", str(package), str(folder)], check=True)
    control = folder / "DEBIAN" / "control"
    lines = control.read_text().splitlines(keepends=True)
    control.write_text("".join(f"Version: {version}\n" if line.startswith("Version:") else line for line in lines))
    (place,) = folder.glob("usr/lib/raven-local-sync/lib/python3*/site-packages/agent/__init__.py")
    place.write_text(f'__version__ = "{version}"\n')
    out = work / f"{version}.deb"
    command = ["dpkg-deb", "--root-owner-group", "-Zgzip", "--build", str(folder), str(out)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(folder)
    return out


@contextlib.contextmanager
def removed_afterwards(root: Path) -> Iterator[Path]:
    """The folder is gone afterwards: it holds hundreds of megabytes."""
    try:
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)
