"""One run, from its seed to its verdict."""

from __future__ import annotations

import traceback
from dataclasses import dataclass

from simulation import visits
from simulation.oracle import complaints
from simulation.teardown_checks import Ending
from simulation.trace_audit import TraceAudit
from simulation.world import Plan, World


@dataclass(frozen=True)
class Verdict:
    """What became of a run; ``wrong`` is empty where every law held."""

    plan: Plan
    wrong: tuple[str, ...]
    world: World

    def told(self, last: int | None = None) -> str:
        """What went wrong, and the last lines of what happened."""
        lines = self.world.script.told()
        shown = lines if last is None else lines[-last:]
        head = f"seed {self.plan.seed}, {self.plan.server}: PYTHONPATH=tests python -m simulation {self.plan.seed} "
        return "\n".join([head + f"--server {self.plan.server} --trace", *shown, *self.wrong])


def run(plan: Plan) -> Verdict:
    """Run a plan. Whatever the tested code raises is a reason (law 6)."""
    world = World(plan)
    audit = TraceAudit(world)
    try:
        try:
            world.run()
            Ending(world).run()
        except Exception as error:
            return Verdict(plan, (f"law 6: {error!r}", traceback.format_exc()), world)
        revisions = visits.complaints(world) if world.plain is None else world.plain.complaints(world)
        return Verdict(plan, (*complaints(world), *revisions, *audit.complaints()), world)
    finally:
        world.close()
