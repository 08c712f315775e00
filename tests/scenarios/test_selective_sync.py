"""Selective sync: folders that the server's preferences leave out on one machine. They are deleted nowhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx

from scenarios.conftest import Machines
from support.eventually import eventually
from support.processes import Home
from support.servers import Server

LARGE = b"\0large" * 400_000
"""2.4 MB: more than travels inline, so it is downloaded on its own."""


class Api:
    """The hub's ScaiDrive API as another program of the same account uses it, for one share and one machine."""

    def __init__(self, server: Server, share: str, home: Home) -> None:
        self._share = share
        self._http = httpx.Client(
            base_url=f"{server.url}/api/v1/", headers={"Authorization": f"Bearer {server.token}"}, trust_env=False
        )
        (registry,) = (found for found in home.path.rglob("registry.json"))
        (drive,) = (row for row in json.loads(registry.read_text())["servers"] if row["name"] == "drive")
        self._preferences = f"sync/devices/{drive['connector_id']}/preferences"

    def __enter__(self) -> Api:
        return self

    def __exit__(self, *_failure: object) -> None:
        self._http.close()

    def _call(self, method: str, path: str, **more: Any) -> Any:
        answer = self._http.request(method, path, **more)
        assert answer.is_success, answer.text
        return answer.json()

    def folder(self, name: str) -> str:
        """The id of a folder at the top of the share."""
        found = self._call("GET", "folders/root/children", params={"share_id": self._share})["items"]
        return str(next(item["id"] for item in found if item["name"] == name))

    def rename(self, folder: str, name: str) -> None:
        """Rename a folder."""
        self._call("PATCH", f"folders/{folder}", json={"name": name})

    def prefer(self, **fields: Any) -> None:
        """Set the machine's preference for the share."""
        self._call("PUT", f"{self._preferences}/{self._share}", json=fields)

    def preference(self) -> Any:
        """The machine's preference for the share."""
        return next(r for r in self._call("GET", self._preferences)["preferences"] if r["share_id"] == self._share)


def linked(machine: Machines, server: Server, *names: str) -> tuple[Home, Home, str]:
    """Two machines with one share of any files, and its id. The first machine has written these files."""
    one, two = machine("one"), machine("two")
    for home in (one, two):
        flags = ("--name", "drive", "--dialect", "scaidrive", "--token-stdin")
        ran = home.run("login", server.url, *flags, stdin=server.token)
        assert ran.code == 0, ran
    for name in names:
        one.write(name, f"{name}\n")
    share = one.link("--name", "shared")
    two.link("--source", share)
    assert two.files() == one.files()
    return one, two, share


def test_a_folder_that_is_left_out_stays_on_both_sides(machine: Machines, shared_hub: Server) -> None:
    """Its files are neither fetched, sent nor deleted, whatever is done here; later they are a union again."""
    one, two, share = linked(machine, shared_hub, "keep/a.md", "drop/b.md", "drop/c.md")
    planned = two.json("rules", two.folder, "--no-folder", "drop", "--dry-run")
    assert (planned["stops"], sorted(planned["stopped"]), planned["changed"]) == (2, ["drop/b.md", "drop/c.md"], False)
    ran = two.run("rules", two.folder, "--no-folder", "drop", "--yes")
    assert ran.code == 0, ran
    assert "without these folders: drop" in ran.out
    with Api(shared_hub, share, two) as api:
        assert api.preference()["excluded_folders"] == [api.folder("drop")]
    one.write("keep/a.md", "newer\n")
    one.write("drop/b.md", "newer\n")
    one.write("drop/large.bin", LARGE)
    one.sync(code=0)
    (two.folder / "drop/c.md").unlink()
    two.write("drop/own.md", "only here\n")
    two.sync(code=0)
    one.sync(code=0)
    kept = {"keep/a.md": b"newer\n", "drop/b.md": b"drop/b.md\n", "drop/own.md": b"only here\n"}
    assert two.files() == kept
    assert sorted(one.files()) == ["drop/b.md", "drop/c.md", "drop/large.bin", "keep/a.md"]
    told = two.json("explain", two.folder / "drop/b.md")
    assert (told["synced"], told["rule"], told["origin"]) == (False, "drop/", "server preferences")
    ran = two.run("rules", two.folder, "--folder", "drop")
    assert ran.code == 0, ran
    two.sync()
    one.sync()
    (conflict,) = two.json("conflicts")
    assert conflict["path"] == "drop/b.md"
    assert two.files() == {**one.files(), "drop/b.md": b"drop/b.md\n"}
    assert one.files()["drop/own.md"] == b"only here\n"
    assert one.files()["drop/large.bin"] == LARGE


