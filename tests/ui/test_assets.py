"""The built files of the dashboard: unchanged since their build, small, licensed, and made from the sources here."""

from __future__ import annotations

import gzip
import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest

UI = Path(__file__).parents[2] / "agent" / "ui"
VENDOR = UI / "static" / "vendor"
PAGE_BYTES = 60_000
EDITOR_BYTES = 250_000


def _packed(*files: Path) -> int:
    return sum(len(gzip.compress(file.read_bytes(), 9)) for file in files)


def test_each_built_file_has_its_hash() -> None:
    """No built file was edited by hand, added or forgotten."""
    listed = {name: digest for digest, name in (line.split("  ") for line in _sums().splitlines())}
    found = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in VENDOR.iterdir()}
    assert found.pop("SHA256SUMS")
    assert found == listed


def _sums() -> str:
    return (VENDOR / "SHA256SUMS").read_text()


def test_each_bundled_package_has_its_licence() -> None:
    """Each package of the lock that is part of a built file is named with a free licence and its text."""
    text = (VENDOR / "LICENSES.txt").read_text()
    entries = re.findall(r"^(\S+) \d\S* \((\S+)\)\n\n(.+?)(?=\n-{80}\n|\Z)", text, re.MULTILINE | re.DOTALL)
    assert {"htmx.org", "htmx-ext-sse", "@codemirror/view", "@codemirror/merge"} <= {name for name, _, _ in entries}
    assert {licence for _, licence, _ in entries} <= {"MIT", "0BSD", "BSD-3-Clause"}
    assert all(len(words) > 200 for _, _, words in entries)


def test_pages_and_editor_are_within_their_budget() -> None:
    """Packed, the scripts and styles of a page take 60 KB at most, those of the editor 250 KB."""
    scripts = [file for file in (UI / "static").iterdir() if file.is_file()]
    page = [*scripts, VENDOR / "htmx.js", VENDOR / "htmx-sse.js"]
    # A page's own text comes on top; the rest of the budget is its.
    assert _packed(*page) < PAGE_BYTES - 15_000
    assert _packed(*page, VENDOR / "editor.js") < EDITOR_BYTES - 15_000


@pytest.mark.long
def test_the_sources_give_the_same_bytes(tmp_path: Path) -> None:
    """npm installs exactly the locked packages, and the build of them equals the files of the program."""
    npm = shutil.which("npm")
    assert npm is not None, "npm is needed: apt-get install npm"
    sources = tmp_path / "assets"
    shutil.copytree(UI / "assets", sources, ignore=shutil.ignore_patterns("node_modules"))
    subprocess.run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=sources, check=True)
    subprocess.run([npm, "run", "--silent", "build", "--", str(tmp_path / "built")], cwd=sources, check=True)
    built = {file.name: file.read_bytes() for file in (tmp_path / "built").iterdir()}
    assert built == {file.name: file.read_bytes() for file in VENDOR.iterdir()}
