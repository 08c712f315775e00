"""``show``: the bytes of one version on stdout, whoever keeps them."""

from __future__ import annotations

from pathlib import Path

from scenarios.conftest import on_both
from support.processes import Home
from support.servers import Server, StrictServer, sha

FIRST, SECOND = "first\r\n\tline \u00e4", "second\n"


@on_both
def test_a_version_of_the_server_and_of_the_trash_is_shown(home: Home, server: Server) -> None:
    """Byte for byte, without a changed folder; by default the server's present version, not the file's own."""
    home.write("a.md", FIRST.encode())
    source = home.link()
    server.replace(source, "a.md", SECOND)
    assert home.run("show", "a.md").out == SECOND
    home.sync(code=0)
    home.write("a.md", "not sent\n")
    for words, text in ((("--version", sha(FIRST)[:8]), FIRST), ((), SECOND), (("-q",), SECOND)):
        ran = home.run("show", home.folder / "a.md", *words)
        assert (ran.code, ran.err) == (0, "")
        assert ran.out.encode() == text.encode()
    assert home.texts() == {"a.md": "not sent\n"}
    assert home.run("show", "a.md", "--version", "0000").code == 2


def test_a_file_that_the_server_lacks_is_a_usage_error(strict_home: Home, strict: StrictServer) -> None:
    """The way to its older versions is named; an unreachable server is not an empty file."""
    strict_home.write("a.md", FIRST)
    source = strict_home.link()
    strict.remove(source, "a.md")
    ran = strict_home.run("show", "a.md")
    assert (ran.code, ran.out) == (2, "")
    assert "history" in ran.err
    strict.down()
    ran = strict_home.run("show", "a.md")
    assert (ran.code, ran.out) == (5, "")


def test_a_path_outside_every_folder_is_a_usage_error(strict_home: Home, tmp_path: Path) -> None:
    assert strict_home.run("show", tmp_path / "a.md").code == 2
