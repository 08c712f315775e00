"""Requests that can only be mistakes: each is refused with the reason and the next step, and changes nothing."""

from __future__ import annotations

import json
import os
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from agent.cli.client import AnsweredError
from scenarios.conftest import Machines
from support.processes import Home
from support.servers import StrictServer, sha


def test_a_mistyped_folder_is_neither_made_nor_linked(strict_home: Home) -> None:
    """Only ``--create``, or a source that fills it, makes a folder; the nearest name is shown."""
    typed = strict_home.folder.parent / "note"
    for words in (("link", typed), ("link", typed, "--dry-run"), ("up", typed, "--once")):
        ran = strict_home.run(*words, "--json")
        assert (ran.code, ran.out) == (2, "")
        assert ran.error["hint"] == f"did you mean {strict_home.folder}? (--create makes it)"
    assert not typed.exists() and strict_home.json("status")["sources"] == []
    source = strict_home.json("link", typed, "--create")["source_id"]
    assert typed.is_dir()
    joined = strict_home.folder.parent / "new" / "joined"
    assert strict_home.json("link", joined, "--source", source)["source_id"] == source
    assert joined.is_dir()


@pytest.mark.parametrize("folder", ["/etc", "/usr", "/proc/self", "/", "/home"])
def test_a_folder_of_the_system_is_not_linked(strict_home: Home, folder: str) -> None:
    for words in (("link", folder), ("up", folder, "--once")):
        ran = strict_home.run(*words, "--json")
        if Path(folder).is_dir():
            assert (ran.code, ran.error["code"]) == (2, "usage")
    assert strict_home.json("status")["sources"] == []


def test_a_list_of_sources_makes_no_account(machine: Machines) -> None:
    """With the embedded hub among the accounts, later commands would have to name a server."""
    home = machine()
    assert home.json("sources") == []
    assert home.json("servers") == []
    assert not (home.path / "hub").exists()


def test_the_embedded_hubs_account_is_forgotten_when_unused(machine: Machines) -> None:
    home = machine()
    home.write("a.md", "a\n")
    home.json("up", home.folder, "--once")
    for words in (("logout", "local"), ("logout",)):
        assert home.run(*words).code == 2
    assert home.json("status", "--check")["servers"][0]["state"] == "ok"
    home.json("unlink", home.folder, "--yes")
    assert home.json("logout", "local")["data"] == str(home.path / "hub")
    assert home.json("servers") == [] and home.run("logout", "local").code == 2
    # What the hub holds is still there, and the folder goes on with its source.
    assert home.json("up", home.folder, "--once")["sources"][0]["state"] == "up_to_date"
    assert [source["name"] for source in home.json("sources")] == [home.folder.name]


def test_a_folder_is_explained_as_a_folder(strict_home: Home) -> None:
    """The root and a folder with files are selected; an excluded one names its rule."""
    strict_home.write("sub/a.md", "a\n")
    strict_home.write("node_modules/b.md", "b\n")
    strict_home.write("c.png", "c")
    strict_home.link()
    strict_home.sync()
    found = {name: strict_home.json("explain", strict_home.folder / name) for name in ("", "sub", "node_modules")}
    assert {name: (row["kind"], row["synced"]) for name, row in found.items()} == {
        "": ("folder", True),
        "sub": ("folder", True),
        "node_modules": ("folder", False),
    }
    assert (found["node_modules"]["rule"], found["node_modules"]["origin"]) == ("node_modules", "built-in")
    missed = strict_home.json("explain", strict_home.folder / "c.png")
    assert (missed["kind"], missed["reason"]) == ("file", "no include pattern selects it")


def test_an_unselected_path_is_explained_with_a_pattern(strict_home: Home) -> None:
    """The pattern would have it synced; a file that would be skipped all the same gets the reason in its place."""
    strict_home.write("pics/c.png", "c")
    strict_home.write("d.png", b"\0\0")
    strict_home.write("Makefile", "all:\n")
    strict_home.write("a.md", "a\n")
    strict_home.link("--include", "/notes/**")
    found = {
        name: strict_home.json("explain", strict_home.folder / name) for name in ("pics", "pics/c.png", "Makefile")
    }
    assert {name: row["include"] for name, row in found.items()} == {
        "pics": "/pics/**",
        "pics/c.png": "**/*.png",
        "Makefile": "/Makefile",
    }
    shown = strict_home.run("explain", strict_home.folder / "pics/c.png").out
    assert f"to sync it: raven-agent rules {strict_home.folder} --include '**/*.png'" in shown
    binary = strict_home.json("explain", strict_home.folder / "d.png")
    assert binary["include"] is None
    assert binary["reason"] == "no include pattern selects it, and it would be skipped: not text"
    for row in found.values():
        strict_home.json("rules", strict_home.folder, "--include", row["include"])
    assert all(strict_home.json("explain", strict_home.folder / name)["synced"] for name in found)


