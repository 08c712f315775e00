"""Probabilities of faults, kinds of disks, and the fate of a request in the network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate

from agent.core.model import Mode
from agent.disk.fs.protocol import SwapPrimitive
from agent.engine.config import RunMode
from simulation.memory_fs import Disk, Names
from strict_raven import faults as f


@dataclass(frozen=True, slots=True)
class Chances:
    """How often things happen: each a probability at its occasion.

    Attributes:
        strange: at an act of a person, that it is a strange one.
        clock, older: weight of somebody setting a clock, or putting an older copy of an index or the server in its
            place, among the acts of a turn.
        folding: that a machine's disk takes some names for one.
        page_edit, stranger, outage, restore, put_back, churn, sync, copies, alike, apart: weights among the acts of a
            turn: of an edit on the server, of a push by a connector of no machine here, of a stretch of time in which
            the server answers 500 to everything, of a person who takes an older text back, of one who puts deleted
            files back by hand, of one who deletes several files and makes as many others, of one who runs ``sync``
            beside a daemon, of one who moves a file by making a copy and deleting the old one later, of people at all
            machines who save the same text over the same version while the server gets another one, of people at all
            machines who save different texts over the same version.
        least: number of files from which on deletes are held, in folders that are full at the beginning; 0: the
            product's own, in folders as they are.
        mounts: that folders of a machine may be mounted and unmounted.
        programs: weight of a program's act among those of a turn: it opens, writes or closes a file, or links one.
        reuse: that a machine's disk gives the inodes of deleted files to new ones.
        empty_listing: that the server lists no file, two times running; the next listing is whole.
        proposed: that a person who decides takes the proposed merge, where there is a clean one.
        stale_base: that an edit on the server is based on an older text.
        same_text: that a text saved is one that was written before.
        at_work: that a person saves where a move, a removal or a large upload is under way, before a call to the disk.
        page_moves: that an act on the plain server moves a file, whatever was drawn for it; to a free name, if not 0.
        hidden: that the plain server says of a file that is there that it is missing, or lists an empty folder.
        skipped: that the strict server's feed leaves an event out for longer than anybody reads it again.
        no_history: that a request for the versions of a file fails, also at the end of a run.
        cut_content: that a connection ends in the middle of a large content.
        visits: 1.0 if each visit of a text has a revision of its own (``visits.py``), 0.0 if the hash is the revision.
    """

    crash_at_disk: float = 0.0015
    crash_at_network: float = 0.005
    disk_full: float = 0.002
    user_between_calls: float = 0.006
    strange: float = 0.06
    clock: float = 0.03
    older: float = 0.0
    folding: float = 0.0
    fault: float = 0.06
    late: float = 0.03
    doubled: float = 0.03
    bystander: float = 0.08
    unheard: float = 0.15
    page_edit: float = 0.25
    stranger: float = 0.0
    outage: float = 0.0
    restore: float = 0.0
    put_back: float = 0.0
    churn: float = 0.0
    sync: float = 0.0
    copies: float = 0.0
    alike: float = 0.0
    apart: float = 0.0
    least: int = 0
    mounts: float = 0.0
    programs: float = 0.0
    reuse: float = 0.0
    empty_listing: float = 0.0
    proposed: float = 0.0
    stale_base: float = 0.25
    same_text: float = 0.12
    at_work: float = 0.0
    page_moves: float = 0.0
    hidden: float = 0.06
    skipped: float = 0.0
    no_history: float = 0.0
    cut_content: float = 0.0
    visits: float = 0.0


PROFILES = (
    Chances(),
    Chances(crash_at_disk=0.006, disk_full=0.015, strange=0.02),
    Chances(user_between_calls=0.025, strange=0.25, fault=0.02),
    Chances(crash_at_network=0.02, fault=0.18, late=0.08, bystander=0.2, strange=0.02),
    Chances(strange=0.0, clock=0.0),
    Chances(older=0.1),
    Chances(folding=0.5),
)
"""Seeds take these in turn."""

CROWDED = (
    Chances(page_edit=1.0, stale_base=0.6, proposed=0.5, clock=0.0, visits=1.0),
    Chances(same_text=0.6, stranger=0.3, visits=1.0),
    Chances(outage=0.12, restore=0.2, put_back=0.5, same_text=0.3, empty_listing=0.05, visits=1.0),
    Chances(page_edit=0.6, stale_base=0.5, same_text=0.5, stranger=0.2, bystander=0.3, strange=0.0, visits=1.0),
    Chances(least=2, churn=0.15, reuse=0.5, put_back=0.5, clock=0.0, crash_at_disk=0.003, visits=1.0),
    Chances(mounts=0.7, strange=0.2, clock=0.0, visits=1.0),
    Chances(programs=0.3, clock=0.0, crash_at_disk=0.003, visits=1.0),
)
"""Each fifth round of seeds takes these: page edits on old bases, equal texts, strangers, outages, restores, many
deletes, mounts, open files and hard links.

Their servers give each visit of a text another revision.
"""


def profile_of(seed: int) -> Chances:
    """Return the chances of a seed."""
    rounds, place = divmod(seed, len(PROFILES))
    return CROWDED[(rounds // 5 + place) % len(CROWDED)] if CROWDED and rounds % 5 == 4 else PROFILES[place]


BATCHES = (100, 1, 2)
"""Operations in a batch; each profile meets them all. Files are few here: with small batches several are on their way.
"""

DISKS = (
    Disk(),
    Disk(grain_ns=1_000_000),
    Disk(swap=SwapPrimitive.LINK),
    Disk(grain_ns=2_000_000_000),
    Disk(one_volume=False),
)
FOLDING = (Disk(names=Names.FOLDED), Disk(names=Names.DECOMPOSED))

MODES = ((Mode.BIDIRECTIONAL, 0.8), (Mode.LOCAL_TO_CLOUD, 0.12), (Mode.IMPORT_ONLY, 0.08))
ATTENDANCES = ((RunMode.DAEMON, 0.8), (RunMode.ONE_SHOT, 0.2))

FAULTS: tuple[Callable[[float], f.Fault], ...] = (
    lambda _: f.drop_request(),
    lambda _: f.drop_answer(),
    lambda _: f.drop_answer(),
    lambda _: f.html(),
    lambda _: f.cut_json(),
    lambda _: f.no_content(),
    lambda _: f.too_many("2"),
    lambda now: f.too_many(formatdate(now + 3, usegmt=True)),
    lambda _: f.unavailable(),
    lambda _: f.unauthorized(),
    lambda _: f.too_large(),
    lambda _: f.delay(20.0),
)
"""Each given the server's time, in seconds since the epoch."""
