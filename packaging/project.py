"""Inputs of every package: the version, the lock, the wheel, and one function that runs a tool."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
HERE: Final = ROOT / "packaging"
DIST: Final = ROOT / "dist"
LOCK: Final = HERE / "pylock.toml"

NAME: Final = "raven-local-sync"
COMMAND: Final = "raven-agent"
MAINTAINER: Final = "raven-local-sync maintainers <maintainers@raven-local-sync.invalid>"
SUMMARY: Final = "keeps folders in step with a Raven-compatible document server"


class BuildError(Exception):
    """A package cannot be built; the message is a sentence for the person who asked for it."""


def version() -> str:
    """The version, from the one place that has it.

    Raises:
        BuildError: that place has none.
    """
    found = re.search(r'^__version__ = "([^"]+)"$', (ROOT / "agent" / "__init__.py").read_text("utf-8"), re.MULTILINE)
    if found is None:
        raise BuildError("agent/__init__.py has no __version__")
    return found[1]


def run(command: Sequence[str | Path], *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    """Run a tool; returns what it printed.

    Raises:
        BuildError: it is not there, or ended with another code than 0; the message has its last words.
    """
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words, cwd=cwd, env={**os.environ, **(env or {})}, capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        raise BuildError(f"{words[0]} is not installed") from error
    if done.returncode != 0:
        raise BuildError(f"{' '.join(words)} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-4000:]}")
    return done.stdout


def need(tool: str, package: str) -> None:
    """Raises:
    BuildError: the tool is missing; names the Debian package that has it.
    """
    if shutil.which(tool) is None:
        raise BuildError(f"{tool} is missing: apt install {package}")


def epoch() -> int:
    """Seconds since 1970 that go into the packages instead of the present, so that building twice gives the same."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given:
        return int(given)
    try:
        return int(run(["git", "log", "-1", "--format=%ct"], cwd=ROOT))
    except (BuildError, ValueError):
        return int((ROOT / "CHANGELOG.md").stat().st_mtime)


@dataclass(frozen=True, slots=True)
class Pin:
    """One locked dependency.

    Attributes:
        name, version: as on the index.
        marker: environment marker under which it is wanted, or empty.
        hashes: sha256 of every file of that version.
        source: URL and sha256 of its source archive; None if it has only wheels.
    """

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]
    source: tuple[str, str] | None


def pins() -> Iterator[Pin]:
    """The locked dependencies, in the order of their names.

    Left out is pip, which one of them asks for to install plug-ins of its own: packages are not changed from within.
    """
    for entry in tomllib.loads(LOCK.read_text("utf-8"))["packages"]:
        if entry["name"] == "pip":
            continue
        archive = entry.get("sdist")
        files = [*entry.get("wheels", ()), *([archive] if archive else [])]
        yield Pin(
            entry["name"],
            entry["version"],
            entry.get("marker", ""),
            tuple(file["hashes"]["sha256"] for file in files),
            (archive["url"], archive["hashes"]["sha256"]) if archive else None,
        )


def requirements() -> str:
    """The lock in the form every pip reads, with hashes."""
    lines = []
    for pin in pins():
        marker = f" ; {pin.marker}" if pin.marker else ""
        hashes = "".join(f" \\\n    --hash=sha256:{digest}" for digest in pin.hashes)
        lines.append(f"{pin.name}=={pin.version}{marker}{hashes}\n")
    return "".join(lines)


def environment(place: Path, python: Path | str = sys.executable) -> Path:
    """A virtual environment with pip in it; returns its interpreter."""
    run([python, "-m", "venv", place])
    return place / "bin" / "python3"


def wheel(tools: Path, target: Path) -> Path:
    """Build the wheel from the checkout with the interpreter `tools`; returns it."""
    target.mkdir(parents=True, exist_ok=True)
    run(
        [tools, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", target, ROOT],
        env={"SOURCE_DATE_EPOCH": str(epoch())},
    )
    (built,) = target.glob("raven_local_sync-*.whl")
    return built


def install_locked(tools: Path, into: Path, built: Path, scratch: Path) -> None:
    """Install the locked dependencies and the wheel `built` for the interpreter `into`, with the pip of `tools`."""
    listed = scratch / "requirements.txt"
    listed.write_text(requirements(), "utf-8")
    pip: list[str | Path] = [tools, "-m", "pip", "--python", into, "install", "--quiet", "--no-compile", "--no-deps"]
    run([*pip, "--require-hashes", "--only-binary", ":all:", "--requirement", listed])
    run([*pip, "--no-index", built])


def refresh_lock() -> Path:
    """Resolve the dependencies anew and write the lock; needs uv.

    Raises:
        BuildError: uv is missing or finds no solution.
    """
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if uv is None:
        raise BuildError("uv is missing: pip install uv")
    chosen = ["--universal", "--python-version", "3.11", "--extra", "postgresql", "--upgrade"]
    form = ["--format", "pylock.toml", "--no-header", "--output-file", str(LOCK)]
    run([uv, "pip", "compile", "--quiet", *chosen, *form, "pyproject.toml"], cwd=ROOT)
    return LOCK
