"""``restore FOLDER --at``: a whole folder as it was at a time, and the way back."""

from __future__ import annotations

import datetime as dt
import json

import pytest

from agent.core.errors import AgentError
from scenarios.conftest import on_both
from support.processes import Home
from support.servers import Server, sha


def just_after_the_last_change(home: Home) -> str:
    """A time after everything so far. Each later change comes from another process, so that it is later still."""
    last = dt.datetime.fromisoformat(home.json("activity", "--limit", "1")[-1]["at"])
    return (last + dt.timedelta(milliseconds=1)).isoformat()


def prepared(home: Home) -> tuple[str, str]:
    """Change a synced folder, and return the time before the changes and the source's id."""
    for name in ("kept", "edited", "deleted"):
        home.write(f"{name}.md", f"{name} then\n")
    source = home.link()
    home.sync(code=0)
    at = just_after_the_last_change(home)
    home.write("edited.md", "edited now\n")
    home.write("made.md", "made now\n")
    (home.folder / "deleted.md").unlink()
    home.sync(code=0)
    return at, source


THEN = {"kept.md": "kept then\n", "edited.md": "edited then\n", "deleted.md": "deleted then\n"}
NOW = {"kept.md": "kept then\n", "edited.md": "edited now\n", "made.md": "made now\n"}


@on_both
def test_a_folder_goes_back_to_a_time_and_forward_again(home: Home, server: Server) -> None:
    at, _ = prepared(home)
    ran = home.run("restore", home.folder, "--at", at, "--dry-run")
    assert ran.code == 0
    assert home.texts() == NOW
    ran = home.run("restore", home.folder, "--at", at)
    assert ran.code == 2
    assert "--yes" in ran.err
    assert home.texts() == NOW
    ran = home.run("restore", home.folder, "--at", at, "--yes", "--json")
    assert ran.code == 0, ran.err
    assert {row["path"]: row["step"] for row in json.loads(ran.out)["files"]} == {
        "deleted.md": "restore",
        "edited.md": "restore",
        "made.md": "remove",
    }
    assert home.texts() == THEN
    home.sync(code=0)
    assert home.texts() == THEN
    ran = home.run("restore", home.folder, "--undo", "--yes")
    assert ran.code == 0, ran.err
    assert home.texts() == NOW
    assert home.run("restore", home.folder, "--undo", "--yes").code == 2


def test_an_unsent_edit_is_sent_before_and_comes_back(home: Home, server: Server) -> None:
    """An edit that no server had yet is a version like any other."""
    at, _ = prepared(home)
    home.write("edited.md", "edited, never sent\n")
    home.write("new.md", "new, never sent\n")
    shown = home.json("restore", home.folder, "--at", at, "--dry-run")
    assert {row["path"] for row in shown["files"]} == {"deleted.md", "edited.md", "made.md", "new.md"}
    done = home.json("restore", home.folder, "--at", at, "--yes")
    assert done["plan"] == shown["plan"]
    assert home.texts() == THEN
    history = json.loads(home.run("history", "edited.md", "--json").out)
    assert sha("edited, never sent\n") in {row["hash"] for row in history}


def test_a_file_that_changed_after_the_rewind_stays(home: Home, server: Server) -> None:
    at, _ = prepared(home)
    assert home.run("restore", home.folder, "--at", at, "--yes").code == 0
    home.write("edited.md", "written on\n")
    ran = home.run("restore", home.folder, "--undo", "--yes")
    assert ran.code == 1
    assert "changed after the rewind" in ran.out
    assert home.texts() == NOW | {"edited.md": "written on\n"}


def test_a_time_before_the_activity_log_is_refused(home: Home, server: Server) -> None:
    prepared(home)
    ran = home.run("restore", home.folder, "--at", "3d", "--yes")
    assert ran.code == 2
    assert "not known that far back" in ran.err
    assert home.texts() == NOW


def test_a_file_in_conflict_stays_as_it_is(home: Home, server: Server) -> None:
    """A person decides it; the rest goes back."""
    at, source = prepared(home)
    server.replace(source, "edited.md", "edited elsewhere\n")
    home.write("edited.md", "edited here too\n")
    home.sync(code=3)
    ran = home.run("restore", home.folder, "--at", at, "--yes")
    assert ran.code == 1
    assert "edited.md: stays as it is: it has an open conflict" in ran.out
    assert home.texts() == THEN | {"edited.md": "edited here too\n"}


def test_only_the_files_that_were_shown_are_changed(home: Home, server: Server) -> None:
    """Between the list and the answer of the person a file was saved: the list is shown again."""
    at, _ = prepared(home)
    with home.daemon() as agent:
        shown = agent.call("rewind", folder=str(home.folder), at=at, dry_run=True)
        home.write("kept.md", "saved meanwhile\n")
        home.sync(code=0)
        with pytest.raises(AgentError, match="changed since the files were shown"):
            agent.call("rewind", folder=str(home.folder), at=at, plan=shown["plan"])
        assert home.texts() == NOW | {"kept.md": "saved meanwhile\n"}
        again = agent.call("rewind", folder=str(home.folder), at=at, dry_run=True)
        assert agent.call("rewind", folder=str(home.folder), at=at, plan=again["plan"])["changed"]
        assert home.texts() == THEN


def test_an_undo_that_left_a_file_out_can_be_repeated(home: Home, server: Server) -> None:
    """The record is kept until every file is back."""
    at, _ = prepared(home)
    assert home.run("restore", home.folder, "--at", at, "--yes").code == 0
    home.write("edited.md", "written on\n")
    assert home.run("restore", home.folder, "--undo", "--yes").code == 1
    home.write("edited.md", THEN["edited.md"])
    assert home.run("restore", home.folder, "--undo", "--yes").code == 0
    assert home.texts() == NOW


def test_a_part_of_a_folder_goes_back_alone(home: Home, server: Server) -> None:
    """A folder in the linked one, or a single file, is brought back; the rest stays as it is now."""
    home.write("sub/a.md", "a then\n")
    home.write("sub/b.md", "b then\n")
    home.write("sub-2.md", "beside then\n")
    at, _ = prepared(home)
    for name in ("sub/a.md", "sub/b.md", "sub-2.md"):
        home.write(name, "now\n")
    done = home.json("restore", home.folder / "sub" / "a.md", "--at", at, "--yes")
    assert [row["path"] for row in done["files"]] == ["sub/a.md"]
    done = home.json("restore", home.folder / "sub", "--at", at, "--yes")
    assert [row["path"] for row in done["files"]] == ["sub/b.md"]
    assert home.texts() == {**NOW, "sub/a.md": "a then\n", "sub/b.md": "b then\n", "sub-2.md": "now\n"}
