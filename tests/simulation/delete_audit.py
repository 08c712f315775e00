"""Check of the delete guard's promises while a machine works."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import TYPE_CHECKING

from agent.core.model import Purpose
from agent.core.remote_records import Verb
from agent.engine import effects as e
from agent.engine import messages as m
from agent.engine.in_flight import HeldDeletes
from simulation.user import sha

if TYPE_CHECKING:
    from simulation.world import World


class WrongDelete(AssertionError):
    """A delete that nobody asked for, or that waits for a person."""


def check_step(
    held: HeldDeletes | None, messages: Iterable[m.Message], effects: Iterable[e.Effect], parked: Container[str]
) -> None:
    """Check the deletes of one step against the plan that was held before it.

    Args:
        parked: paths with a conflict. A delete that is sent there is known to be stale: the server keeps its head.

    Raises:
        WrongDelete: a held delete is carried out, and no person approved the plan in this step.
    """
    if held is None or any(isinstance(message, m.ApproveDeletes | m.UndoDeletes) for message in messages):
        return
    for effect in effects:
        deletes: list[tuple[str, str | None]] = []
        if isinstance(effect, e.Send):
            operations = (outgoing.operation for outgoing in effect.parcels if outgoing.content_override is None)
            deletes = [(op.path, op.base) for op in operations if op.verb is Verb.DELETE]
        elif isinstance(effect, e.ApplyChanges):
            intents = (intent for intent, _ in effect.jobs if intent.purpose is Purpose.PULL)
            deletes = [(intent.path, intent.expected) for intent in intents if intent.new is None]
        for delete in deletes:
            if delete in held.files and delete[0] not in parked:
                raise WrongDelete(f"{delete[0]} is deleted, and the plan it is held under waits for a person")


def check_removals(world: World, effect: e.Effect) -> None:
    """Check the removals from a folder that are about to be made.

    Raises:
        WrongDelete: the server holds the very file that is removed for having been deleted there, and never lost it.
    """
    if not isinstance(effect, e.ApplyChanges) or not world.chances.empty_listing or "server" in world.restored:
        return
    heads = world.server.heads(world.source_id)
    for intent, _ in effect.jobs:
        if intent.new is None and intent.purpose is Purpose.PULL and intent.path not in world.network.deleted:
            head = heads.get(intent.path)
            if head is not None and sha(head.encode()) == intent.expected:
                raise WrongDelete(f"{intent.path} is removed here, and was never deleted on the server")
