"""Include patterns that fit a path, judged by the selection itself."""

from __future__ import annotations

import pytest

from agent.disk.selection.patterns import PatternList
from agent.disk.selection.suggest import file_pattern, folder_pattern


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("list.org", "**/*.org"),
        ("deep/er/List.ORG", "**/*.ORG"),
        ("a.tar.gz", "**/*.gz"),
        ("deep/Makefile", "/deep/Makefile"),
        ("a.b-c", "/a.b-c"),
        ("ends.", "/ends."),
        (".bashrc", "/.bashrc"),
        ("what?[1]*\\", "/what\\?\\[1]\\*\\\\"),
        ("!note", "/!note"),
        ("#note", "/#note"),
        ("space ", "/space\\ "),
        ("a\nb", None),
        ("a\udcff", None),
    ],
)
def test_a_pattern_fits_its_file(path: str, pattern: str | None) -> None:
    """It selects the file, and no other one unless it is of the same ending."""
    assert file_pattern(path) == pattern
    if pattern is not None:
        found = PatternList.given((pattern,), "here")
        assert found.match(path) is not None
        assert found.match(f"x{path}x") is None


def test_a_pattern_fits_the_files_of_a_folder() -> None:
    """Every file below it, and none beside it."""
    found = PatternList.given((folder_pattern("a [b]") or "",), "here")
    assert found.match("a [b]/deep/c.png") is not None
    assert found.match("x/a [b]/c.png") is None
