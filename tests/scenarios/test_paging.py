"""Lists in pages: each page goes on behind the last entry of the one before, and together they are the whole list."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.processes import Home
from support.servers import StrictServer


def second_folder(home: Home, files: dict[str, str]) -> Path:
    """Link another folder with these files."""
    folder = home.folder.parent / "second"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    home.json("link", folder)
    return folder


def pages(home: Home, *command: str | Path, mark: str, size: int) -> list[dict[str, Any]]:
    """Read a list page by page; ``mark`` is the field that names an entry."""
    rows: list[dict[str, Any]] = []
    after: tuple[str, ...] = ()
    # A list that begins again would never end.
    for _ in range(50):
        page = home.json(*command, "--limit", str(size), *after)
        if not page:
            return rows
        rows += page
        last = page[-1]
        after = ("--after", f"{last['root']}/{last['path']}" if mark == "path" else str(last[mark]))
    raise AssertionError("the pages do not end")


def test_files_of_several_folders_come_in_pages(strict_home: Home) -> None:
    """A path alone does not say in which of several folders the page ended, so it is refused there."""
    for name in ("b.md", "d.md", "z.md"):
        strict_home.write(name, f"{name}\n")
    strict_home.link()
    folder = second_folder(strict_home, {"a.md": "a\n", "d.md": "d\n"})
    strict_home.sync()
    whole = strict_home.json("files")
    assert len(whole) == 5
    for size in (1, 2, 3):
        assert pages(strict_home, "files", mark="path", size=size) == whole
    refused = strict_home.run("files", "--after", "b.md", "--json")
    assert (refused.code, refused.error["code"]) == (2, "usage")
    assert [row["path"] for row in strict_home.json("files", folder, "--after", "a.md")] == ["d.md"]
    assert strict_home.run("files", "--after", "/elsewhere/a.md").code == 2


def test_conflicts_of_several_folders_come_in_pages(strict_home: Home, strict: StrictServer) -> None:
    """Their ids are of one series, and the list is in its order, whatever folder each belongs to."""
    names = ("a.md", "b.md")
    for name in names:
        strict_home.write(name, "first\n")
    strict_home.link()
    folder = second_folder(strict_home, dict.fromkeys(names, "first\n"))
    strict_home.sync(code=0)
    sources = {row["root"]: row["id"] for row in strict_home.json("status")["sources"]}
    for name in names:
        # One more conflict in each folder in turn.
        for root in (folder, strict_home.folder):
            (root / name).write_text("mine\n")
            strict.replace(sources[str(root)], name, "theirs\n")
            strict_home.sync()
    whole = strict_home.json("conflicts")
    assert [row["root"] for row in whole] == [str(folder), str(strict_home.folder)] * 2
    for size in (1, 3):
        assert pages(strict_home, "conflicts", mark="id", size=size) == whole


def test_versions_with_equal_texts_come_in_pages(strict_home: Home, strict: StrictServer) -> None:
    """A text that was written twice, and is in the trash too, is three entries: a hash does not name one."""
    strict_home.write("a.md", "first\n")
    source = strict_home.link()
    for text in ("second\n", "first\n", "third\n"):
        strict.replace(source, "a.md", text)
        strict_home.sync(code=0)
    file = strict_home.folder / "a.md"
    whole = strict_home.json("history", file)
    assert len({row["hash"] for row in whole}) < len(whole) == len({row["id"] for row in whole})
    for size in (1, 2):
        assert pages(strict_home, "history", file, mark="id", size=size) == whole
    assert pages(strict_home, "trash", mark="id", size=1) == strict_home.json("trash")


@pytest.mark.parametrize("command", ["history a.md", "trash", "activity", "conflicts"])
def test_a_mark_that_names_nothing_is_a_usage_error(strict_home: Home, strict: StrictServer, command: str) -> None:
    """A script that pages must not read the first page again for ever."""
    strict_home.write("a.md", "first\n")
    source = strict_home.link()
    strict_home.sync(code=0)
    strict.replace(source, "a.md", "second\n")
    strict_home.sync(code=0)
    ran = strict_home.run(*command.split(), "--after", "nothing", "--json")
    assert (ran.code, ran.out, ran.error["code"]) == (2, "", "usage")
    assert "nothing" in ran.error["message"]


def test_activity_of_a_time_is_whole_and_of_one_folder(strict_home: Home) -> None:
    """``--since`` alone has no limit, and a folder that was unlinked and linked again shows both lives."""
    for number in range(120):
        strict_home.write(f"n{number:03}.md", f"{number}\n")
    strict_home.link()
    strict_home.sync(code=0)
    assert len(strict_home.json("activity")) == 100
    assert len(strict_home.json("activity", "--since", "1h")) >= 120
    before = len(strict_home.json("activity", strict_home.folder, "--since", "1h"))
    strict_home.json("unlink", strict_home.folder)
    assert len(strict_home.json("activity", strict_home.folder, "--since", "1h")) == before
    strict_home.link()
    second_folder(strict_home, {"other.md": "x\n"})
    strict_home.sync(code=0)
    shown = strict_home.json("activity", strict_home.folder, "--since", "1h")
    assert len(shown) >= before and {row["root"] for row in shown} == {str(strict_home.folder)}
