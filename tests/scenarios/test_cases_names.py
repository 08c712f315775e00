"""Names (PN): two that a disk takes for one, new spellings of one, and those no system likes."""

from __future__ import annotations

import base64
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from scenarios.conftest import Machines
from scenarios.disks import FoldingHome, folding_mount
from support.eventually import eventually
from support.processes import Daemon, Home
from support.servers import StrictServer, sha
from support.wait_idle import assert_equal, lost, settle

TWINS = {"notes.md": "lower\n", "Notes.md": "upper\n", "Work/a.md": "in Work\n", "work/A.md": "in work\n"}


@contextlib.contextmanager
def _disk(kind: str, top: Path) -> Iterator[Home]:
    if kind == "folds-by-mount":
        home = Home(top)
        with folding_mount(home.folder, top / "image"):
            yield home
    else:
        yield FoldingHome(top) if kind == "folds" else Home(top)


@pytest.fixture(params=["folds", "folds-by-mount"])
def folding(request: pytest.FixtureRequest, tmp_path: Path, strict: StrictServer) -> Iterator[Home]:
    """A signed-in machine whose disk takes names that differ in case for one."""
    with _disk(request.param, tmp_path) as home:
        home.login(strict)
        yield home


@pytest.fixture(params=["tells-apart", "folds", "folds-by-mount"])
def any_disk(request: pytest.FixtureRequest, tmp_path: Path, strict: StrictServer) -> Iterator[Home]:
    """A signed-in machine on an ordinary disk, and on those that fold case."""
    with _disk(request.param, tmp_path) as home:
        home.login(strict)
        yield home


def _linked(home: Home, daemon: Daemon, source: str | None = None) -> str:
    """Links through the daemon, for only that sees the folder as the disk is meant to be."""
    joined = {} if source is None else {"source": source}
    made = daemon.call("link", folder=str(home.folder), **joined)
    daemon.call("sync")
    return str(made["source_id"])


def _skipped(daemon: Daemon) -> dict[str, str]:
    report = daemon.call("sync")["sources"][0]
    return {row["path"]: row["reason"] for row in report["skipped"]}


def test_pn1_of_two_colliding_names_neither_is_overwritten(folding: Home, strict: StrictServer) -> None:
    """Files and folders; the server keeps every text, whatever is edited on either side afterwards."""
    source = strict.new_source()
    for path, text in (TWINS | {"other.md": "other\n"}).items():
        strict.put(source, path, text)
    with folding.daemon() as daemon:
        _linked(folding, daemon, source)
        settle([daemon])
        here = folding.texts()
        assert here["other.md"] == "other\n"
        assert {path: TWINS[path] for path in here if path != "other.md"} == {
            path: text for path, text in here.items() if path != "other.md"
        }
        assert len(here) == 3
        told = _skipped(daemon)
        assert told.keys() == TWINS.keys() - here.keys()
        settle([daemon])
        assert strict.hashes(source) == {path: sha(text) for path, text in (TWINS | {"other.md": "other\n"}).items()}
        mine = next(path for path in here if path.lower() == "notes.md")
        [theirs] = {"notes.md", "Notes.md"} - {mine}
        folding.write(mine, "edited here\n")
        strict.replace(source, theirs, "edited there\n")
        settle([daemon])
        assert folding.texts()[mine] == strict.text(source, mine) == "edited here\n"
        assert strict.text(source, theirs) == "edited there\n"
        assert daemon.call("conflicts") == []
        strict.remove(source, mine)
        eventually(lambda: folding.texts().get(theirs) == "edited there\n", what="the twin comes once there is room")
        assert mine not in folding.files()
        assert _skipped(daemon).keys() <= TWINS.keys() - {theirs, mine}
    assert strict.text(source, theirs) == "edited there\n"


@pytest.mark.parametrize(("old", "new"), [("Notes.md", "notes.md"), ("Work", "work")], ids=["file", "folder"])
def test_pn2_a_rename_that_changes_only_case_deletes_nothing(
    any_disk: Home, strict: StrictServer, machine: Machines, old: str, new: str
) -> None:
    """The server has the files under the new name before it loses the old one; another machine follows; nothing is
    lost, nothing is parked, and at rest everybody has only the new name.
    """
    for path in ("Notes.md", "Work/a.md", "Work/deep/b.md"):
        any_disk.write(path, f"text of {path.lower()}\n")
    other = machine("other")
    other.login(strict)
    with any_disk.daemon() as daemon, other.daemon() as follower:
        source = _linked(any_disk, daemon)
        _linked(other, follower, source)
        (any_disk.folder / old).rename(any_disk.folder / new)
        expected = {path.replace(old, new): text for path, text in other.texts().items()}
        settle([daemon, follower])
        assert any_disk.texts() == expected
        assert daemon.call("conflicts") == follower.call("conflicts") == []
        settle([daemon, follower])
    assert_equal(source, strict, [any_disk, other])
    assert other.texts() == expected
    moved = {path for path in expected if path.startswith(new)}
    kinds = [(event["type"], event["relativePath"]) for event in strict.client.events(source)]
    for path in moved:
        assert kinds.index(("file.upsert", path)) < kinds.index(("file.delete", path.replace(new, old)))


