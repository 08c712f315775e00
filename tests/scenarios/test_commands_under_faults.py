"""No command that changes something ends with 0 while that is undone: each of them under each of six faults."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from scenarios.prepared import (
    FAULTS,
    NEWS,
    Fault,
    PreparedHomes,
    lift,
    move_folder,
    moved_folder,
    trash_files,
    words_for,
)
from support.processes import Home
from support.servers import StrictServer, sha

Done = Callable[[Home, StrictServer, str], bool]
Before = Callable[[Home, StrictServer, str], None]


def _in_step(home: Home, strict: StrictServer, source: str) -> bool:
    """Both sides hold the edit of the folder and the news of the server."""
    news = home.folder / "news.md"
    return strict.text(source, "a.md") == "mine\n" and news.is_file() and news.read_text() == NEWS


def _none_skipped(home: Home, _strict: StrictServer, _source: str) -> bool:
    """``retry`` is asked for skipped files only."""
    return bool(home.json("status")["sources"][0]["skipped"] == 0)


def _restored(home: Home, _strict: StrictServer, _source: str) -> bool:
    file = home.folder / "kept.md"
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


def _pause(home: Home, _strict: StrictServer, _source: str) -> None:
    home.json("pause", home.folder)


def _goes_on(home: Home, _strict: StrictServer, _source: str) -> bool:
    """The folder is neither paused nor stopped by a brake."""
    [row] = home.json("status")["sources"]
    return row["state"] not in ("paused", "halted") and row["paused_until"] is row["held_deletes"] is None


def _is_paused_there(_home: Home, strict: StrictServer, _source: str) -> bool:
    return bool(strict.client.ok("sources/list")[0]["status"] == "paused")


def _pause_there(_home: Home, strict: StrictServer, source: str) -> None:
    strict.client.ok("sources/pause", sourceId=source)


def _is_active_there(home: Home, strict: StrictServer, source: str) -> bool:
    return not _is_paused_there(home, strict, source)


def _unlinked(home: Home, _strict: StrictServer, _source: str) -> bool:
    return bool(home.json("status")["sources"] == [])


def _move(home: Home, _strict: StrictServer, _source: str) -> None:
    move_folder(home)


def _moved(home: Home, _strict: StrictServer, source: str) -> bool:
    [row] = home.json("status")["sources"]
    return (row["id"], row["root"]) == (source, str(moved_folder(home)))


def _logged_out(home: Home, strict: StrictServer, _source: str) -> bool:
    kept = home.path / "credentials.json"
    token_is_gone = not kept.exists() or strict.token not in kept.read_text()
    return token_is_gone and home.json("servers")[0]["state"] == "signed_out"


def _logged_in(home: Home, _strict: StrictServer, _source: str) -> bool:
    return home.run("sources").code == 0 and home.json("servers")[0]["state"] == "ok"


def _write_more(home: Home, _strict: StrictServer, _source: str) -> None:
    more = home.folder.with_name("more")
    more.mkdir()
    (more / "b.md").write_text("b\n")


def _more_is_linked(home: Home, strict: StrictServer, _source: str) -> bool:
    rows = [row for row in home.json("status")["sources"] if Path(row["root"]).name == "more"]
    return len(rows) == 1 and strict.text(rows[0]["id"], "b.md") == "b\n"


def _pruned(home: Home, _strict: StrictServer, _source: str) -> bool:
    return trash_files(home, "old.md") == [] and len(trash_files(home, "kept.md")) == 1


def _nothing(_home: Home, _strict: StrictServer, _source: str) -> None:
    """The command is asked for nothing that has to be prepared."""


@dataclass(frozen=True)
class Command:
    """A command that changes something.

    Attributes:
        words: as typed; ``.`` and documents are below the folder.
        done: the proof that it is done.
        before: puts the person's own part of it in place, before the trouble.
    """

    words: str
    done: Done
    before: Before = _nothing


COMMANDS: dict[str, Command] = {
    "sync": Command("sync", _in_step),
    "up": Command("up . --once", _in_step),
    "retry": Command("retry", _none_skipped),
    "restore": Command(f"restore kept.md --version {sha('base' + chr(10))}", _restored),
    "resolve": Command("resolve a.md keep_local", _resolved),
    "rules": Command("rules . --exclude zz* --yes", _excluded),
    "config": Command("config set log_level debug", _set),
    "pause": Command("pause .", _paused),
    "pause_everywhere": Command("pause . --everywhere", _is_paused_there),
    "resume": Command("resume .", _goes_on, _pause),
    "resume_everywhere": Command("resume . --everywhere", _is_active_there, _pause_there),
    "unlink": Command("unlink . --yes", _unlinked),
    "move": Command("move . ../elsewhere", _moved, _move),
    "link": Command("link ../more --yes --wait", _more_is_linked, _write_more),
    "logout": Command("logout raven", _logged_out),
    "login": Command("login URL --workspace WORKSPACE --name raven --token-stdin", _logged_in),
    "trash_prune": Command("trash prune", _pruned),
}
"""Commands that change something."""


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_fd6_a_change_ends_with_0_only_when_it_is_done(
    prepared: PreparedHomes, tmp_path: Path, fault: Fault, name: str
) -> None:
    """FD6: the code is 0 only if the change can be seen afterwards; any other code comes with a reason."""
    command, server = COMMANDS[name], prepared.server
    moment = replace(fault.moment, parked=True) if name == "resolve" else fault.moment
    with prepared.at(moment, tmp_path) as (home, source):
        command.before(home, server, source)
        fault.strike(home, server)
        known = {"URL": server.url, "WORKSPACE": server.workspace, "../more": str(home.folder.with_name("more")),
                 "../elsewhere": str(moved_folder(home))}  # fmt: skip
        words = [known.get(word, word) for word in words_for(home, command.words)]
        ran = home.run(*words, "--json", stdin=server.token if name == "login" else "")
        lift(home, server)
        assert ran.code != 0 or command.done(home, server, source), ran
        assert ran.code == 0 or ran.err or ran.out, ran
        assert "Traceback" not in ran.err, ran
        assert '"internal"' not in ran.out + ran.err, ran
