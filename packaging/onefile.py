"""The single file: the program, its libraries and an interpreter, unpacked when it starts. Built with PyInstaller."""

from __future__ import annotations

import platform
import tempfile
from pathlib import Path
from typing import Final

import project

PYINSTALLER: Final = "pyinstaller==6.22.3"
SPEC: Final = project.HERE / "raven-agent.spec"


def build(dist: Path) -> Path:
    """Build the single file for this machine's system, architecture and C library (or a newer one).

    Raises:
        BuildError: the interpreter cannot be packed, or PyInstaller fails.
    """
    with tempfile.TemporaryDirectory(prefix="raven-file-") as scratch:
        work = Path(scratch)
        python = project.environment(work / "env")
        project.install_locked(python, python, project.wheel(python, work / "wheel"), work)
        project.run([python, "-m", "pip", "install", "--quiet", PYINSTALLER])
        name = f"{project.COMMAND}-{project.version()}-{platform.system().lower()}-{platform.machine()}"
        out: list[str | Path] = ["--distpath", dist, "--workpath", work / "work", "--noconfirm", "--log-level", "WARN"]
        # Hash seed and times are fixed so that building twice gives the same file.
        settled = {"PYTHONHASHSEED": "1", "SOURCE_DATE_EPOCH": str(project.epoch()), "RAVEN_FILE_NAME": name}
        project.run([python, "-m", "PyInstaller", *out, SPEC], cwd=work, env=settled)
        return dist / name
