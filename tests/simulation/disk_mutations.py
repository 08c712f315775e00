"""Mounts, open files and hard links, with the care for them broken on purpose; see ``mutations``."""

from __future__ import annotations

from contextlib import AbstractContextManager

from agent.disk.apply import late_writes
from agent.disk.apply.trash import Trash, TrashEntry
from agent.disk.fs.protocol import Fs, Stat
from agent.engine.local_changes import LocalChanges
from simulation.fault_rates import Chances
from simulation.mutant import Mutant, instead, nothing


def _mounts_not_remembered() -> AbstractContextManager[object]:
    return instead(LocalChanges, "_update_mounts", nothing)


def _trash_not_watched() -> AbstractContextManager[object]:
    return instead(Trash, "watch", nothing)


def _links_not_counted() -> AbstractContextManager[object]:
    def only_open(fs: Fs, trash: Trash, entry: TrashEntry) -> tuple[Stat, bool]:
        is_open = fs.may_be_written(trash.folder, entry.name)
        return fs.stat(trash.folder, entry.name), is_open

    return instead(late_writes, "_stat_and_openness", only_open)


_MOUNTS = Chances(mounts=1.0, strange=0.5, clock=0.0, crash_at_disk=0.0)
_PROGRAMS = Chances(programs=1.5, page_edit=2.0, stale_base=0.0, strange=0.0, clock=0.0, crash_at_disk=0.0, fault=0.02)

DISK_MUTANTS = (
    Mutant(
        "mounts not remembered",
        "the bare folder below a mount that is gone counts as the folder itself",
        _mounts_not_remembered,
        chances=_MOUNTS,
    ),
    Mutant(
        "trash not watched",
        "what a program writes to a file after its move to the trash is not looked for",
        _trash_not_watched,
        chances=_PROGRAMS,
        seeds=(5,),
    ),
    Mutant(
        "links not counted",
        "a file with a second name counts as one that nobody can write to any more",
        _links_not_counted,
        chances=_PROGRAMS,
        turns=200,
        seeds=(7,),
    ),
)
