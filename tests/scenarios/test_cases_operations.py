"""Operations (OP): the status is the truth, and a person is told why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from strict_raven.faults import html, unauthorized
from support.processes import Home
from support.servers import Server, StrictServer, sha


def _large(home: Home, strict: StrictServer, source: str) -> None:
    home.write("note.md", "x" * 1_100_000)


def _unreadable(home: Home, strict: StrictServer, source: str) -> None:
    home.write("note.md", "edited\n").chmod(0)


def _server_down(home: Home, strict: StrictServer, source: str) -> None:
    strict.down()


def _signed_out(home: Home, strict: StrictServer, source: str) -> None:
    strict.faulty.inject(unauthorized(), requests=10_000)


def _portal(home: Home, strict: StrictServer, source: str) -> None:
    strict.faulty.inject(html(), requests=10_000)


def _root_away(home: Home, strict: StrictServer, source: str) -> None:
    home.folder.rename(home.folder.with_name("away"))


def _both_edit(home: Home, strict: StrictServer, source: str) -> None:
    home.write("note.md", "mine\n")
    strict.replace(source, "note.md", "theirs\n")


def _emptied(home: Home, strict: StrictServer, source: str) -> None:
    for file in home.folder.iterdir():
        file.unlink()


def _poison(home: Home, strict: StrictServer, source: str) -> None:
    """A path the server answers 500 to."""
    home.write("/".join(sha(f"{n}") + sha(f"-{n}") + sha(f"+{n}") for n in range(18)) + "/note.md", "bad\n")


FAILURES: dict[str, tuple[Callable[[Home, StrictServer, str], None], str, int, str]] = {
    "large": (_large, "up_to_date", 1, "note.md"),
    "unreadable": (_unreadable, "error", 1, "note.md"),
    "server-down": (_server_down, "offline", 5, ""),
    "signed-out": (_signed_out, "signed_out", 4, ""),
    "portal": (_portal, "error", 5, ""),
    "root-away": (_root_away, "halted", 6, "notes"),
    "conflict": (_both_edit, "conflict", 3, ""),
    "emptied": (_emptied, "halted", 6, ""),
    "poison": (_poison, "error", 1, "note.md"),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_op1_the_status_is_never_up_to_date_under_a_failure(
    powerless: Home, strict: StrictServer, failure: str
) -> None:
    """Its state and exit code are the failure's, and it names the path where there is one; so does ``sync``."""
    break_it, state, code, named = FAILURES[failure]
    home = powerless
    home.write("note.md", "base\n")
    home.write("other.md", "base\n")
    source = home.link()
    break_it(home, strict, source)
    ran = home.run("sync", "--json")
    assert (ran.code, ran.document["sources"][0]["state"]) == (code, state)
    ran = home.run("status", "--check", "--json")
    shown = ran.document["sources"][0]
    assert (ran.code, shown["state"]) == (code, state)
    if state not in ("conflict",):
        assert named in shown["error"]["message"]
    assert shown["conflicts"] == (1 if failure == "conflict" else 0)


def test_op1_what_is_not_sent_yet_is_not_up_to_date(strict_home: Home, strict: StrictServer) -> None:
    """Without a daemon ``status`` looks at the disk and asks the server itself."""
    strict_home.write("note.md", "base\n")
    source = strict_home.link()
    assert strict_home.json("status")["sources"][0]["state"] == "up_to_date"
    strict_home.write("note.md", "edited\n")
    strict.put(source, "theirs.md", "theirs\n")
    shown = strict_home.json("status")["sources"][0]
    assert (shown["state"], shown["pending_push"], shown["pending_pull"]) == ("syncing", 1, 1)
    assert strict.text(source, "note.md") == "base\n"
    assert set(strict_home.files()) == {"note.md"}


def test_op3_explain_names_the_pattern_and_where_it_stands(home: Home, server: Server) -> None:
    """Built in, the folder's own ignore files at two levels, this machine's patterns, and a file that is synced."""
    home.write("note.md", "note\n")
    home.write(".gitignore", "# generated\n*.draft.md\n")
    home.write("deep/.ravenignore", "secret*\n")
    for path in ("a.draft.md", "deep/secret.md", "excluded.md", "picture.png", "node_modules/x.md", "binary.md"):
        home.write(path, b"\0\0" if path == "binary.md" else "text\n")
    home.link("--exclude", "excluded*")
    asked = (
        "note.md", "a.draft.md", "deep/secret.md", "excluded.md", "picture.png", "node_modules/x.md", "binary.md",
        "not/there.md",
    )  # fmt: skip
    with home.daemon() as daemon:
        daemon.call("sync")
        said = {path: home.json("explain", home.folder / path) for path in asked}
    assert said["note.md"]["synced"] is True
    assert said["note.md"]["hash"] == said["note.md"]["base_hash"] == said["note.md"]["remote_hash"] == sha("note\n")
    assert said["note.md"]["rule"] == "**/*.md"
    assert (said["a.draft.md"]["rule"], said["a.draft.md"]["synced"]) == ("*.draft.md", False)
    assert ".gitignore" in said["a.draft.md"]["origin"]
    assert said["deep/secret.md"]["rule"] == "secret*"
    assert str(Path("deep") / ".ravenignore") in said["deep/secret.md"]["origin"]
    assert said["excluded.md"]["rule"] == "excluded*"
    assert said["picture.png"]["synced"] is False
    assert said["node_modules/x.md"]["rule"] == "node_modules"
    assert said["node_modules/x.md"]["origin"] == "built-in"
    assert (said["binary.md"]["synced"], said["binary.md"]["state"]) == (False, "skipped")
    assert said["not/there.md"]["hash"] is None
