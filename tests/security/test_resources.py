"""Memory and processor of a daemon under every hostile input: at most 200 MB, and idle within 10 s of its end."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from hub.fixtures import upsert
from security.hostile_server import WildServer
from security.test_answers import ANSWERS
from security.test_paths import HOSTILE
from support.processes import Daemon, Home
from support.resources import MEMORY_LIMIT, comes_to_rest, needs_proc, peak_memory
from support.servers import StrictServer, sha

pytestmark = needs_proc

GIB: Final = 1 << 30
SLOW_PATTERN: Final = "*a" * 14 + "*b"
FAR_DATE: Final = 10_413_792_000
"""1 January 2300, as Unix seconds."""


def sparse_files(folder: Path) -> None:
    """FD8: files of 3 GiB, 2 GiB and 8 TiB that take no room."""
    for name, size in (("a.txt", 3 * GIB), ("b.md", 2 * GIB), ("c.md", 8192 * GIB)):
        with (folder / name).open("wb") as file:
            file.write(b"text\n")
            file.truncate(size)


def growing_log(folder: Path) -> None:
    """FD8: a log of 9 MiB that grows a hundred times."""
    for _ in range(100):
        with (folder / "log.md").open("ab") as log:
            log.write(b"one more line of the log\n" * 4000)


def slow_patterns(folder: Path) -> None:
    """FH1: ignore files with patterns that cost a backtracking matcher years, and thousands of others."""
    (folder / ".gitignore").write_text(f"{SLOW_PATTERN}\n")
    (folder / ("a" * 60 + ".md")).write_text("a\n")
    many = folder / "many"
    many.mkdir()
    (many / ".gitignore").write_text("".join(f"{'x' * 200}{number}*\n" for number in range(5000)))
    for number in range(200):
        (many / f"{number}.md").write_text("y\n")


def odd_stats(folder: Path) -> None:
    """FD5: dates that no calendar of a language holds."""
    for number, seconds in enumerate((FAR_DATE, -(1 << 33), 0)):
        file = folder / f"date{number}.md"
        file.write_text("d\n")
        os.utime(file, (seconds, seconds))


def links_and_pipes(folder: Path) -> None:
    """SC4: links that lead outside, to themselves and to devices, and pipes nobody writes to."""
    for number, target in enumerate(("/", "/proc", "/dev/zero", str(folder), ".", "../..")):
        (folder / f"link{number}.md").symlink_to(target)
        os.mkfifo(folder / f"pipe{number}.md")


def storm_of_events(folder: Path) -> None:
    """FD4: 2,000 files in 200 folders, made, renamed and deleted at once."""
    for number in range(200):
        place = folder / f"storm{number}"
        place.mkdir()
        for name in range(10):
            (place / f"{name}.md").write_text(f"{number} {name}\n")
            (place / f"{name}.md").rename(place / f"{name}-again.md")
            (place / f"{name}-again.md").unlink()
        place.rmdir()


def deep_folders(folder: Path) -> None:
    """PN4: 300 folders in each other, and names of 255 bytes."""
    place = os.open(folder, os.O_RDONLY)
    for _ in range(300):
        os.mkdir("deep", dir_fd=place)
        below = os.open("deep", os.O_RDONLY, dir_fd=place)
        os.close(place)
        place = below
    os.close(os.open("x.md", os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=place))
    os.close(place)
    for number in range(100):
        (folder / (f"{number:03}" + "n" * 249 + ".md")).write_text("n\n")


def equal_texts(folder: Path) -> None:
    """FB3: 300 files of one text, all but one deleted again."""
    for number in range(300):
        (folder / f"equal{number}.md").write_text("template\n")
    for number in range(1, 300):
        (folder / f"equal{number}.md").unlink()


FOLDERS: Final[tuple[Callable[[Path], None], ...]] = (
    sparse_files,
    growing_log,
    slow_patterns,
    odd_stats,
    links_and_pipes,
    storm_of_events,
    deep_folders,
    equal_texts,
)


def stays_small(daemon: Daemon) -> None:
    """The claim of this file."""
    comes_to_rest(daemon.process.pid)
    assert peak_memory(daemon.process.pid) <= MEMORY_LIMIT, peak_memory(daemon.process.pid)
    assert daemon.call("status")["daemon"]["running"]


@pytest.fixture
def linked(home: Home, strict: StrictServer) -> str:
    """A source of one file, in step; its id."""
    home.login(strict)
    home.write("first.md", "first\n")
    return home.link("--include", "**")


@pytest.mark.parametrize(
    "inputs",
    [
        pytest.param(FOLDERS, id="all"),
        *(pytest.param((one,), id=one.__name__, marks=pytest.mark.long) for one in FOLDERS),
    ],
)
def test_hostile_folders_cost_little(
    home: Home, strict: StrictServer, linked: str, inputs: tuple[Callable[[Path], None], ...]
) -> None:
    """FD4, FD5, FD8, FH1, FB3: one input after another under a running daemon, which then still sends a save."""
    with home.daemon() as daemon:
        daemon.call("sync")
        for number, make in enumerate(inputs):
            place = home.folder / f"input{number}"
            place.mkdir()
            make(place)
        stays_small(daemon)
        home.write("last.md", "last\n")
        daemon.call("sync")
    assert strict.text(linked, "last.md") == "last\n"


def test_hostile_conflicts_and_events_cost_little(home: Home, strict: StrictServer, linked: str) -> None:
    """FH3, SC1: a diff of 30,000 empty lines, and a thousand events whose paths are refused."""
    mine, theirs = "\n" * 30_000 + "mine\n", "\n" * 29_000 + "theirs\n"
    with home.daemon() as daemon:
        daemon.call("sync")
        for number in range(50):
            items = [upsert(f"{path}{number}", f"evil {path}\n", None) for path in HOSTILE]
            strict.client.push(linked, *items)
        home.write("first.md", mine)
        strict.put(linked, "first.md", theirs, sha("first\n"))
        daemon.call("sync")
        [row] = [row for row in daemon.call("conflicts") if row["path"] == "first.md"]
        shown = home.json("diff", row["id"])
        assert (shown["local"], shown["remote"]) == (mine, theirs)
        stays_small(daemon)


@pytest.mark.long
@pytest.mark.parametrize("endpoint", ["deltas", "sources/files", "push-batch", "sources/conflicts", "heartbeat"])
def test_hostile_answers_cost_little(home: Home, wild: WildServer, endpoint: str) -> None:
    """PR6: any answer to any question of a daemon; then the server behaves, and what was saved meanwhile arrives."""
    home.login(wild)
    home.write("first.md", "first\n")
    source = home.link()
    home.run("config", "set", "poll_max_seconds", "1")
    with home.daemon() as daemon:
        for number, name in enumerate(ANSWERS):
            wild.answer(endpoint, ANSWERS[name])
            home.write(f"n{number}.md", f"{name}\n")
            report: dict[str, Any] = daemon.call("sync")["sources"][0]
            assert report["id"] == source, name
        wild.behave()
        daemon.call("sync")
        stays_small(daemon)
        daemon.call("sync")
    assert wild.hashes(source).keys() >= {f"n{number}.md" for number in range(len(ANSWERS))}