def test_a_running_agent_follows_preferences(machine: Machines, shared_hub: Server) -> None:
    """A choice by the API, a rename of the chosen folder on the server, a switch to off and back by ``resume``."""
    one, two, share = linked(machine, shared_hub, "keep/a.md", "other/b.md")
    with one.daemon(), two.daemon() as daemon, Api(shared_hub, share, two) as api:
        eventually(lambda: "reports changes as they happen" in two.log(), 30, "the hub reports changes")
        keep = api.folder("keep")
        api.prefer(sync_enabled=True, selected_folders=[keep])
        eventually(lambda: "preferences for this machine changed" in two.log(), 30, "the choice is read")
        one.write("other/new.md", "not for two\n")
        one.write("keep/new.md", "for two\n")
        eventually((two.folder / "keep/new.md").exists, 30, "the chosen folder goes on")
        inode = (two.folder / "keep/a.md").stat().st_ino
        api.rename(keep, "kept")
        eventually((two.folder / "kept/new.md").exists, 30, "the folder is renamed here")
        eventually(lambda: not (two.folder / "keep").exists(), 30, "nothing is left at its old name")
        assert (two.folder / "kept/a.md").stat().st_ino == inode
        assert sorted(two.files()) == ["kept/a.md", "kept/new.md", "other/b.md"]
        one.write("kept/later.md", "later\n")
        eventually((two.folder / "kept/later.md").exists, 30, "the renamed folder is still chosen")
        api.prefer(sync_enabled=False)
        eventually(lambda: daemon.source()["state"] == "paused", 30, "the source is paused")
        assert daemon.source()["paused_by"] == "server"
        assert "switch it off for this machine" in two.run("status").out
        ran = two.run("resume", two.folder)
        assert ran.code == 0, ran
        assert api.preference()["sync_enabled"] is True
        eventually((two.folder / "other/new.md").exists, 30, "everything is kept again")


def test_a_deleted_device_gets_its_choice_back(machine: Machines, shared_hub: Server) -> None:
    """Its machine registers anew and puts its preferences back, so nothing that was left out is fetched."""
    one, two, share = linked(machine, shared_hub, "keep/a.md", "drop/b.md")
    assert two.run("rules", two.folder, "--no-folder", "drop", "--yes").code == 0
    rows = one.json("devices")
    (own,) = [row for row in rows if row["this_machine"]]
    (wanted,) = [row["id"] for row in two.json("devices") if row["this_machine"]]
    (other,) = [row for row in rows if row["id"] == wanted]
    assert (rows[0], other["this_machine"], other["active"]) == (own, False, True)
    assert one.run("devices", "delete", own["id"], "--yes").code == 1
    renamed = one.json("devices", "rename", wanted, "phone")
    assert (renamed["name"], renamed["id"], renamed["action"]) == ("phone", wanted, "rename")
    assert "switched off" in one.run("devices", "disable", "phone").out
    assert {row["id"]: row["active"] for row in one.json("devices")}[wanted] is False
    assert ["phone", "off"] in [line.split()[:2] for line in one.run("devices").out.splitlines()]
    assert one.run("devices", "enable", wanted[:18]).code == 0
    refused = one.run("devices", "new-token", "phone")
    assert refused.code == 1 and "no token of its own" in refused.err
    assert one.run("devices", "delete", "phone").code == 2, "without a terminal the flag is needed"
    assert one.run("devices", "delete", "phone", "--yes").code == 0
    assert wanted not in {row["id"] for row in one.json("devices")}
    assert one.run("devices", "enable", "phone").code == 2

    one.write("drop/new.md", "not for two\n")
    one.sync(code=0)
    two.sync(code=0)
    assert sorted(two.files()) == ["drop/b.md", "keep/a.md"]
    with Api(shared_hub, share, two) as api:
        assert api.preference()["excluded_folders"] == [api.folder("drop")]


def test_a_choice_that_cannot_be_made_says_why(machine: Machines, shared_hub: Server, tmp_path: Path) -> None:
    """A folder that is not there, one outside, the only chosen one, and a server without selective sync."""
    _, two, _ = linked(machine, shared_hub, "a/x.md", "b/x.md")

    def refused(*flags: str) -> str:
        ran = two.run("rules", two.folder, *flags, "--yes")
        assert ran.code == 2, ran
        return ran.err

    assert "no folder missing" in refused("--no-folder", "missing")
    assert "does not lie in" in refused("--folder", str(tmp_path))
    assert "does not lie in" in refused("--folder", "../x")
    assert "leave out everything" in refused("--no-folder", ".")
    assert two.run("rules", two.folder, "--folder", "a", "--yes").code == 0
    assert "only chosen folder" in refused("--no-folder", "a")
    assert "not one of the chosen folders (a)" in refused("--no-folder", "b")
    plain = machine("plain")
    plain.login(shared_hub)
    plain.link()
    ran = plain.run("rules", plain.folder, "--no-folder", "a", "--yes")
    assert ran.code == 2, ran
    assert "no selective sync" in ran.err