@pytest.mark.parametrize("sent", [False, True])
def test_a_deleted_file_is_explained_with_its_versions(strict_home: Home, sent: bool) -> None:
    """Before and after the delete has reached the server; a name that was never there gets only a question."""
    strict_home.write("stays.md", "stays\n")
    file = strict_home.write("a.md", "a\n")
    strict_home.link()
    file.unlink()
    if sent:
        strict_home.sync(code=0)
    shown = strict_home.run("explain", file).out
    assert f"1 earlier version on the server: raven-agent history {file}" in shown
    assert f"to bring it back: raven-agent restore {file} --version HASH" in shown
    never = strict_home.run("explain", strict_home.folder / "never.md").out
    assert f"if it was there once: raven-agent history {strict_home.folder / 'never.md'}" in never


def test_a_version_is_chosen_only_by_a_unique_prefix(strict_home: Home, strict: StrictServer) -> None:
    """A prefix that a text of the trash and one of the server share names none of them; a whole hash names one."""
    local, remote = _texts_with_one_prefix()
    strict_home.write("a.md", local)
    source = strict_home.link()
    strict_home.sync(code=0)
    strict.replace(source, "a.md", remote)
    strict_home.sync(code=0)
    strict.replace(source, "a.md", "last\n")
    strict_home.sync(code=0)
    file = strict_home.folder / "a.md"
    ran = strict_home.run("restore", file, "--version", sha(local)[:1], "--json")
    assert (ran.code, ran.error["code"]) == (2, "usage")
    assert file.read_text() == "last\n"
    for text in (local, remote):
        strict_home.json("restore", file, "--version", sha(text))
        assert file.read_text() == text


def _texts_with_one_prefix() -> tuple[str, str]:
    """Two texts whose hashes begin with the same digit, and that of ``last`` with another."""
    first = next(text for n in count() if sha(text := f"first {n}\n")[0] != sha("last\n")[0])
    return first, next(text for n in count() if sha(text := f"second {n}\n")[0] == sha(first)[0])


def test_a_resolution_says_which_conflicts_it_is_about(strict_home: Home, strict: StrictServer) -> None:
    """A request without any choice of conflicts must not mean all of them."""
    strict_home.write("a.md", "first\n")
    source = strict_home.link()
    strict_home.sync(code=0)
    strict_home.write("a.md", "mine\n")
    strict.replace(source, "a.md", "theirs\n")
    strict_home.sync(code=3)
    with strict_home.daemon() as daemon:
        choices: tuple[dict[str, object], ...] = ({}, {"all": True, "ids": ["1"]}, {"ids": []})
        for chosen in choices:
            with pytest.raises(AnsweredError) as refused:
                daemon.call("resolve", choice="keep_raven", **chosen)
            assert refused.value.code == "usage"
        assert len(daemon.call("conflicts")) == 1
        assert daemon.call("resolve", choice="keep_raven", all=True)["resolved"][0]["state"] == "resolved"


def test_a_folder_whose_name_is_not_utf8_is_named(strict_home: Home) -> None:
    """A refusal that quotes it comes with U+FFFD; it used to be an answer that made no sense."""
    folder = strict_home.folder.parent / os.fsdecode(b"odd\xff")
    folder.mkdir()
    (folder / "a.md").write_text("a\n")
    strict_home.folder = folder
    with strict_home.daemon():
        for words in (("files", "."), ("unlink", "."), ("conflicts", ".")):
            ran = strict_home.run(*words, "--json")
            assert (ran.code, ran.error["code"]) == (2, "usage")
            assert "odd\ufffd is not linked" in ran.error["message"]
        ran = strict_home.run("diff", "7", "--json")
        assert (ran.code, ran.error["message"]) == (2, "no open conflict '7'")


