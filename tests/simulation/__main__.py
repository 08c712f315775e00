"""``python -m simulation SEED`` repeats one run; ``--seeds FIRST-LAST --jobs N`` makes many."""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time

from simulation.run import run
from simulation.servers import SERVERS
from simulation.world import Plan


def _wrong(job: tuple[int, str]) -> tuple[int, str, tuple[str, ...]]:
    seed, server = job
    return seed, server, run(Plan(seed, server)).wrong


def _many(seeds: range, servers: list[str], jobs: int) -> int:
    began, failed = time.monotonic(), 0
    work = [(seed, server) for seed in seeds for server in servers]
    with multiprocessing.Pool(jobs) as pool:
        for seed, server, wrong in pool.imap_unordered(_wrong, work, chunksize=5):
            if wrong:
                failed += 1
                print(f"{server} {seed}: {wrong[0].splitlines()[0][:200]}", flush=True)
    print(f"{failed} of {len(work)} runs failed in {time.monotonic() - began:.1f} s")
    return 1 if failed else 0


def main() -> int:
    """Exit code 0 if every law held."""
    parser = argparse.ArgumentParser(prog="python -m simulation", description=__doc__)
    parser.add_argument("seed", nargs="?", type=int)
    parser.add_argument("--seeds", help="FIRST-LAST")
    parser.add_argument("--server", choices=sorted(SERVERS), help="default: both for --seeds, else hub")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--trace", action="store_true", help="show everything that happened")
    given = parser.parse_args()
    if given.seeds:
        first, _, last = given.seeds.partition("-")
        servers = [given.server] if given.server else sorted(SERVERS)
        return _many(range(int(first), int(last or first) + 1), servers, given.jobs)
    if given.seed is None:
        parser.error("a seed or --seeds is needed")
    verdict = run(Plan(given.seed, given.server or "hub"))
    print(verdict.told(None if given.trace else 60) if verdict.wrong or given.trace else "every law held")
    return 1 if verdict.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
