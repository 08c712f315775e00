"""Check of a decision when it ends: no conflict of the same text and base that was known stays open on the server.

At the end of a run nothing of it can be seen: the machine whose conflict was left open decides it as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent.core.conflict import Conflict, ConflictOrigin, ConflictState
from agent.core.remote_records import RemoteConflict
from agent.engine import messages as m

if TYPE_CHECKING:
    from simulation.machine import Machine
    from simulation.world import World


@dataclass(slots=True)
class DecisionAudit:
    """The decisions of one machine.

    Attributes:
        listed: conflicts that the server listed for this machine, by id.
        due: by id of a decided conflict, the ids of its equals that were listed before the decision.
    """

    listed: dict[str, RemoteConflict] = field(default_factory=dict)
    due: dict[int, tuple[Conflict, frozenset[str]]] = field(default_factory=dict)

    def check(self, world: World, machine: Machine, messages: Iterable[m.Message]) -> Iterator[str]:
        """Take one step of the machine in; yield the equals that are open though their decision is over."""
        parked = {conflict.id: conflict for conflict in machine.engine._ctx.parked.values()}
        for message in messages:
            if isinstance(message, m.HeadArrived | m.ConflictsArrived):
                self.listed |= {found.id: found for found in message.conflicts or ()}
            elif isinstance(message, m.Resolve) and message.conflict in parked:
                decided = parked[message.conflict]
                equals = frozenset(i for i, found in self.listed.items() if _is_equal(decided, found))
                if equals and decided.state is ConflictState.RESOLVING and decided.origin is ConflictOrigin.TREES:
                    self.due[decided.id] = decided, equals
        for decided, equals in [each for each in self.due.values() if each[0].id not in parked]:
            del self.due[decided.id]
            for identifier in sorted(equals & world.conflict_bases().keys()):
                yield f"left open: the decision on {decided.path} is over, and {identifier}, its equal, is open"


def _is_equal(decided: Conflict, found: RemoteConflict) -> bool:
    same = (found.path, found.local_hash, found.base_hash) == (decided.path, decided.local_hash, decided.base_hash)
    revisions = {found.base_rev, decided.base_rev} - {None}
    return same and len(revisions) < 2
