"""The Debian package: the program in its own virtual environment on Debian's Python, put together without debhelper."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import tempfile
from email.utils import formatdate
from pathlib import Path
from typing import Final

import project

PACKAGE: Final = project.NAME
PYTHON: Final = Path("/usr/bin/python3")
PREFIX: Final = Path("usr/lib") / PACKAGE
_CONTROL: Final = project.HERE / "debian"
_SCRIPTS: Final = ("postinst", "prerm", "postrm")
_UNITS: Final = {
    "raven-agent.service": "user",
    "raven-agent@.service": "system",
    "raven-hub.service": "system",
}
_COMPLETIONS: Final = {
    "bash": f"usr/share/bash-completion/completions/{project.COMMAND}",
    "zsh": f"usr/share/zsh/vendor-completions/_{project.COMMAND}",
    "fish": f"usr/share/fish/vendor_completions.d/{project.COMMAND}.fish",
}


def debian_version(version: str) -> str:
    """Python's version as dpkg orders it: what comes before a release sorts before it."""
    for mark in ("a", "b", "rc", ".dev"):
        version = version.replace(mark, f"~{mark.strip('.')}", 1)
    return version


def build(dist: Path) -> Path:
    """Build the package for this machine's Debian, architecture and Python.

    Raises:
        BuildError: a tool is missing, or this is no Debian.
    """
    for tool, package in (("dpkg-deb", "dpkg"), ("dpkg-shlibdeps", "dpkg-dev"), ("man", "man-db")):
        project.need(tool, package)
    if not PYTHON.exists():
        raise project.BuildError("Debian's own python3 is missing: apt install python3-venv")
    with tempfile.TemporaryDirectory(prefix="raven-deb-") as scratch:
        work = Path(scratch)
        root = work / "root"
        root.mkdir(mode=0o755)
        tools = project.environment(work / "tools", PYTHON)
        _program(root, tools, work)
        _documents(root)
        _relink(root)
        _system(root)
        architecture = project.run(["dpkg", "--print-architecture"]).strip()
        _control(root, work, architecture)
        return _pack(root, dist / f"{PACKAGE}_{debian_version(project.version())}_{architecture}.deb")


def _program(root: Path, tools: Path, work: Path) -> None:
    """The environment, as it will stand on the user's machine: nothing in it names the place it was built in."""
    place = root / PREFIX
    project.run([PYTHON, "-m", "venv", "--without-pip", place])
    project.install_locked(tools, place / "bin" / "python3", project.wheel(tools, work / "wheel"), work)
    shutil.rmtree(place / "bin")
    for empty in ("include", "lib64"):
        _remove(place / empty)
    (place / "bin").mkdir()
    (place / "bin" / "python3").symlink_to(f"/usr/bin/{_interpreter()}")
    script = place / "bin" / project.COMMAND
    script.write_text(f"#!/{PREFIX}/bin/python3 -I\nfrom agent.cli.main import main\n\nmain()\n", "utf-8")
    script.chmod(0o755)
    (place / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\n", "utf-8")
    for note in place.rglob("direct_url.json"):
        note.unlink()
    for record in place.rglob("*.dist-info/RECORD"):
        # What is not there any more is not listed: its hash would be of paths of this build.
        kept = [line for line in record.read_text("utf-8").splitlines(keepends=True) if not line.startswith("../")]
        record.write_text("".join(line for line in kept if "/direct_url.json," not in line), "utf-8")
    (root / "usr/bin").mkdir()
    (root / "usr/bin" / project.COMMAND).symlink_to(f"../lib/{PACKAGE}/bin/{project.COMMAND}")


def _relink(root: Path) -> None:
    """From here on the environment's interpreter is that of the system it will stand in, and runs no more in here."""
    link = root / PREFIX / "bin" / "python3"
    link.unlink()
    link.symlink_to(f"../../../bin/{_interpreter()}")


def _interpreter() -> str:
    return project.run([PYTHON, "-c", "import sys; print('python%d.%d' % sys.version_info[:2])"]).strip()


def _remove(path: Path) -> None:
    if path.is_symlink():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)


