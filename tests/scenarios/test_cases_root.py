"""The root and mass deletes (RT): what is away is not deleted, and many deletes wait for a person."""

from __future__ import annotations

import shutil

import pytest

from scenarios.conftest import Machines
from support.eventually import eventually
from support.processes import Home
from support.servers import Server, sha
from support.wait_idle import assert_equal, settle

PATHS = [f"n{number:02}.md" for number in range(20)]


def linked(home: Home) -> str:
    """A source of twenty files, in step; its id."""
    for path in PATHS:
        home.write(path, f"text of {path}\n")
    return home.link()


def test_rt1_a_root_renamed_away_halts_until_it_is_back(home: Home, server: Server) -> None:
    """No delete reaches the server, and nothing is sent again."""
    source = linked(home)
    away = home.folder.with_name("away")
    with home.daemon() as daemon:
        daemon.call("sync")
        before = server.events(source)
        home.folder.rename(away)
        settle([daemon])
        assert daemon.source()["state"] == "halted"
        settle([daemon])
        assert server.events(source) == before
        away.rename(home.folder)
        settle([daemon])
        assert daemon.source()["state"] == "up_to_date"
        home.write("later.md", "later\n")
        settle([daemon])
    assert server.events(source) == [*before, ("file.upsert", sha("later\n"))]
    assert_equal(source, server, [home])


def test_rt2_an_empty_folder_in_the_roots_place_halts(home: Home, server: Server) -> None:
    """The daemon was stopped meanwhile: nothing is deleted, nothing downloaded into the stranger, code 6."""
    source = linked(home)
    shutil.move(home.folder, home.folder.with_name("away"))
    home.folder.mkdir()
    with home.daemon() as daemon:
        settle([daemon])
        assert daemon.source()["state"] == "halted"
        settle([daemon])
    assert home.run("sync").code == 6
    assert set(server.hashes(source)) == set(PATHS)
    assert home.files() == {}


def test_rt2_a_root_that_was_emptied_halts(home: Home, server: Server) -> None:
    """The same folder, all files gone: held, whatever their number."""
    source = linked(home)
    for path in PATHS:
        (home.folder / path).unlink()
    for _ in range(2):
        assert home.sync(code=6)["state"] == "halted"
        assert set(server.hashes(source)) == set(PATHS)


@pytest.mark.parametrize("side", ["local", "remote"])
def test_rt5_many_deletes_are_held_until_their_plan_is_approved(home: Home, server: Server, side: str) -> None:
    """60% deleted on either side: other changes flow, another plan's id is refused, the right one lets them through."""
    source = linked(home)
    for path in PATHS[:12]:
        if side == "local":
            (home.folder / path).unlink()
        else:
            server.remove(source, path)
    home.write("n19.md", "edited here\n")
    server.replace(source, "n18.md", "edited there\n")
    report = home.sync(code=6)
    assert report["held_deletes"]["count"] == 12
    assert home.texts()["n18.md"] == "edited there\n"
    assert server.text(source, "n19.md") == "edited here\n"
    again = home.sync(code=6)
    assert again["held_deletes"] == report["held_deletes"]
    kept = set(server.hashes(source)) if side == "local" else set(home.files())
    assert kept == set(PATHS)
    assert home.run("sync", "--approve-deletes", "000000000000").code == 2
    home.sync("--approve-deletes", report["held_deletes"]["plan"], code=0)
    assert set(home.files()) == set(PATHS[12:])
    assert_equal(source, server, [home])


@pytest.mark.parametrize("side", ["local", "remote"])
def test_rt5_held_deletes_can_be_undone(home: Home, server: Server, side: str) -> None:
    """The files stand on both sides again."""
    source = linked(home)
    for path in PATHS[:12]:
        if side == "local":
            (home.folder / path).unlink()
        else:
            server.remove(source, path)
    home.sync(code=6)
    assert home.json("sync", "--undo-deletes")["undone"] == 12
    assert home.texts() == {path: f"text of {path}\n" for path in PATHS}
    assert_equal(source, server, [home])


