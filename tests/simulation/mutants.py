"""``python -m simulation.mutants`` runs every mutant on each of its faces and lists the first seed that finds it."""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import sys
import time
from dataclasses import dataclass, replace

from simulation.mutant import Mutant
from simulation.mutations import MUTANTS
from simulation.world import SERVERS

_SLIPS = tuple(f"law 6: {kind.__name__}(" for kind in (AttributeError, NameError, TypeError))
"""What a run complains of that ended in a mutant's own mistake, and found nothing out."""


@dataclass(frozen=True, slots=True)
class Hunt:
    """What became of one mutant.

    Attributes:
        face: the servers it was run on.
        runs: how many runs were made.
        caught: seed, server and reason of the run that found it out; None if none did.
        seconds: of processor time.
    """

    name: str
    face: str
    runs: int
    caught: tuple[int, str, str] | None
    seconds: float


def hunt(mutant: Mutant, seeds: range) -> Hunt:
    """Run seed after seed on each server the mutant can show on, until a run complains that does not otherwise."""
    began, runs = time.process_time(), 0
    for seed in (*mutant.seeds, *seeds):
        for server in mutant.servers:
            runs += 1
            with mutant.breaking():
                wrong = mutant.complaints(seed, server)
            if wrong and wrong[0].startswith(_SLIPS):
                raise AssertionError(f"{mutant.name} does not fit the product any more: {wrong}")
            if wrong and not mutant.complaints(seed, server):
                caught = seed, server, wrong[0].splitlines()[0]
                return Hunt(mutant.name, ", ".join(mutant.servers), runs, caught, time.process_time() - began)
    return Hunt(mutant.name, ", ".join(mutant.servers), runs, None, time.process_time() - began)


def _hunt(job: tuple[int, str, range]) -> Hunt:
    logging.disable(logging.WARNING)
    number, face, seeds = job
    return hunt(replace(MUTANTS[number], servers=(face,)), seeds)


def main() -> int:
    """Exit code 0 if every mutant was found out on one of its faces at least."""
    parser = argparse.ArgumentParser(prog="python -m simulation.mutants", description=__doc__)
    parser.add_argument(
        "--seeds", type=int, default=1000, help="so many seeds on each face, then it has survived there"
    )
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=0, help="worker processes; 0: one a core")
    parser.add_argument("--only", help="mutants whose name holds this")
    parser.add_argument("--face", choices=sorted(SERVERS), help="this face alone")
    given = parser.parse_args()
    jobs = [
        (number, face, range(given.first, given.first + given.seeds))
        for number, mutant in enumerate(MUTANTS)
        for face in mutant.servers
        if (not given.only or given.only in mutant.name) and given.face in (None, face)
    ]
    found_out: dict[str, bool] = {}
    with multiprocessing.Pool(given.jobs or os.cpu_count()) as pool:
        print("| mutant | face | first seed | runs | CPU seconds | reason |\n|---|---|---|---|---|---|")
        for found in pool.imap(_hunt, jobs, chunksize=1):
            seed, _, reason = found.caught or ("–", "", "survived")
            found_out[found.name] = found_out.get(found.name, False) or found.caught is not None
            row = (found.name, found.face, seed, found.runs, f"{found.seconds:.1f}", reason[:120])
            print("| " + " | ".join(map(str, row)) + " |", flush=True)
    print(f"\n{sum(found_out.values())} of {len(found_out)} mutants were found out")
    return 0 if all(found_out.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
