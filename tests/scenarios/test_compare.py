"""``diff PATH --version``: two versions of a file, or one and the file as it is now."""

from __future__ import annotations

import json

from scenarios.conftest import on_both
from support.processes import Home
from support.servers import Server, StrictServer, sha

FIRST, SECOND, THIRD = "one\ntwo\n", "one\n2\n", "one\n2\nthree\n"


@on_both
def test_versions_are_compared_with_each_other_and_the_file(home: Home, server: Server) -> None:
    home.write("a.md", FIRST)
    source = home.link()
    server.replace(source, "a.md", SECOND)
    home.sync(code=0)
    home.write("a.md", THIRD)
    first, second = sha(FIRST)[:8], sha(SECOND)[:8]
    ran = home.run("diff", "a.md", "--version", first, "--version", second)
    assert ran.code == 0
    assert ran.out.splitlines() == [
        f"--- {sha(FIRST)[:12]}",
        f"+++ {sha(SECOND)[:12]}",
        "@@ -1,2 +1,2 @@",
        " one",
        "-two",
        "+2",
    ]
    ran = home.run("diff", home.folder / "a.md", "--version", second, "--json")
    shown = json.loads(ran.out)
    assert shown["new"] == {"name": "now", "hash": sha(THIRD), "size": len(THIRD)}
    assert shown["diff"][-1] == "+three"
    ran = home.run("diff", "a.md", "--version", first, "--version", first)
    assert (ran.code, "same text" in ran.out + ran.err) == (0, True)


def test_unknown_versions_and_absent_files_are_named(strict_home: Home, strict: StrictServer) -> None:
    """No side is silently taken for an empty text."""
    strict_home.write("a.md", FIRST)
    strict_home.link()
    for words, code in ((("--version", "0000"), 2), (("--version", "1", "--version", "2", "--version", "3"), 2)):
        assert strict_home.run("diff", "a.md", *words).code == code
    (strict_home.folder / "a.md").unlink()
    ran = strict_home.run("diff", "a.md", "--version", sha(FIRST)[:8])
    assert ran.code == 1
    assert "cannot be read" in ran.err


def test_a_binary_version_is_named_and_not_printed(strict_home: Home, strict: StrictServer) -> None:
    strict_home.write("a.md", FIRST)
    strict_home.link()
    (strict_home.folder / "a.md").write_bytes(b"\0\1")
    ran = strict_home.run("diff", "a.md", "--version", sha(FIRST)[:8])
    assert ran.code == 0
    assert "are no text" in ran.out + ran.err
