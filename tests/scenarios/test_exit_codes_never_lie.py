"""No command ends with 0 while something it was asked to do is undone: every command under six faults."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from support.processes import Home
from support.servers import StrictServer

Fault = Callable[[Home, StrictServer, str], None]

READING = ("status", "files", "explain a.md", "conflicts", "trash", "activity", "config get", "servers", "rules .")
"""Commands that report the present state: they end with 0 whatever that is."""


def offline(_home: Home, strict: StrictServer, _source: str) -> None:
    """Take the server away, with an edit to send."""
    strict.down()


def signed_out(home: Home, _strict: StrictServer, _source: str) -> None:
    """Take the token away."""
    (home.path / "credentials.json").unlink()


def held(home: Home, _strict: StrictServer, _source: str) -> None:
    """Delete more than the brake lets through."""
    for number in range(15):
        (home.folder / f"n{number}.md").unlink()
    home.sync(code=6)


def halted(home: Home, _strict: StrictServer, _source: str) -> None:
    """Move the root away."""
    home.folder.rename(home.folder.with_name("elsewhere"))


def conflict(home: Home, strict: StrictServer, source: str) -> None:
    """Park a.md."""
    strict.replace(source, "a.md", "theirs\n")
    home.sync(code=3)


CASES: list[tuple[Fault, str, tuple[int, ...]]] = [
    (offline, "sync", (5,)),
    (offline, "retry", (5,)),
    (offline, "retry a.md", (5,)),
    (offline, "up . --once", (5,)),
    (offline, "sources", (5,)),
    (offline, "history a.md", (5,)),
    (offline, "restore a.md --version 0123", (2, 5)),
    (offline, "status --check", (5,)),
    (offline, "pause --everywhere", (5,)),
    (offline, "resume --everywhere", (5,)),
    (signed_out, "sync", (4,)),
    (signed_out, "retry", (4,)),
    (signed_out, "sources", (4,)),
    (signed_out, "status --check", (4,)),
    (held, "sync", (6,)),
    (held, "retry", (0, 6)),
    (held, "status --check", (6,)),
    (halted, "sync", (6,)),
    (halted, "retry", (6,)),
    (halted, "status --check", (6,)),
    (halted, "rules . --exclude x", (1, 6)),
    (conflict, "sync", (3,)),
    (conflict, "sync --conflicts-ok", (0,)),
    (conflict, "status --check", (3,)),
    (conflict, "restore a.md --version 0123", (1, 2)),
    (conflict, "resolve nosuch.md keep_local", (2,)),
    (conflict, "unlink .", (2,)),
]


@pytest.mark.parametrize(("fault", "command", "codes"), CASES, ids=lambda one: getattr(one, "__name__", str(one)))
def test_the_exit_code_names_what_is_undone(
    strict_home: Home, strict: StrictServer, fault: Fault, command: str, codes: tuple[int, ...]
) -> None:
    """FD6: under each fault the command ends with the code of the fault, not with 0."""
    for number in range(20):
        strict_home.write(f"n{number}.md", f"{number}\n")
    strict_home.write("a.md", "base\n")
    source = strict_home.link()
    strict_home.sync(code=0)
    strict_home.write("a.md", "mine\n")
    fault(strict_home, strict, source)
    words = [str(strict_home.folder) if word == "." else word for word in command.split()]
    words = [
        str(strict_home.folder / word) if word.endswith(".md") and "nosuch" not in word else word for word in words
    ]
    ran = strict_home.run(*words, "--json")
    assert ran.code in codes, (ran.code, ran.out, ran.err)


@pytest.mark.parametrize("command", READING)
def test_a_report_ends_with_0_whatever_it_reports(strict_home: Home, strict: StrictServer, command: str) -> None:
    """A command that only reports is done when it has reported; ``--check`` turns the state into a code."""
    strict_home.write("a.md", "base\n")
    strict_home.link()
    strict_home.sync(code=0)
    strict.down()
    words = [str(strict_home.folder) if word == "." else word for word in command.split()]
    words = [str(strict_home.folder / word) if word.endswith(".md") else word for word in words]
    assert strict_home.run(*words, "--json").code == 0
