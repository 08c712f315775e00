"""A disk that is full while a file comes from the server (CR6)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from crashes.kill_points import MortalHome, link_params
from support.eventually import eventually
from support.processes import Daemon
from support.servers import HubServer
from support.small_disk import fill, mounted

OLD = "old line\n" * 100
NEW = "new line\n" * 40_000
RETRIED_BY_ITSELF_SECONDS = 60.0


@dataclass(frozen=True)
class Disk:
    """A machine on a disk that can be filled.

    Attributes:
        fill, free: leave no room for ``NEW``; make room again.
    """

    home: MortalHome
    fill: Callable[[], object]
    free: Callable[[], object]

    def text(self, path: str) -> str | None:
        """What stands at a path of the folder."""
        with contextlib.suppress(FileNotFoundError):
            return (self.home.folder / path).read_text()
        return None


@pytest.fixture(params=["small-file-system", "refused-writes"])
def disk(request: pytest.FixtureRequest, tmp_path: Path, hub: HubServer) -> Iterator[Disk]:
    """A file system that is really full, and one whose writes fail half way."""
    home = MortalHome(tmp_path, "one", hub)
    if request.param == "refused-writes":
        full = tmp_path / "full"
        home.flags = ("--full", str(full))
        yield Disk(home, full.touch, full.unlink)
        return
    ballast = home.folder / "ballast.bin"
    with mounted(home.folder):
        yield Disk(home, lambda: ballast.write_bytes(bytes(900_000)), ballast.unlink)


def refused(daemon: Daemon) -> set[str]:
    """The paths of which a pass says that the disk refused them."""
    errors = daemon.call("sync")["sources"][0]["errors"]
    return {error["path"] for error in errors if error["code"] == "disk"}


def begin(disk: Disk, daemon: Daemon, hub: HubServer) -> str:
    """Two old files are in step; then the disk is full and the server has news for one, and a third file."""
    for path in ("a.md", "b.md"):
        disk.home.write(path, OLD)
    source = str(daemon.call("link", **link_params(disk.home))["source_id"])
    daemon.call("sync")
    disk.fill()
    hub.replace(source, "a.md", NEW)
    hub.put(source, "new.md", NEW)
    return source


def slots(disk: Disk) -> list[str]:
    """Whatever stands on its way in or out."""
    places = (disk.home.path / "slots", disk.home.folder / ".raven-agent" / "slots")
    return [str(file) for place in places for file in place.rglob("*") if file.is_file()]


def test_cr6_a_full_disk_keeps_the_old_file_and_says_so(disk: Disk, hub: HubServer) -> None:
    """The old file is intact, the new one is not there in part, both are named; with room again a retry brings them."""
    with disk.home.daemon() as daemon:
        source = begin(disk, daemon, hub)
        eventually(lambda: refused(daemon) == {"a.md", "new.md"}, what="the refusal is told")
        told = daemon.source()
        assert (told["state"], told["error"]["code"], told["pending_pull"]) == ("error", "disk", 2)
        assert "the disk is full" in told["error"]["message"]
        assert (disk.text("a.md"), disk.text("b.md"), disk.text("new.md")) == (OLD, OLD, None)
        assert slots(disk) == []
        assert hub.text(source, "a.md") == hub.text(source, "new.md") == NEW
        disk.free()
        daemon.call("retry")
        eventually(lambda: disk.text("a.md") == disk.text("new.md") == NEW, what="the files come")
        eventually(lambda: daemon.source()["state"] == "up_to_date", what="all is well")
    assert slots(disk) == []
    assert [kind for kind, _ in hub.events(source, "a.md")] == ["file.upsert"] * 2


@pytest.mark.long
def test_cr6_goes_on_by_itself_when_there_is_room(disk: Disk, hub: HubServer) -> None:
    """Nobody need ask: within a minute of there being room the files are there."""
    with disk.home.daemon() as daemon:
        begin(disk, daemon, hub)
        eventually(lambda: "a.md" in refused(daemon), what="the refusal is told")
        disk.free()
        eventually(lambda: disk.text("a.md") == disk.text("new.md") == NEW, RETRIED_BY_ITSELF_SECONDS, "the files come")


def test_cr6_a_full_disk_under_the_index_stops_the_source(tmp_path: Path, hub: HubServer) -> None:
    """Nothing is sent or forgotten meanwhile, the state says why, the index is not thrown away; then all goes on."""
    home = MortalHome(tmp_path, "one", hub)
    home.path.mkdir()
    with mounted(home.path, "4m"):
        with home.daemon() as daemon:
            source = str(daemon.call("link", **link_params(home))["source_id"])
            home.write("a.md", "one\n")
            daemon.call("sync")
            fill(home.path / "ballast.bin")
            for number in range(200):
                home.write(f"n{number:03}.md", f"text {number}\n" * 20)
            eventually(lambda: daemon.source()["state"] == "error", what="the state says that something is wrong")
            assert "the index cannot be used" in daemon.source()["error"]["message"]
            (home.path / "ballast.bin").unlink()
            eventually(lambda: daemon.source()["state"] == "up_to_date", RETRIED_BY_ITSELF_SECONDS, "it goes on")
            assert len(hub.hashes(source)) == 201
            fill(home.path / "ballast.bin")
        refused = home.run("run", seconds=30)
        assert refused.code == 1 and "the index cannot be used now" in refused.err, refused
        assert not list(home.path.glob("*.damaged-*"))
