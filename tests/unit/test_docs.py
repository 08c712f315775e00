"""The documents say what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import agent
from agent.settings.declarations import KEYS
from agent.settings.settings import TABLE

TOP = Path(__file__).parents[2]


def _rows(path: Path) -> dict[str, list[str]]:
    cells = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in path.read_text().splitlines()]
    return {row[0].strip("`"): row for row in cells if len(row) == 4 and row[0].startswith("`")}


def test_every_setting_is_documented_with_its_default_and_unit() -> None:
    """docs/configuration.md and the settings table hold the same rows."""
    documented = _rows(TOP / "docs" / "configuration.md")
    assert documented.keys() == TABLE.keys()
    for name, setting in TABLE.items():
        default = (
            str(setting.default).lower() if isinstance(setting.default, bool) else str(setting.default or "(none)")
        )
        assert documented[name][1:3] == [default, setting.unit], name
        assert documented[name][3].startswith(setting.meaning), name


def test_every_declaration_key_is_documented_with_its_meaning() -> None:
    """docs/configuration.md and the tables of keys hold the same rows."""
    lines = (TOP / "docs" / "configuration.md").read_text().splitlines()
    for kind, keys in KEYS.items():
        first = lines.index(f"| key of `[[{kind}]]` | meaning |") + 2
        assert lines[first : first + len(keys) + 1] == [*(f"| `{key}` | {words} |" for key, words in keys.items()), ""]


def test_the_changelog_knows_this_version() -> None:
    """The version in the code has an entry, and the changelog is in its known form."""
    text = (TOP / "CHANGELOG.md").read_text()
    assert re.search(rf"^## \[({re.escape(agent.__version__)}|Unreleased)\]", text, re.MULTILINE)


def test_no_document_installs_somebody_elses_package() -> None:
    """The public index's raven-agent is not ours: no document installs it by name."""
    for path in (TOP / "README.md", *(TOP / "docs").rglob("*.md")):
        assert not re.search(r"(pip|pipx|uv tool) install (--\S+ )*raven-agent\b", path.read_text()), path


def test_documents_name_no_files_that_are_not_there() -> None:
    """Every relative link of README and docs leads to a file."""
    for path in (TOP / "README.md", *(TOP / "docs").rglob("*.md"), TOP / "tests" / "README.md"):
        for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text()):
            assert (path.parent / target).exists(), (path, target)
