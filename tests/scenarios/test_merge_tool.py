"""``resolve --tool``: a conflict is finished in a merge program, as git starts it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from support.processes import Home
from support.servers import StrictServer

BASE, MINE, THEIRS = "one\nbase\n", "one\nmine\n", "one\ntheirs\n"


@pytest.fixture
def parked(strict_home: Home, strict: StrictServer) -> str:
    """A conflict about a.md; the source's id."""
    strict_home.write("a.md", BASE)
    source = strict_home.link()
    strict.replace(source, "a.md", THEIRS)
    strict_home.write("a.md", MINE)
    strict_home.sync(code=3)
    return source


def program(folder: Path, name: str, body: str) -> Path:
    made = folder / name
    made.write_text(f"#!/bin/sh\n{body}\n")
    made.chmod(0o755)
    return made


def git_setting(name: str, value: str) -> dict[str, str]:
    return {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": name, "GIT_CONFIG_VALUE_0": value}


def test_a_tool_of_the_git_settings_gets_the_three_sides(
    strict_home: Home, strict: StrictServer, parked: str, tmp_path: Path
) -> None:
    """Its merge is taken, and the copies of the sides are removed."""
    seen = tmp_path / "seen"
    body = f'cat "$BASE" "$LOCAL" "$REMOTE" > {seen}; echo "$BASE" > {seen}.at; printf merged > "$MERGED"'
    strict_home.extra = git_setting("mergetool.mine.cmd", body)
    [row] = strict_home.json("resolve", "a.md", "manual_merge", "--tool", "mine")["resolved"]
    assert row["state"] == "resolved"
    assert seen.read_text() == BASE + MINE + THEIRS
    assert not Path(Path(f"{seen}.at").read_text().strip()).exists()
    assert strict.text(parked, "a.md") == "merged"
    assert strict_home.texts() == {"a.md": "merged"}


def test_a_known_tool_is_started_with_its_arguments(
    strict_home: Home, strict: StrictServer, parked: str, tmp_path: Path
) -> None:
    body = 'out=${1#--output=}; cat "$2" "$4" > "$out"'
    program(tmp_path, "meld", body)
    strict_home.extra = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    assert strict_home.run("resolve", "a.md", "manual_merge", "--tool", "meld").code == 0
    assert strict.text(parked, "a.md") == MINE + THEIRS


def test_a_failed_tool_changes_nothing_and_keeps_the_merge(
    strict_home: Home, strict: StrictServer, parked: str, tmp_path: Path
) -> None:
    """What it wrote before it failed is a draft, and the hint continues with the same tool."""
    strict_home.extra = git_setting("mergetool.mine.cmd", 'printf half > "$MERGED"; exit 3')
    ran = strict_home.run("resolve", "a.md", "manual_merge", "--tool", "mine")
    assert ran.code == 1
    assert "--tool mine" in ran.err
    assert strict.text(parked, "a.md") == THEIRS
    assert strict_home.texts() == {"a.md": MINE}
    [row] = strict_home.json("conflicts")
    assert Path(row["draft"]["file"]).read_text() == "half"


@pytest.mark.parametrize("name", ["nosuch", "opendiff"])
def test_a_tool_that_is_unknown_or_missing_is_named(
    strict_home: Home, strict: StrictServer, parked: str, name: str
) -> None:
    ran = strict_home.run("resolve", "a.md", "manual_merge", "--tool", name)
    assert ran.code == 2
    assert name in ran.err
    assert strict_home.texts() == {"a.md": MINE}


def test_a_tool_for_a_terminal_is_not_started_without_one(
    strict_home: Home, strict: StrictServer, parked: str, tmp_path: Path
) -> None:
    """It would wait for keys that no person can type."""
    program(tmp_path, "vim", f"touch {tmp_path}/started")
    strict_home.extra = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    ran = strict_home.run("resolve", "a.md", "manual_merge", "--tool", "vimdiff")
    assert ran.code == 2
    assert "needs a terminal" in ran.err
    assert not (tmp_path / "started").exists()
