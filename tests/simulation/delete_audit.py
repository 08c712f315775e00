"""Check of the delete guard's promises while a machine works."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent.core.events import Move, Upsert
from agent.core.model import Purpose
from agent.core.remote_records import Verb
from agent.engine import effects as e
from agent.engine import messages as m
from agent.engine.in_flight import HeldDeletes
from simulation.indexes import SOURCE
from simulation.user import sha

if TYPE_CHECKING:
    from simulation.machine import Machine
    from simulation.pinakes_face import PinakesFace
    from simulation.plain_face import PlainFace
    from simulation.world import World


class WrongDelete(AssertionError):
    """A delete that nobody asked for, or that waits for a person."""


@dataclass
class Ledger:
    """The deletes that one machine sent, counted without asking the guard.

    What is a rename is known from the person who made it, not from inodes. Wherever the two may differ for a good
    reason, fewer deletes are counted here.

    Attributes:
        approved: deletes of the plans that its person approved.
        is_blind: the agent lost its own count with its index; nothing is asked any more.
        to_recheck: the files (path, text) of the plan approved last that no later listing lacked.
    """

    approved: set[tuple[str, str | None]] = field(default_factory=set)
    is_blind: bool = False
    to_recheck: frozenset[tuple[str, str]] = frozenset()
    _listed: set[str] = field(default_factory=set)
    _sent: dict[str, tuple[float, str | None]] = field(default_factory=dict)

    def check(
        self, machine: Machine, held: HeldDeletes | None, messages: Iterable[m.Message], effects: Iterable[e.Effect]
    ) -> None:
        """Take the deletes of one step in.

        Raises:
            WrongDelete: more deletes went without a question than the limits allow.
        """
        self._take_listings(messages)
        if held is not None and any(isinstance(x, m.ApproveDeletes) and x.plan == held.plan for x in messages):
            self.approved |= held.files
            self.to_recheck = held.files
        parked = machine.engine._ctx.parked
        now = machine.clock()
        sent = [delete for delete in sent_deletes(effects) if delete[0] not in parked]
        self._sent |= {path: (now, digest) for path, digest in sent}
        if sent and not self.is_blind:
            lost = self._lost(machine, {path for path, _ in sent}, now)
            files = machine.index.trees.base_count(SOURCE) + len(lost)
            many = len(lost) >= machine.limits.least and len(lost) > files * machine.limits.share
            if many and lost & {path for path, _ in sent}:
                raise WrongDelete(f"{sorted(lost)} are deleted within an hour, {files} files, and nobody is asked")

    def _take_listings(self, messages: Iterable[m.Message]) -> None:
        for message in messages:
            if isinstance(message, m.Started):
                self._listed.clear()
            elif isinstance(message, m.ListingArrived):
                self._listed |= {file.path for file in message.files}
                if message.last:
                    self.to_recheck = frozenset(file for file in self.to_recheck if file[0] in self._listed)
                    self._listed.clear()

    def _lost(self, machine: Machine, going: set[str], now: float) -> set[str]:
        """Return the paths deleted within the window whose text has gone from the folder, as far as the agent knows."""
        rows = {row.path: row for row in machine.index.trees.all(SOURCE)}
        texts = {row.local.hash for row in rows.values() if row.local.is_file}
        return {
            path
            for path, (at, digest) in self._sent.items()
            if now - at < machine.limits.window
            and (path in going or path not in rows)
            and (path, digest) not in self.approved
            and path not in machine.user.renamed
            and digest not in texts
        }


def sent_deletes(effects: Iterable[e.Effect]) -> list[tuple[str, str | None]]:
    """Return the deletes (path, base hash) that are sent and carry out no decision."""
    batches = (effect for effect in effects if isinstance(effect, e.Send))
    operations = [out.operation for send in batches for out in send.parcels if out.content_override is None]
    return [(op.path, op.base) for op in operations if op.verb is Verb.DELETE]


def check_step(
    held: HeldDeletes | None,
    messages: Iterable[m.Message],
    effects: Iterable[e.Effect],
    parked: Container[str],
    approved: Container[tuple[str, str | None]],
    paths_of: Callable[[str | None], set[str]],
) -> None:
    """Check the deletes of one step against the plan that was held before it.

    Args:
        approved: deletes that a person approved. They may go in a later step: their plan is judged anew only then.
        parked: paths with a conflict. A delete that is sent there is known to be stale: the server keeps its head.

        paths_of: the files of the folder with this text, as far as the agent knows.

    A delete whose text lives at another path is not counted: a page of this step that shows it there ends the plan, or
    the quiet second after an earlier one does.

    Raises:
        WrongDelete: a held delete is carried out, and no person approved the plan.
    """
    messages = list(messages)
    if held is None or any(isinstance(message, m.ApproveDeletes | m.UndoDeletes) for message in messages):
        return
    arrived = {
        (event.path, event.hash)
        for message in messages
        if isinstance(message, m.PageArrived)
        for event in message.page.events
        if isinstance(event, Upsert | Move)
    }
    for effect in effects:
        deletes = sent_deletes([effect])
        if isinstance(effect, e.ApplyChanges):
            intents = (intent for intent, _ in effect.jobs if intent.purpose is Purpose.PULL)
            deletes = [(intent.path, intent.expected) for intent in intents if intent.new is None]
        for delete in deletes:
            if delete not in held.files or delete in approved or delete[0] in parked:
                continue
            lives_at = {path for path, digest in arrived if digest == delete[1]} | paths_of(delete[1])
            if not lives_at - {delete[0]}:
                raise WrongDelete(f"{delete[0]} is deleted, and the plan it is held under waits for a person")


def check_removals(world: World, to_recheck: Container[tuple[str, str]], effect: e.Effect) -> None:
    """Check the removals from a folder that are about to be made.

    Two empty listings in a row are believed where they delete too few files to hold them. So only deletes of an
    approved plan are checked, and only where no listing after the approval was empty as well.

    Args:
        to_recheck: the files (path, text) of that plan.

    Raises:
        WrongDelete: the server holds the very file that is removed for having been deleted there, and never lost it.
    """
    if not isinstance(effect, e.ApplyChanges) or "server" in world.restored:
        return
    if world.plain is not None:
        _check_on_plain(world.plain, effect)
    if not world.chances.empty_listing or world.plain is not None:
        return
    heads = world.server.heads(world.source_id)
    for intent, _ in effect.jobs:
        if intent.new is None and intent.purpose is Purpose.PULL and intent.path not in world.network.deleted:
            head = heads.get(intent.path)
            known = head is not None and sha(head.encode()) == intent.expected
            if known and (intent.path, intent.expected) in to_recheck:
                raise WrongDelete(f"{intent.path} is removed here, and was never deleted on the server")


def _check_on_plain(plain: PlainFace | PinakesFace, effect: e.ApplyChanges) -> None:
    """A path that the server never lost is not removed, whatever is listed or hidden there.

    A file that is known ahead of the feed, from its head or from our own push, seems to follow an older move of its
    new folder. It is removed again by the folder's next move, or by a listing; the server keeps its text.
    """
    intents = [intent for intent, _ in effect.jobs if intent.new is None and intent.purpose is Purpose.PULL]
    removed = {intent.path for intent in intents}
    if removed:
        lost = {event["relativePath"] for event in plain.told() if event["type"] == "file.delete"}
        held = plain.heads(plain.source)
        left = {old for old, _ in plain.folder_moves()}
        lost |= {path for path in removed - held.keys() if any(path.startswith(f"{folder}/") for folder in left)}
        kept = plain.evidence(plain.source).kept
        entered = {new for _, new in plain.folder_moves()}
        lost |= {
            intent.path
            for intent in intents
            if intent.path not in held
            and intent.expected in kept
            and any(intent.path.startswith(f"{folder}/") for folder in entered)
        }
        for path in sorted(removed - lost):
            raise WrongDelete(f"{path} is removed here, and was never deleted on the server")
