"""Bringing running machines to rest, and what must then be true of them."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterable, Sequence
from typing import Any

from agent.cli.client import AnsweredError
from support.processes import Daemon, Home
from support.servers import Server, sha

_DONE = ("pushed", "pulled", "deleted_remote", "deleted_local", "conflicts_opened")
_PASSES = 40


def settle(daemons: Sequence[Daemon]) -> None:
    """Pass after pass through every daemon until two rounds in a row had nothing to do."""
    quiet = 0
    for _ in range(_PASSES):
        reports = [daemon.call("sync")["sources"][0] for daemon in daemons]
        quiet = quiet + 1 if not any(report[name] for report in reports for name in _DONE) else 0
        if quiet == 2:
            return
    raise AssertionError(f"still busy after {_PASSES} passes: {reports}")


def resolve_all(daemons: Sequence[Daemon], chance: random.Random, number: int = 0) -> int:
    """Resolve what is parked, machine by machine, each conflict by a choice of its own, and let the deletes through
    that a brake holds; how many resolutions there were. Merges are numbered from ``number`` on.
    """
    count = 0
    rows: list[Any] = []
    for _ in range(_PASSES):
        settle(daemons)
        if _approve_held(daemons):
            continue
        for daemon in daemons:
            rows = own_conflicts(daemon)
            if rows:
                count += resolve(daemon, rows, chance, number + count)
                break
        else:
            return count
    raise AssertionError(f"conflicts are left after {count} resolutions: {rows}")


def own_conflicts(daemon: Daemon) -> list[Any]:
    """The conflicts that this machine's person decides."""
    return [row for row in daemon.call("conflicts") if row["mine"]]


def resolve(daemon: Daemon, rows: Sequence[Any], chance: random.Random, number: int) -> int:
    """Decide each of these conflicts at random; how many. Merges are numbered from ``number`` on.

    One that has moved meanwhile is refused, and is there for the next look.
    """
    for row in rows:
        choice = chance.choice(["keep_local", "keep_raven", "manual_merge"])
        text = {"text": f"merged {number} of {row['path']}\n"} if choice == "manual_merge" else {}
        params = {"ids": [row["id"]], "cwd": "", "all": False, "proposed": False, "dry_run": False}
        # Another machine may have resolved it since.
        with contextlib.suppress(AnsweredError):
            daemon.call("resolve", **params, choice=choice, **text)
        number += 1
    return len(rows)


def _approve_held(daemons: Sequence[Daemon]) -> bool:
    """Whether there were held deletes: who deletes that much is asked, and meant it."""
    plans = [(daemon, held["plan"]) for daemon in daemons if (held := daemon.source()["held_deletes"])]
    for daemon, plan in plans:
        # What is held may have grown since it was asked for; then it is another plan, and the next round's.
        with contextlib.suppress(AnsweredError):
            daemon.call("sync", approve_deletes=plan)
    return bool(plans)


def in_step(daemons: Sequence[Daemon]) -> bool:
    """Whether every machine says so; a file just written may still be looked at once more."""
    return all(daemon.source()["state"] == "up_to_date" for daemon in daemons)


def assert_equal(source: str, server: Server, homes: Iterable[Home]) -> None:
    """Every folder holds what the server holds, and nothing besides."""
    there = server.hashes(source)
    for home in homes:
        here = {path: sha(text) for path, text in home.texts().items()}
        assert here == there, (home.name, here.items() ^ there.items())


def lost(texts: Iterable[str], source: str, server: Server, homes: Iterable[Home]) -> set[str]:
    """Those of the texts that are nowhere: in no folder, no trash, no version, event or conflict of the server."""
    found = server.kept(source)
    for home in homes:
        found |= {sha(text) for text in home.texts().values()}
        found |= {sha(content.decode("utf-8", "replace")) for content in home.trashed()}
    return {text for text in texts if sha(text) not in found}
