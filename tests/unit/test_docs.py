"""The documents say what the code does."""

from __future__ import annotations

import datetime
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

import agent
from agent.settings.declarations import KEYS
from agent.settings.home import Home
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


def test_examples_name_a_hub_backup_by_its_form() -> None:
    """A backup is a database and no archive: every example gives its file the ending of one."""
    documents = [*(TOP / "docs").rglob("*.md"), TOP / "README.md", TOP / "agent" / "cli" / "examples.py"]
    named = [
        file for path in documents for file in re.findall(r"hub (?:backup|restore) ([~/][^\s\"`]+)", path.read_text())
    ]
    assert named
    assert {file.rpartition("/")[2] for file in named} == {"hub.db"}


@pytest.mark.skipif(sys.platform != "linux", reason="the folders of Linux")
def test_operations_name_the_log_and_the_socket(tmp_path: Path) -> None:
    """docs/operations.md names the log file and the control socket for each way to choose the agent's folder."""
    text = (TOP / "docs" / "operations.md").read_text()
    user = Home.from_environment({})
    paths = (user.log_file, user.socket)
    assert [f"~/{path.relative_to(Path.home())}" in text for path in paths] == [True, True]
    pinned = Home.from_environment({"RAVEN_AGENT_HOME": str(tmp_path)})
    assert f"`{pinned.log_file.relative_to(tmp_path)}`" in text and f"`{pinned.socket.name}`" in text
    assert "`$XDG_RUNTIME_DIR/raven-agent/agent.sock`" in text


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
    for path in (*TOP.glob("*.md"), *(TOP / "docs").rglob("*.md"), TOP / "tests" / "README.md"):
        for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text()):
            assert (path.parent / target).exists(), (path, target)


def _script(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def test_the_changelog_fragments_are_well_formed() -> None:
    """Each fragment is one paragraph with a known type."""
    assert _script(TOP / "docs" / "changelog.py").problems() == []


def test_a_release_moves_the_fragments_into_the_changelog(tmp_path: Path) -> None:
    """A release writes one section by type, keeps older releases, and refuses a version that exists."""
    script = _script(TOP / "docs" / "changelog.py")
    fragments = tmp_path / "changelog.d"
    fragments.mkdir()
    (fragments / "b.fixed.md").write_text("A file was lost.\nIt is kept.\n")
    (fragments / "a.security.md").write_text("A token was shown. It is hidden.\n")
    changelog = tmp_path / "CHANGELOG.md"
    changelog.write_text("# Changelog\n\n## [Unreleased]\n\n## [0.1.0] - 2026-01-01\n\nFirst.\n")
    script.release("0.2.0", datetime.date(2026, 2, 3), changelog, fragments)
    assert changelog.read_text() == (
        "# Changelog\n\n## [Unreleased]\n\n## [0.2.0] - 2026-02-03\n\n"
        "### Security\n\n- A token was shown. It is hidden.\n\n"
        "### Fixed\n\n- A file was lost. It is kept.\n\n## [0.1.0] - 2026-01-01\n\nFirst.\n"
    )
    assert list(fragments.iterdir()) == []
    with pytest.raises(ValueError, match=r"not yet 0\.2\.0"):
        script.release("0.2.0", datetime.date(2026, 2, 3), changelog, fragments)


@pytest.mark.parametrize("name, text", [("a.md", "Fine."), ("a.fixed.md", "# Title"), ("a.fixed.md", "One.\n\nTwo.")])
def test_a_malformed_fragment_is_named(name: str, text: str, tmp_path: Path) -> None:
    """A fragment without a type, with a heading or with two paragraphs is refused by name."""
    (tmp_path / name).write_text(text)
    (problem,) = _script(TOP / "docs" / "changelog.py").problems(tmp_path)
    assert problem.startswith(f"{name}: ")


def test_the_glossary_defines_each_term_once() -> None:
    """Each term has one sentence, and no section defines a term of another one."""
    text = (TOP / "docs" / "glossary.md").read_text()
    entries = re.findall(r"^(\S.*)\n: (.+)$", text, re.MULTILINE)
    terms = [term for heads, _ in entries for term in heads.split(", ")]
    assert len(terms) == len(set(terms)) > 80
    assert [term for term, meaning in entries if not meaning.endswith(".")] == []


def test_every_decision_record_has_its_four_parts() -> None:
    """Twelve records or more, numbered without a gap, each with context, decision, consequences and alternatives."""
    records = sorted((TOP / "docs" / "decisions").glob("[0-9]*.md"))
    assert [int(record.stem) for record in records] == list(range(1, len(records) + 1))
    assert len(records) >= 12
    for record in records:
        headings = re.findall(r"^## (.+)$", record.read_text(), re.MULTILINE)
        assert headings == ["Context", "Decision", "Consequences", "Alternatives"], record


def test_the_architecture_names_every_package() -> None:
    """The table of packages has a row for each package of the program."""
    text = (TOP / "docs" / "architecture.md").read_text()
    packages = {path.parent.name for path in (TOP / "agent").glob("*/__init__.py")}
    named = set(re.findall(r"^\| `agent/(\w+)/", text, re.MULTILINE))
    assert packages <= named