def _documents(root: Path) -> None:
    """Man pages and completions, from the very program that is being packed."""
    python = root / PREFIX / "bin" / "python3"
    pages = root / "usr/share/man/man1"
    project.run([python, "-E", "-s", "-B", project.HERE / "build.py", "man", pages])
    for page in sorted(pages.iterdir()):
        _compress(page)
    for shell, place in _COMPLETIONS.items():
        target = root / place
        target.parent.mkdir(parents=True, exist_ok=True)
        script = "from agent.cli.main import main; main()"
        target.write_text(project.run([python, "-I", "-B", "-c", script, "completion", shell]), "utf-8")
    doc = root / "usr/share/doc" / PACKAGE
    doc.mkdir(parents=True)
    shutil.copy(_CONTROL / "copyright", doc / "copyright")
    shutil.copy(project.ROOT / "CHANGELOG.md", doc / "changelog")
    (doc / "changelog.Debian").write_text(
        f"{PACKAGE} ({debian_version(project.version())}) unstable; urgency=medium\n\n"
        f"  * Built from version {project.version()}; see changelog.gz.\n\n"
        f" -- {project.MAINTAINER}  {formatdate(project.epoch())}\n",
        "utf-8",
    )
    for name in ("changelog", "changelog.Debian"):
        _compress(doc / name)


def _compress(path: Path) -> None:
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
    path.unlink()


def _system(root: Path) -> None:
    """Units, the hub's user and its defaults, overrides for lintian."""
    for name, manager in _UNITS.items():
        _copy(project.ROOT / "systemd" / name, root / "usr/lib/systemd" / manager / name)
    _copy(_CONTROL / "raven-hub.sysusers", root / "usr/lib/sysusers.d/raven-hub.conf")
    _copy(_CONTROL / "raven-hub.default", root / "etc/default/raven-hub")
    _copy(_CONTROL / "lintian-overrides", root / "usr/share/lintian/overrides" / PACKAGE)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(0o644)


def _control(root: Path, work: Path, architecture: str) -> None:
    folder = root / "DEBIAN"
    folder.mkdir(mode=0o755)
    for name in _SCRIPTS:
        shutil.copyfile(_CONTROL / name, folder / name)
    (folder / "conffiles").write_text("/etc/default/raven-hub\n", "ascii")
    size = sum(path.lstat().st_size for path in root.rglob("*") if not path.is_dir()) // 1024
    depends = [
        "python3 (>= 3.11)",
        _interpreter(),
        *_libraries(root, work),
        "init-system-helpers (>= 1.52)",
        "systemd | systemd-standalone-sysusers | systemd-sysusers",
    ]
    (folder / "control").write_text(
        f"""\
Package: {PACKAGE}
Version: {debian_version(project.version())}
Architecture: {architecture}
Maintainer: {project.MAINTAINER}
Installed-Size: {size}
Depends: {", ".join(depends)}
Suggests: gnome-keyring | kwalletmanager
Section: net
Priority: optional
Description: {project.SUMMARY}
 The agent hashes the files a folder's patterns select, pushes edits and deletes
 with the state they are based on, follows the server's changes and parks every
 disagreement for a person to decide. Nothing is overwritten in place.
 .
 The hub, a server with the same protocol, comes with it: embedded, or as the
 service raven-hub, which is not started until it is enabled.
""",
        "utf-8",
    )
    _checksums(root)


def _libraries(root: Path, work: Path) -> list[str]:
    """The C libraries the compiled modules need, as Debian's own tool works them out."""
    control = work / "shlibs" / "debian"
    control.mkdir(parents=True)
    (control / "control").write_text(f"Source: {PACKAGE}\n\nPackage: {PACKAGE}\nArchitecture: any\n", "ascii")
    modules = [path for path in (root / PREFIX).rglob("*.so*") if path.is_file() and not path.is_symlink()]
    private = {f"-l{path.parent}" for path in modules if path.parent.name.endswith(".libs")}
    found = project.run(
        ["dpkg-shlibdeps", "-O", "--ignore-missing-info", "--warnings=0", *sorted(private), *modules],
        cwd=control.parent,
    )
    return [word.strip() for word in found.strip().removeprefix("shlibs:Depends=").split(",") if word.strip()]


def _checksums(root: Path) -> None:
    lines = []
    for path in sorted(root.rglob("*")):
        inside = path.relative_to(root)
        if path.is_file() and not path.is_symlink() and inside.parts[0] != "DEBIAN":
            digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
            lines.append(f"{digest}  {inside}\n")
    (root / "DEBIAN" / "md5sums").write_text("".join(lines), "utf-8")


def _pack(root: Path, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    moment = project.epoch()
    # Wheels mark their libraries executable; only what is run is.
    programs = {root / PREFIX / "bin" / project.COMMAND, *(root / "DEBIAN" / name for name in _SCRIPTS)}
    for path in [root, *root.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path in programs else 0o644)
        os.utime(path, (moment, moment), follow_symlinks=False)
    command: list[str | Path] = ["dpkg-deb", "--root-owner-group", "-Zxz", "-z2", "--build", root, target]
    project.run(command, env={"SOURCE_DATE_EPOCH": str(moment)})
    return target
