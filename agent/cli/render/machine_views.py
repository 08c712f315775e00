"""Views of the machines of sources."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from agent.cli.humanize import short_home, when
from agent.cli.output import Style, TextLine, View
from agent.cli.render.base import Document, grid
from agent.core.humanize import machine_progress


def machines(document: Sequence[Document]) -> View:
    """Show how far each machine of each source has come, then what a person should know about those behind."""
    several = len(document) > 1
    rows = [
        (
            machine_name(machine),
            *((short_home(source["root"]),) if several else ()),
            progress_of(machine),
            "now" if machine["this_machine"] else when(machine.get("seen_at")),
        )
        for source in document
        for machine in source["machines"]
    ]
    headings = ("MACHINE", *(("FOLDER",) if several else ()), "HAS READ", "LAST SEEN")
    return [*(grid(headings, rows, "") if rows else ()), *_sentences(document)]


def devices(document: Sequence[Document]) -> View:
    """Show the devices of an account."""
    return grid(
        ("NAME", "STATE", "ID", "PLATFORM", "VERSION", "LAST SEEN"),
        [
            (
                machine_name(device),
                "on" if device["active"] else "off",
                device["id"],
                device.get("platform"),
                device.get("version"),
                when(device.get("seen_at")),
            )
            for device in document
        ],
        "the server knows no device of this account yet",
    )


def machine_name(machine: Document) -> str:
    """Return the name of a machine; this one is marked."""
    name = machine["name"] or str(machine["id"])[:8]
    return f"{name} (this machine)" if machine["this_machine"] else name


def progress_of(machine: Document) -> str:
    """Return how far a machine has come: ``every change``, ``all but 3 changes``."""
    return machine_progress(machine["state"], machine.get("behind"))


def _sentences(document: Sequence[Document]) -> Iterator[TextLine]:
    for source in document:
        where = short_home(source["root"])
        if not source["known"]:
            yield TextLine(f"{where}: {source['message']}", Style.CARE)
            continue
        behind = [machine for machine in source["machines"] if machine["state"] == "behind"]
        others = [machine for machine in source["machines"] if not machine["this_machine"]]
        for machine in behind:
            words = "this machine" if machine["this_machine"] else machine_name(machine)
            yield TextLine(
                f"{where}: {words} is behind; it catches up as soon as raven-agent runs there and reaches the server",
                Style.CARE,
            )
        if not source["machines"]:
            yield TextLine(f"{where}: no machine has reported its position to the server yet", Style.ASIDE)
        elif not others:
            yield TextLine(f"{where}: no other machine syncs this folder yet", Style.ASIDE)
        elif not behind and all(machine["state"] == "up_to_date" for machine in others):
            yield TextLine(f"{where}: every machine has read every change", Style.GOOD)
