"""No command that changes something ends with 0 while that is undone: each of them under each of six faults."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest

from scenarios.test_exit_codes_never_lie import Fault, conflict, halted, held, offline, signed_out
from support.processes import Home
from support.servers import StrictServer, sha
from support.small_disk import fill, mounted

Done = Callable[[Home, StrictServer, str], bool]

NEWS = "theirs\n" * 40_000
"""A text of the server that does not fit on a full disk."""


def _in_step(home: Home, strict: StrictServer, source: str) -> bool:
    """Both sides hold the edit of the folder and the news of the server."""
    news = home.folder / "news.md"
    return strict.text(source, "a.md") == "mine\n" and news.is_file() and news.read_text() == NEWS


def _none_skipped(home: Home, _strict: StrictServer, _source: str) -> bool:
    """``retry`` is asked for skipped files only."""
    return bool(home.json("status")["sources"][0]["skipped"] == 0)


def _restored(home: Home, _strict: StrictServer, _source: str) -> bool:
    file = home.folder / "a.md"
    return file.is_file() and file.read_text() == "base\n"


def _resolved(home: Home, strict: StrictServer, source: str) -> bool:
    return bool(home.json("conflicts") == []) and strict.text(source, "a.md") == "mine\n"


def _excluded(home: Home, _strict: StrictServer, _source: str) -> bool:
    return "zz*" in home.run("rules", home.folder, "--json").out


def _set(home: Home, _strict: StrictServer, _source: str) -> bool:
    return "debug" in home.run("config", "get", "log_level", "--json").out


def _paused(home: Home, strict: StrictServer, source: str) -> bool:
    """The next pass sends nothing."""
    before = strict.text(source, "a.md")
    home.run("sync", "--json")
    return strict.text(source, "a.md") == before


def _unlinked(home: Home, _strict: StrictServer, _source: str) -> bool:
    return bool(home.json("status")["sources"] == [])


COMMANDS: dict[str, tuple[str, Done]] = {
    "sync": ("sync", _in_step),
    "up": ("up . --once", _in_step),
    "retry": ("retry", _none_skipped),
    "restore": (f"restore a.md --version {sha('base' + chr(10))}", _restored),
    "resolve": ("resolve a.md keep_local", _resolved),
    "rules": ("rules . --exclude zz* --yes", _excluded),
    "config": ("config set log_level debug", _set),
    "pause": ("pause .", _paused),
    "unlink": ("unlink . --yes", _unlinked),
}
"""Commands that change something, each with the proof that it is done."""


def full_folder(home: Home, _strict: StrictServer, _source: str) -> None:
    """Fill the disk of the folder."""
    fill(home.folder / "ballast.bin")


def full_state(home: Home, _strict: StrictServer, _source: str) -> None:
    """Fill the disk of the agent's own files."""
    fill(home.path / "ballast.bin")


SMALL_DISKS: dict[Fault, tuple[Callable[[Home], Path], str]] = {
    full_folder: (lambda home: home.folder, "1m"),
    full_state: (lambda home: home.path, "8m"),
}
"""Faults that need a small disk: its place and size."""


def _place_small_disk(stack: contextlib.ExitStack, home: Home, fault: Fault) -> None:
    if fault in SMALL_DISKS:
        place, size = SMALL_DISKS[fault]
        folder = place(home)
        folder.mkdir(parents=True, exist_ok=True)
        stack.enter_context(mounted(folder, size))
        folder.chmod(0o700)


def _lift(home: Home, strict: StrictServer, fault: Fault) -> None:
    """Make the proof possible: the server answers, and both disks have room."""
    if fault is offline:
        strict.up()
    for folder in (home.folder, home.path):
        (folder / "ballast.bin").unlink(missing_ok=True)


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("fault", [offline, signed_out, held, halted, conflict, full_folder, full_state])
def test_fd6_a_change_ends_with_0_only_when_it_is_done(
    machine: Callable[[], Home], strict: StrictServer, fault: Fault, name: str
) -> None:
    """FD6: the code is 0 only if the change can be seen afterwards; any other code comes with a reason."""
    command, done = COMMANDS[name]
    home = machine()
    with contextlib.ExitStack() as stack:
        _place_small_disk(stack, home, fault)
        home.login(strict)
        for number in range(20):
            home.write(f"n{number}.md", f"{number}\n")
        home.write("a.md", "base\n")
        source = home.link()
        home.sync(code=0)
        home.write("a.md", "mine\n")
        if name == "resolve" and fault is not conflict:
            conflict(home, strict, source)
        if fault is not held:
            strict.put(source, "news.md", NEWS)
        fault(home, strict, source)
        place = home.folder
        words = [str(place) if w == "." else str(place / w) if w.endswith(".md") else w for w in command.split()]
        ran = home.run(*words, "--json")
        _lift(home, strict, fault)
        assert ran.code != 0 or done(home, strict, source), ran
        assert "Traceback" not in ran.err, ran
        assert '"internal"' not in ran.out + ran.err, ran
