"""Views of the machines of sources."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from agent.cli.humanize import parse_time, short_home, when
from agent.cli.output import Style, TextLine, View
from agent.cli.render.base import Document, grid
from agent.core.humanize import machine_names, machine_progress

_BY_ITSELF: Final = "and catches up by itself while raven-agent runs"
_OWN: Final = {
    "signed_out": "because it is signed out; the line above says how to sign in",
    "halted": "because it is stopped; the lines above say how to go on",
    "error": "because of the error above; when it is put right: raven-agent retry",
    "paused": "because it is paused; the line above says how to go on",
    "offline": "and catches up when it reaches the server",
}
"""What keeps this machine behind, by the state of the source. ``status`` shows the cause and the remedy above."""

_RECENT_SECONDS: Final = 600
"""A machine that runs calls the server at least every five minutes."""
_GONE_SECONDS: Final = 30 * 86400
"""After this silence a machine is more likely gone than switched off."""


def machines(document: Sequence[Document], states: Mapping[str, str], now: dt.datetime) -> View:
    """Show how far each machine of each source has come, then what a person should know about those behind.

    Args:
        states: state of each source on this machine, by its id.
    """
    several = len(document) > 1
    rows = [
        (
            name,
            *((short_home(source["root"]),) if several else ()),
            progress_of(machine),
            "now" if machine["this_machine"] else when(machine.get("seen_at"), now),
        )
        for source in document
        for machine, name in named(source["machines"])
    ]
    headings = ("MACHINE", *(("FOLDER",) if several else ()), "HAS", "LAST SEEN")
    return [*(grid(headings, rows, "") if rows else ()), *_sentences(document, states, now)]


def devices(document: Sequence[Document]) -> View:
    """Show the devices of an account."""
    return grid(
        ("NAME", "STATE", "ID", "PLATFORM", "VERSION", "LAST SEEN"),
        [
            (
                name,
                "on" if device["active"] else "off",
                device["id"],
                device.get("platform"),
                device.get("version"),
                when(device.get("seen_at")),
            )
            for device, name in named(document)
        ],
        "the server knows no device of this account yet",
    )


def named(machines: Sequence[Document]) -> list[tuple[Document, str]]:
    """Return each machine with the name to show. This one is marked; equal names have a short id beside them."""
    names = machine_names((str(machine["id"]), machine["name"]) for machine in machines)
    return [
        (machine, f"{name} (this machine)" if machine["this_machine"] else name)
        for machine, name in zip(machines, names, strict=True)
    ]


def words_of_one_behind(name: str, state: str | None, seen_at: object, now: dt.datetime) -> str:
    """Return what keeps a machine behind as far as that is known, and what to do.

    Args:
        state: of the source on this machine; None for another machine, of which only ``seen_at`` is known.
    """
    if state is not None:
        return f"this machine is behind {_OWN.get(state, _BY_ITSELF)}"
    then = parse_time(seen_at)
    silence = None if then is None else (now - then).total_seconds()
    if silence is not None and silence >= _GONE_SECONDS:
        days = int(silence // 86400)
        return (
            f"{name} is behind and was not heard of for {days} days; if it no longer syncs this folder "
            "or its token was revoked, leave it so; else start raven-agent there"
        )
    if silence is not None and silence < _RECENT_SECONDS:
        return f"{name} is behind; if it stays so, type there: raven-agent status"
    return (
        f"{name} is behind and silent: it is off, signed out, revoked or unlinked; to go on, start raven-agent there; "
        "raven-agent status there says if it is signed out"
    )


def progress_of(machine: Document) -> str:
    """Return how far a machine has come: ``every change``, ``all but 3 changes``."""
    return machine_progress(machine["state"], machine.get("behind"))


def _sentences(document: Sequence[Document], states: Mapping[str, str], now: dt.datetime) -> Iterator[TextLine]:
    for source in document:
        where = short_home(source["root"])
        if not source["known"]:
            yield TextLine(f"{where}: {source['message']}", Style.CARE)
            continue
        behind = [pair for pair in named(source["machines"]) if pair[0]["state"] == "behind"]
        others = [machine for machine in source["machines"] if not machine["this_machine"]]
        for machine, name in behind:
            state = states.get(source["source_id"], "") if machine["this_machine"] else None
            yield TextLine(f"{where}: {words_of_one_behind(name, state, machine.get('seen_at'), now)}", Style.CARE)
        if not source["machines"]:
            yield TextLine(f"{where}: no machine has reported its position to the server yet", Style.ASIDE)
        elif not others:
            yield TextLine(f"{where}: no other machine syncs this folder yet", Style.ASIDE)
        elif not behind and all(machine["state"] == "up_to_date" for machine in others):
            yield TextLine(f"{where}: every machine has every change", Style.GOOD)