def test_an_unlinked_folder_goes_on_with_its_source(strict_home: Home) -> None:
    """FRICTION 24: neither `link` nor `up` makes a second source of one name; equal files are adopted."""
    strict_home.write("a.md", "a\n")
    first = strict_home.link()
    for words in (("link", "--wait"), ("up", "--once", "--server", "raven")):
        strict_home.json("unlink", strict_home.folder)
        strict_home.json("trash", "prune")
        planned = strict_home.json("link", strict_home.folder, "--dry-run")
        assert (planned["earlier"], planned["source_id"], planned["plan"]["adopt"]) == (True, first, 1)
        assert "linked with before" in strict_home.run("link", strict_home.folder, "--dry-run").out
        strict_home.json(words[0], strict_home.folder, *words[1:])
        assert [(s["id"], s["root"]) for s in strict_home.json("sources")] == [(first, str(strict_home.folder))]


def test_another_folder_of_an_old_name_gets_its_own_source(strict_home: Home, strict: StrictServer) -> None:
    """A new folder would be filled with the old one's files; one edited since asks before files are mixed."""
    file = strict_home.write("a.md", "a\n")
    first = strict_home.link()
    strict_home.json("unlink", strict_home.folder)
    file.write_text("edited\n")
    assert strict_home.run("up", strict_home.folder, "--once", "--server", "raven").code == 2
    assert strict_home.json("sources")[0]["root"] is None
    strict_home.folder.rename(strict_home.folder.with_name("kept"))
    strict_home.write("b.md", "b\n")
    again = strict_home.json("link", strict_home.folder)
    assert (again["earlier"], again["twins"]) == (False, [first])
    assert strict_home.texts() == {"b.md": "b\n"} and strict.text(first, "a.md") == "a\n"


def test_a_second_source_of_one_name_is_pointed_out(strict_home: Home) -> None:
    """A name asks for another source; the one that was left is named, with the way to it."""
    strict_home.write("a.md", "a\n")
    first = strict_home.link()
    strict_home.json("unlink", strict_home.folder)
    own = ("--name", strict_home.folder.name)
    planned = strict_home.run("link", strict_home.folder, "--dry-run", *own)
    assert f"raven-agent link {strict_home.folder} --source {first}" in planned.out
    second = strict_home.json("link", strict_home.folder, *own)
    assert second["twins"] == [first] and second["source_id"] != first
    strict_home.json("unlink", strict_home.folder, "--yes")
    joined = strict_home.json("link", strict_home.folder, "--source", first)
    assert (joined["source_id"], joined["twins"], joined["plan"]["adopt"]) == (first, [], 1)


def test_a_folder_that_moved_is_named_with_the_command(strict_home: Home) -> None:
    """The state is a stop, and the message says how it goes on."""
    strict_home.write("a.md", "a\n")
    strict_home.link()
    moved = strict_home.folder.rename(strict_home.folder.parent / "elsewhere")
    [error] = strict_home.sync(code=6)["errors"]
    assert error["message"].endswith(f"if it was moved: raven-agent move {strict_home.folder} NEW")
    strict_home.json("move", strict_home.folder, moved)
    assert strict_home.sync(code=0)["errors"] == []


def test_a_folder_that_is_not_linked_is_named_with_the_near_one(strict_home: Home) -> None:
    strict_home.write("sub/a.md", "a\n")
    strict_home.link()
    typed = strict_home.folder.parent / "note"
    assert strict_home.run("status", typed, "--json").error["hint"] == f"did you mean {strict_home.folder}?"
    below = strict_home.run("status", strict_home.folder / "sub", "--json").error
    assert below["hint"] == f"it lies in {strict_home.folder}, which is linked"


def test_a_bad_server_address_of_the_shell_is_always_refused(strict_home: Home) -> None:
    """It would be ignored without a word otherwise, because the daemon answers with its own settings."""
    with strict_home.daemon():
        strict_home.extra["RAVEN_SERVER_URL"] = "nonsense"
        ran = strict_home.run("status", "--json")
    assert (ran.code, ran.error["code"]) == (2, "config")
    assert "RAVEN_SERVER_URL=nonsense" in ran.error["message"]


def test_a_request_that_is_no_object_is_a_usage_error(strict_home: Home) -> None:
    """The agent logs a failure only for its own faults, so this is none."""
    import socket

    with strict_home.daemon():
        for body in (b"[1]", b"{", b'"x"'):
            with socket.socket(socket.AF_UNIX) as line:
                line.connect(str(strict_home.path / "agent.sock"))
                head = b"POST /v1/status_watch HTTP/1.0\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
                line.sendall(head % len(body) + body)
                answer = b"".join(iter(partial(line.recv, 65_536), b""))
            assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "usage"
    assert "Traceback" not in strict_home.log()
