"""The Homebrew formula: the program's source archive and those of its locked libraries, each with its hash."""

from __future__ import annotations

import hashlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import project

_ELSEWHERE: Final = frozenset({"isal", "psycopg", "psycopg-binary", "pywin32-ctypes", "tzdata"})
"""Not for a Mac's agent: isal is built with an assembler, and zlib does its work as well; the PostgreSQL driver has no
source archive of its own, and the others are for Windows.
"""

_BUILT_WITH: Final = {"cryptography": "rust", "orjson": "rust"}

_HEAD: Final = """\
class {name} < Formula
  include Language::Python::Virtualenv

  desc "{desc}"
  url "{url}"
  version "{version}"
  sha256 "{digest}"
  license "Apache-2.0"

"""

_TAIL: Final = """\
  def install
    virtualenv_install_with_resources
    generate_completions_from_executable(bin/"raven-agent", "completion", shells: [:bash, :zsh, :fish])
    system libexec/"bin/python", "packaging/build.py", "man", buildpath/"man1"
    man1.install Dir["man1/*.1"]
  end

  service do
    run [opt_bin/"raven-agent", "run"]
    keep_alive crashed: true
    process_type :background
    log_path var/"log/raven-agent.log"
    error_log_path var/"log/raven-agent.log"
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/raven-agent --version")
    ENV["RAVEN_AGENT_HOME"] = testpath/"home"
    (testpath/"notes").mkpath
    (testpath/"notes/paper.md").write "one\\n"
    assert_match "up_to_date", shell_output("#{bin}/raven-agent up #{testpath}/notes --once --json")
  end
end
"""


def build(dist: Path, url: str | None = None) -> Path:
    """Build the source archive and write a formula that installs it.

    Args:
        dist: where both land.
        url: where the archive will be published; None for its place on this disk.

    Raises:
        BuildError: the archive cannot be built, or a library has no source archive.
    """
    archive = _archive(dist)
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    target = dist / f"{project.NAME}.rb"
    target.write_text("".join(_lines(url or archive.as_uri(), digest)), "utf-8")
    return target


def _archive(dist: Path) -> Path:
    dist.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="raven-sdist-") as scratch:
        python = project.environment(Path(scratch) / "tools", sys.executable)
        project.run([python, "-m", "pip", "install", "--quiet", "build"])
        moment = {"SOURCE_DATE_EPOCH": str(project.epoch())}
        project.run([python, "-m", "build", "--sdist", "--outdir", dist, project.ROOT], env=moment)
    return dist / f"{project.NAME.replace('-', '_')}-{project.version()}.tar.gz"


def _lines(url: str, digest: str) -> Iterator[str]:
    name = "".join(word.capitalize() for word in project.NAME.split("-"))
    desc = project.SUMMARY[0].upper() + project.SUMMARY[1:]
    yield _HEAD.format(name=name, desc=desc, url=url, version=project.version(), digest=digest)
    wanted = [pin for pin in project.pins() if pin.name not in _ELSEWHERE]
    for tool in sorted({_BUILT_WITH[pin.name] for pin in wanted if pin.name in _BUILT_WITH}):
        yield f'  depends_on "{tool}" => :build\n'
    yield '  depends_on "openssl@3"\n  depends_on "python@3.13"\n\n'
    for pin in wanted:
        if pin.source is None:
            raise project.BuildError(f"{pin.name} {pin.version} has no source archive")
        if "python_full_version < '3.12'" in pin.marker:
            continue
        digest = f'  sha256 "{pin.source[1]}"'
        lines = [f'resource "{pin.name}" do', f'  url "{pin.source[0]}"', digest, "end"]
        # Linux has Homebrew too; what only Linux wants is left out on a Mac.
        if pin.marker == "sys_platform == 'linux'":
            lines = ["on_linux do", *(f"  {line}" for line in lines), "end"]
        yield "".join(f"  {line}\n" for line in lines) + "\n"
    yield _TAIL