@pytest.mark.parametrize(("old", "new"), [("Notes.md", "notes.md"), ("Work", "work")], ids=["file", "folder"])
def test_pn2_a_remote_case_rename_arrives_and_deletes_nothing(
    any_disk: Home, strict: StrictServer, machine: Machines, old: str, new: str
) -> None:
    """The upsert of the new name comes before the delete of the old one: the file stands there at the end."""
    other = machine("other")
    other.login(strict)
    for path in ("Notes.md", "Work/a.md", "Work/deep/b.md"):
        other.write(path, f"text of {path.lower()}\n")
    with any_disk.daemon() as daemon, other.daemon() as renamer:
        source = _linked(other, renamer)
        _linked(any_disk, daemon, source)
        (other.folder / old).rename(other.folder / new)
        expected = other.texts()
        settle([renamer, daemon])
        eventually(lambda: any_disk.texts() == expected, what="the new name is here")
        settle([renamer, daemon])
        assert daemon.call("conflicts") == renamer.call("conflicts") == []
    assert_equal(source, strict, [any_disk, other])
    assert other.texts() == expected
    assert lost(expected.values(), source, strict, [any_disk]) == set()


HERE = {
    "CON.md": b"con\n",
    "aux": b"aux\n",
    "ends-with-a-dot.": b"dot\n",
    "a:b.md": b"a drive's letter\n",
    "what: this.md": b"colon\n",
    "new\nline.md": b"newline\n",
    os.fsdecode(b"not-utf-8-\xff.md"): b"bytes\n",
    "n" * 252 + ".md": b"255 bytes\n",
}
UNFIT = {"a:b.md", "new\nline.md", os.fsdecode(b"not-utf-8-\xff.md")}


def _as_told(path: str) -> str:
    return os.fsencode(path).decode("utf-8", "replace")


def test_pn4_awkward_names_are_sent_or_reported_one_by_one(strict_home: Home, strict: StrictServer) -> None:
    """From this disk: what the server can hold goes there, the others are skipped by name, and the rest syncs."""
    for path, content in HERE.items():
        strict_home.write(path, content)
    source = strict_home.link("--include", "**", codes=(0, 1))
    fit = HERE.keys() - UNFIT
    assert strict.hashes(source) == {path: sha(HERE[path].decode()) for path in fit}
    report = strict_home.sync()
    assert {row["path"] for row in report["skipped"]} == {_as_told(path) for path in UNFIT}
    assert {row["reason"] for row in report["skipped"]} == {"bad_name"}
    [odd] = [row for row in report["skipped"] if "path_base64" in row]
    assert base64.b64decode(odd["path_base64"]) == b"not-utf-8-\xff.md"
    strict_home.write("rest.md", "rest\n")
    strict.replace(source, "what: this.md", "edited there\n")
    strict_home.sync()
    assert strict.text(source, "rest.md") == "rest\n"
    assert strict_home.texts()["what: this.md"] == "edited there\n"
    there = {os.fsencode(path) for path in HERE} | {b"rest.md"}
    assert {os.fsencode(name) for name in os.listdir(strict_home.folder)} == there


def test_pn4_awkward_server_names_are_installed_or_reported(strict_home: Home, strict: StrictServer) -> None:
    """256 bytes fit on no disk, a newline into no list: both are named, and everything else arrives."""
    too_long = ("n" * 253 + ".md", "\u00e9" * 126 + "n.md")
    assert [len(name.encode()) for name in too_long] == [256, 256]
    fit = {"CON.md": "con\n", "aux.md": "aux\n", "what: this.md": "colon\n", "dir./x.md": "dot\n"}
    unfit = dict.fromkeys((*too_long, "a:b.md", "new\nline.md", "tab\t.md"), "unfit\n")
    source = strict.new_source()
    for path, text in (unfit | fit).items():
        strict.put(source, path, text)
    strict_home.link("--source", source, codes=(0, 1))
    report = strict_home.sync()
    assert strict_home.texts() == fit
    assert {row["path"] for row in report["skipped"]} == unfit.keys()
    strict.put(source, "later.md", "later\n")
    strict_home.sync()
    assert strict_home.texts() == fit | {"later.md": "later\n"}
    assert strict.hashes(source).keys() == fit.keys() | unfit.keys() | {"later.md"}
