"""No command ends with 0 while something it was asked to do is undone: every command under six faults."""

from __future__ import annotations

from pathlib import Path

import pytest

from scenarios.prepared import CONFLICT, HALTED, HELD, OFFLINE, SIGNED_OUT, Fault, Moment, PreparedHomes, words_for

READING = ("status", "files", "explain a.md", "conflicts", "trash", "activity", "config get", "servers", "rules .")
"""Commands that report the present state: they end with 0 whatever that is."""


CASES: list[tuple[Fault, str, tuple[int, ...]]] = [
    (OFFLINE, "sync", (5,)),
    (OFFLINE, "retry", (5,)),
    (OFFLINE, "retry a.md", (5,)),
    (OFFLINE, "up . --once", (5,)),
    (OFFLINE, "sources", (5,)),
    (OFFLINE, "history a.md", (5,)),
    (OFFLINE, "restore a.md --version 0123", (2, 5)),
    (OFFLINE, "status --check", (5,)),
    (OFFLINE, "pause --everywhere", (5,)),
    (OFFLINE, "resume --everywhere", (5,)),
    (SIGNED_OUT, "sync", (4,)),
    (SIGNED_OUT, "retry", (4,)),
    (SIGNED_OUT, "sources", (4,)),
    (SIGNED_OUT, "status --check", (4,)),
    (HELD, "sync", (6,)),
    (HELD, "retry", (0, 6)),
    (HELD, "status --check", (6,)),
    (HALTED, "sync", (6,)),
    (HALTED, "retry", (6,)),
    (HALTED, "status --check", (6,)),
    (HALTED, "rules . --exclude x", (1, 6)),
    (CONFLICT, "sync", (3,)),
    (CONFLICT, "sync --conflicts-ok", (0,)),
    (CONFLICT, "status --check", (3,)),
    (CONFLICT, "restore a.md --version 0123", (1, 2)),
    (CONFLICT, "resolve nosuch keep_local", (2,)),
    (CONFLICT, "unlink .", (2,)),
]


@pytest.mark.parametrize(("fault", "command", "codes"), CASES, ids=lambda one: getattr(one, "name", str(one)))
def test_the_exit_code_names_what_is_undone(
    prepared: PreparedHomes, tmp_path: Path, fault: Fault, command: str, codes: tuple[int, ...]
) -> None:
    """FD6: under each fault the command ends with the code of the fault, not with 0."""
    with prepared.at(fault.moment, tmp_path) as (home, _source):
        fault.strike(home, prepared.server)
        ran = home.run(*words_for(home, command), "--json")
    assert ran.code in codes, (ran.code, ran.out, ran.err)


@pytest.mark.parametrize("command", READING)
def test_a_report_ends_with_0_whatever_it_reports(prepared: PreparedHomes, tmp_path: Path, command: str) -> None:
    """A command that only reports is done when it has reported; ``--check`` turns the state into a code."""
    with prepared.at(Moment(), tmp_path) as (home, _source):
        prepared.server.down()
        assert home.run(*words_for(home, command), "--json").code == 0


def test_resume_tells_of_a_folder_that_is_still_away(prepared: PreparedHomes, tmp_path: Path) -> None:
    """FD6: with a daemon too, a resume ends with 6 while the folder is away, and with 0 once it is back."""
    with prepared.at(Moment(), tmp_path) as (home, _source), home.daemon() as daemon:
        away = home.folder.with_name("away")
        home.folder.rename(away)
        assert daemon.call("sync")["sources"][0]["state"] == "halted"
        [halted] = home.json("resume", home.folder, code=6)["halted"]
        assert halted["root"] == str(home.folder) and str(home.folder) in halted["message"]
        away.rename(home.folder)
        assert "halted" not in home.json("resume", home.folder)
        assert daemon.call("sync")["sources"][0]["state"] == "up_to_date"
