"""What the packages are made from: quick looks that need neither root nor a network."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from agent import __version__
from agent.cli.exit_codes import ExitCode
from agent.cli.main import PROGRAM, cli
from agent.settings.settings import TABLE

CHECKOUT = Path(__file__).resolve().parents[2]
PACKAGING = CHECKOUT / "packaging"


def _build(*arguments: str) -> str:
    command = [sys.executable, "packaging/build.py", *arguments]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout


def _commands(context: click.Context) -> Iterator[click.Context]:
    yield context
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            command = context.command.get_command(context, name)
            assert command is not None
            if not command.hidden:
                yield from _commands(click.Context(command, info_name=name, parent=context))


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The man pages of this checkout."""
    return Path(_build("man", str(tmp_path_factory.mktemp("man"))).strip())


def test_the_version_stands_in_one_place() -> None:
    assert _build("--version").strip() == __version__
    assert tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["dynamic"] == ["version"]
    listed = subprocess.run(["git", "ls-files"], cwd=CHECKOUT, capture_output=True, text=True, check=False).stdout
    if not listed:
        pytest.skip("not a git checkout")
    named = re.compile(rf"""(?i)\bversion\b["']?\s*[:=]+\s*["']?{re.escape(__version__)}\b""")
    code = [name for name in listed.split() if not name.startswith("tests/") and not name.endswith((".lock", ".toml"))]
    places = [name for name in code if named.search((CHECKOUT / name).read_text("utf-8", "replace"))]
    places += [
        name for name in code if f'__version__ = "{__version__}"' in (CHECKOUT / name).read_text("utf-8", "replace")
    ]
    assert places == ["agent/__init__.py"]


def test_the_bill_of_materials_names_every_locked_dependency(tmp_path: Path) -> None:
    """Each with its version and an address that its hash belongs to; the same checkout gives the same document."""
    made = [Path(_build("--into", str(tmp_path / str(turn)), "sbom").strip()) for turn in range(2)]
    assert made[0].name == f"raven-local-sync-{__version__}.cdx.json"
    assert made[0].read_bytes() == made[1].read_bytes()
    bill = json.loads(made[0].read_text())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    locked = tomllib.loads((PACKAGING / "pylock.toml").read_text())["packages"]
    expected = {f"pkg:pypi/{one['name']}@{one['version']}" for one in locked if one["name"] != "pip"}
    assert {one["purl"] for one in bill["components"]} == set(bill["dependencies"][0]["dependsOn"]) == expected
    assert len({one["bom-ref"] for one in bill["components"]}) == len(bill["components"])
    for one in bill["components"]:
        for archive in one.get("externalReferences", ()):
            assert archive["url"].startswith("https://") and len(archive["hashes"][0]["content"]) == 64


def test_every_command_and_option_has_its_place_in_a_man_page(pages: Path) -> None:
    expected = set()
    for context in _commands(click.Context(cli, info_name=PROGRAM)):
        name = context.command_path.replace(" ", "-")
        expected.add(f"{name}.1")
        text = (pages / f"{name}.1").read_text("utf-8").replace("\\-", "-")
        for parameter in context.command.params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                assert all(option in text for option in (*parameter.opts, *parameter.secondary_opts)), (name, parameter)
    assert {page.name for page in pages.iterdir()} == expected


def test_the_man_pages_know_every_exit_code_and_variable(pages: Path) -> None:
    text = (pages / "raven-agent.1").read_text("utf-8")
    codes = re.findall(r"^\.B (\d+)$", text, re.MULTILINE)
    assert [int(code) for code in codes] == [int(code) for code in ExitCode]
    missing = [s.variable for s in TABLE.values() if s.variable and s.variable not in text]
    assert missing == []


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_the_man_pages_are_sound_troff(pages: Path) -> None:
    command = ["groff", "-man", "-ww", "-Tutf8", "-z", *map(str, sorted(pages.iterdir()))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_lock_has_every_dependency_with_a_hash() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    wanted = {re.split(r"[\[<>=]", line)[0].lower() for line in project["dependencies"]}
    blocks = re.split(r"\n(?=\S)", _build("requirements").strip())
    assert {block.split("==")[0] for block in blocks} >= wanted
    assert [block for block in blocks if "--hash=sha256:" not in block and "==" in block] == []


@pytest.mark.skipif(shutil.which("ruby") is None, reason="ruby is not installed")
def test_the_formula_is_ruby_and_has_each_archive_with_its_hash(tmp_path: Path) -> None:
    script = (
        "import sys; sys.path.insert(0, 'packaging'); import formula; "
        "print(''.join(formula._lines('https://example.org/a.tar.gz', '0' * 64)))"
    )
    made = subprocess.run([sys.executable, "-c", script], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    text = made.stdout
    (tmp_path / "formula.rb").write_text(text)
    checked = subprocess.run(["ruby", "-wc", tmp_path / "formula.rb"], capture_output=True, text=True, check=False)
    assert (checked.stdout, checked.stderr) == ("Syntax OK\n", "")
    resources = re.findall(r'resource "([^"]+)" do\n\s+url "https://[^"]+"\n\s+sha256 "[0-9a-f]{64}"\n', text)
    assert len(resources) == text.count('resource "') and {"httpx", "click", "xxhash"} <= set(resources)
    assert f'version "{__version__}"' in text


def test_the_dockerfile_has_its_own_user_volume_and_health_check() -> None:
    """The dockerfile runs the hub as a user of its own with a volume and a health check."""
    text = (PACKAGING / "docker" / "Dockerfile").read_text("utf-8")
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    steps = [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]
    last = dict(steps)
    assert [word for word, _ in steps].count("FROM") == 2
    assert last["USER"] == "raven-hub" and last["VOLUME"] == "/data" and "HEALTHCHECK" in last
    assert last["ENTRYPOINT"].startswith('["raven-agent", "hub", "serve"')
    copied = [rest.split()[0] for word, rest in steps if word == "COPY" and not rest.startswith("--from")]
    assert all((CHECKOUT / source).exists() for source in copied)


def test_maintainer_scripts_are_sound_shell() -> None:
    for name in ("postinst", "prerm", "postrm"):
        script = PACKAGING / "debian" / name
        assert script.read_text().startswith("#!/bin/sh\nset -e\n"), name
        subprocess.run(["sh", "-n", script], check=True)
