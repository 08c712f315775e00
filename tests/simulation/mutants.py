"""``python -m simulation.mutants`` runs every mutant and lists the seed that finds it."""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import sys
import time
from dataclasses import dataclass

from simulation.mutant import Mutant
from simulation.mutations import MUTANTS

_SLIPS = tuple(f"law 6: {kind.__name__}(" for kind in (AttributeError, NameError, TypeError))
"""What a run complains of that ended in a mutant's own mistake, and found nothing out."""


@dataclass(frozen=True, slots=True)
class Hunt:
    """What became of one mutant.

    Attributes:
        runs: how many runs were made.
        caught: seed, server and reason of the run that found it out; None if none did.
        seconds: of processor time.
    """

    name: str
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
                return Hunt(mutant.name, runs, (seed, server, wrong[0].splitlines()[0]), time.process_time() - began)
    return Hunt(mutant.name, runs, None, time.process_time() - began)


def _hunt(job: tuple[int, range]) -> Hunt:
    logging.disable(logging.WARNING)
    number, seeds = job
    return hunt(MUTANTS[number], seeds)


def main() -> int:
    """Exit code 0 if every mutant was found out."""
    parser = argparse.ArgumentParser(prog="python -m simulation.mutants", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="so many seeds on each server, then it has survived")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=0, help="worker processes; 0: one a core")
    parser.add_argument("--only", help="mutants whose name holds this")
    given = parser.parse_args()
    chosen = [number for number, mutant in enumerate(MUTANTS) if not given.only or given.only in mutant.name]
    seeds = range(given.first, given.first + given.seeds)
    survived = 0
    with multiprocessing.Pool(given.jobs or os.cpu_count()) as pool:
        print("| mutant | found out by | runs | CPU seconds | reason |\n|---|---|---|---|---|")
        for found in pool.imap(_hunt, [(number, seeds) for number in chosen], chunksize=1):
            seed, server, reason = found.caught or ("–", "–", "survived")
            survived += found.caught is None
            row = (found.name, f"{seed} on {server}", found.runs, f"{found.seconds:.1f}", reason[:120])
            print("| " + " | ".join(map(str, row)) + " |", flush=True)
    print(f"\n{len(chosen) - survived} of {len(chosen)} mutants were found out")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
