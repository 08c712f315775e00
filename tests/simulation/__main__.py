"""``python -m simulation SEED`` repeats one run; ``--shrink`` makes it as short as possible.

``--seeds FIRST-LAST --jobs N`` makes many runs; ``--jobs 0`` uses all cores.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import multiprocessing
import os
import sys
import time
from collections.abc import Iterable

from simulation.run import run
from simulation.shrink import script_of, shrink
from simulation.world import SERVERS, Plan

_TELL_EVERY = 100
"""Runs between two lines about how far it is, on stderr."""


def _wrong(job: tuple[int, str]) -> tuple[int, str, tuple[str, ...]]:
    seed, server = job
    return seed, server, run(Plan(seed, server)).wrong


def _many(seeds: range, servers: list[str], jobs: int) -> int:
    began, failed = time.monotonic(), 0
    work = [(seed, server) for seed in seeds for server in servers]
    with contextlib.ExitStack() as stack:
        if jobs == 1:
            results: Iterable[tuple[int, str, tuple[str, ...]]] = map(_wrong, work)
        else:
            pool = stack.enter_context(multiprocessing.Pool(jobs or os.cpu_count()))
            results = pool.imap_unordered(_wrong, work, chunksize=4)
        for done, (seed, server, wrong) in enumerate(results, 1):
            if done % _TELL_EVERY == 0:
                print(f"{done} of {len(work)} runs, {failed} failed", file=sys.stderr, flush=True)
            if wrong:
                failed += 1
                print(f"{server} {seed}: {wrong[0].splitlines()[0][:200]}", flush=True)
    print(f"{failed} of {len(work)} runs failed in {time.monotonic() - began:.1f} s")
    return 1 if failed else 0


def main() -> int:
    """Exit code 0 if every law held."""
    parser = argparse.ArgumentParser(prog="python -m simulation", description=__doc__)
    parser.add_argument("seed", nargs="?", type=int)
    parser.add_argument("--seeds", help="FIRST-LAST, or LAST")
    parser.add_argument("--server", choices=sorted(SERVERS), help="default: all for --seeds, else hub")
    parser.add_argument("--jobs", type=int, default=1, help="processes; 0: one a core")
    parser.add_argument("--shrink", action="store_true", help="leave out every turn the failure does not need")
    parser.add_argument("--trace", action="store_true", help="show everything that happened")
    given = parser.parse_args()
    # What agents warn of is what is done to them on purpose here.
    logging.disable(logging.CRITICAL)
    if given.seeds:
        first, _, last = given.seeds.rpartition("-")
        servers = [given.server] if given.server else sorted(SERVERS)
        return _many(range(int(first or 0), int(last) + 1), servers, given.jobs)
    if given.seed is None:
        parser.error("a seed or --seeds is needed")
    plan = Plan(given.seed, given.server or "hub")
    if given.shrink:
        verdict = run(shrink(plan))
        print(verdict.told() if given.trace else script_of(verdict))
        return 1
    verdict = run(plan)
    print(verdict.told(None if given.trace else 60) if verdict.wrong or given.trace else "every law held")
    return 1 if verdict.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
