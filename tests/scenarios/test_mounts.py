"""FD2, FD6, FD7: mounts that vanish and return under a running agent, on real file systems."""

from __future__ import annotations

import subprocess
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from support.eventually import eventually
from support.mounts import bind_mounted, fuse_mounted, image_mounted, unmount
from support.processes import Home
from support.servers import Server, sha
from support.wait_idle import settle

_FILES = {f"bound/n{number}.md": f"text {number}\n" for number in range(15)}


def bound(home: Home, tmp_path: Path) -> tuple[Path, Path]:
    """A folder outside with fifteen files, and the empty folder of the root it is to be mounted at."""
    source = tmp_path / "elsewhere"
    source.mkdir()
    for path, text in _FILES.items():
        (source / Path(path).name).write_text(text)
    home.write("top.md", "top\n")
    point = home.folder / "bound"
    point.mkdir()
    return source, point


def test_fd2_a_running_agent_keeps_files_of_a_vanished_mount(home: Home, server: Server, tmp_path: Path) -> None:
    """FD2: it notices within seconds, deletes and writes nothing, and goes on when the mount is back."""
    outside, point = bound(home, tmp_path)
    with bind_mounted(outside, point):
        source = home.link()
        assert len(server.hashes(source)) == 16
        with home.daemon() as daemon:
            daemon.call("sync")
            before = server.events(source)
            unmount(point)
            eventually(lambda: "bound" in str(daemon.source()), 8, "the lost mount is reported")
            server.put(source, "bound/new.md", "from elsewhere\n")
            home.write("later.md", "later\n")
            settle([daemon])
            assert "file.delete" not in [kind for kind, _ in server.events(source)[len(before) :]]
            assert list(point.iterdir()) == []
            with bind_mounted(outside, point):
                eventually(lambda: "not mounted" not in str(daemon.source()), 8, "the mount is found again")
                settle([daemon])
                assert set(_FILES) < set(server.hashes(source))
                assert server.hashes(source)["later.md"] == sha("later\n")


def test_fd2_a_stopped_agent_keeps_files_of_a_vanished_mount(home: Home, server: Server, tmp_path: Path) -> None:
    """FD2: it was unmounted between two single passes."""
    outside, point = bound(home, tmp_path)
    with bind_mounted(outside, point):
        source = home.link()
    home.sync()
    assert set(_FILES) < set(server.hashes(source))
    assert list(point.iterdir()) == []


@pytest.mark.parametrize("kind", ["image", "fuse"])
def test_fd6_fd7_a_root_is_unmounted_at_rest_and_mounted_again(
    home: Home, server: Server, tmp_path: Path, kind: str
) -> None:
    """FD6, FD7: five seconds of rest, then it can be unmounted; edited and mounted again, the agent goes on."""
    image, below = tmp_path / "image", tmp_path / "below"
    below.mkdir()

    def mounted() -> AbstractContextManager[None]:
        return image_mounted(home.folder, image) if kind == "image" else fuse_mounted(below, home.folder)

    with mounted():
        home.write("a.md", "one\n")
        source = home.link()
        with home.daemon() as daemon:
            daemon.call("sync")
            home.write("b.md", "two\n")
            eventually(lambda: "b.md" in server.hashes(source), what="the save arrives")
            settle([daemon])
            eventually(lambda: _unmounted(home.folder), 6, "the disk can be unmounted")
            eventually(lambda: daemon.source()["state"] == "halted", 8, "the missing root is reported")
            assert set(server.hashes(source)) == {"a.md", "b.md"}
            if kind == "fuse":
                (below / "a.md").write_text("edited while away\n")
            with mounted():
                eventually(lambda: daemon.source()["state"] == "up_to_date", 15, "it goes on by itself")
                home.write("c.md", "three\n")
                eventually(lambda: server.hashes(source).get("c.md") == sha("three\n"), what="a save is noticed")
                settle([daemon])
                if kind == "fuse":
                    assert server.hashes(source)["a.md"] == sha("edited while away\n")
                eventually(lambda: _unmounted(home.folder), 6, "the disk can be unmounted again")


def _unmounted(folder: Path) -> bool:
    return subprocess.run(["umount", str(folder)], capture_output=True, check=False).returncode == 0