def test_rt9_an_exclude_over_synced_files_deletes_nothing(home: Home, server: Server) -> None:
    """The number of files that stop is shown beforehand; taking the pattern back is a union."""
    source = linked(home)
    shown = home.json("rules", home.folder, "--exclude", "n0*.md", "--dry-run")
    assert (shown["stops"], shown["starts"], shown["changed"]) == (10, 0, False)
    assert home.json("rules", home.folder, "--exclude", "n0*.md", "--yes")["stops"] == 10
    home.write("n00.md", "edited while excluded\n")
    home.sync(code=0)
    assert set(home.files()) == set(server.hashes(source)) == set(PATHS)
    home.sync(code=0)
    assert set(home.files()) == set(server.hashes(source)) == set(PATHS)
    assert server.text(source, "n00.md") == "text of n00.md\n"
    home.json("rules", home.folder, "--remove", "n0*.md")
    home.sync(code=3)
    assert [row["path"] for row in home.json("conflicts")] == ["n00.md"]


def test_rt11_a_deleted_index_is_rebuilt_as_a_union(home: Home, server: Server) -> None:
    """Equal is a no-op, different is a conflict, what one side lacks is copied, nothing is deleted."""
    source = linked(home)
    home.write("n00.md", "edited here\n")
    (home.folder / "n01.md").unlink()
    server.remove(source, "n02.md")
    for file in home.path.glob("index.sqlite*"):
        file.unlink()
    report = home.sync(code=3)
    assert (report["deleted_local"], report["deleted_remote"]) == (0, 0)
    assert [(row["path"], row["kind"]) for row in home.json("conflicts")] == [("n00.md", "no_base")]
    texts = home.texts()
    assert (texts["n00.md"], texts["n01.md"], texts["n02.md"]) == (
        "edited here\n", "text of n01.md\n", "text of n02.md\n",
    )  # fmt: skip
    assert server.text(source, "n00.md") == "text of n00.md\n"
    home.sync(code=3)
    assert set(home.files()) == set(server.hashes(source)) == set(PATHS)


def test_rt13_a_first_link_of_two_full_sides_is_their_union(machine: Machines, server: Server) -> None:
    """The plan says what will happen, file by file, and that happens."""
    source = server.new_source()
    server.put(source, "only-there.md", "there\n")
    server.put(source, "equal.md", "equal\n")
    server.put(source, "differs.md", "differs there\n")
    home = machine()
    home.login(server)
    home.write("only-here.md", "here\n")
    home.write("equal.md", "equal\n")
    home.write("differs.md", "differs here\n")
    home.write("picture.md", b"\x89PNG\0\0")
    planned = home.json("link", home.folder, "--source", source, "--dry-run")
    assert planned["plan"] == {"upload": 1, "download": 1, "adopt": 1, "park": 1, "skip": 1}
    server.put(source, "notes.org", "no pattern selects this\n")
    planned = home.json("link", home.folder.with_name("not-made-yet"), "--source", source, "--dry-run")
    assert planned["plan"] == {"upload": 0, "download": 3, "adopt": 0, "park": 0, "skip": 0}
    assert home.run("link", home.folder, "--source", source).code == 2
    home.link("--source", source, codes=(3,))
    assert home.texts()["only-there.md"] == "there\n"
    assert server.text(source, "only-here.md") == "here\n"
    assert home.texts()["differs.md"] == "differs here\n"
    assert server.text(source, "differs.md") == "differs there\n"
    upserts = [digest for kind, digest in server.events(source) if kind == "file.upsert"]
    assert upserts.count(sha("equal\n")) == 1


def test_rt7_an_unreadable_folder_is_no_delete(powerless: Home, strict: Server) -> None:
    """Its files stay on the server pass after pass, the error names it, other files go on, and it is well again when
    it can be read.
    """
    home = powerless
    home.write("open.md", "open\n")
    home.write("shut/inside.md", "inside\n")
    source = home.link()
    (home.folder / "shut").chmod(0)
    report = home.sync(code=1)
    assert set(strict.hashes(source)) == {"open.md", "shut/inside.md"}
    assert any("shut" in row["path"] for row in report["errors"])
    explained = home.json("explain", home.folder / "shut")
    assert (explained["synced"], explained["state"]) == (False, "skipped") and "cannot be read" in explained["reason"]
    with home.daemon() as daemon:
        eventually(lambda: "shut" in ((daemon.source()["error"] or {}).get("message", "")), what="the error names it")
        home.write("open.md", "edited\n")
        settle([daemon])
        assert daemon.source()["state"] == "error"
    assert strict.text(source, "open.md") == "edited\n"
    assert set(strict.hashes(source)) == {"open.md", "shut/inside.md"}
    (home.folder / "shut").chmod(0o755)
    home.sync(code=0)
