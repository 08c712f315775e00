"""``python -m explorer`` visits every order: one path to depth 8 and two paths to depth 6, on both servers.

Exit code 0 if every law held and every order was visited; 1 if a law was broken or the time was up.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import sys
from functools import partial

from explorer.search import Search
from simulation.mutations import MUTANTS
from simulation.servers import RAVEN

_DEPTHS = {1: 8, 2: 6}
MUTANTS_BY_NAME = {mutant.name: mutant for mutant in MUTANTS}


def main() -> int:
    """Run the searches that the arguments ask for, and print a line for each."""
    parser = argparse.ArgumentParser(prog="python -m explorer", description=__doc__)
    parser.add_argument("--server", choices=sorted(RAVEN), help="default: both")
    parser.add_argument("--paths", type=int, choices=sorted(_DEPTHS), help="default: one, then two")
    parser.add_argument("--depth", type=int, help="acts in one order; default: 8 for one path, 6 for two")
    parser.add_argument("--faults", type=int, default=2, help="lost answers and crashes in one order")
    parser.add_argument("--jobs", type=int, default=2, help="processes at the same time")
    parser.add_argument("--minutes", type=float, help="stop each search after that time")
    parser.add_argument("--rest", type=int, default=5, help="depth to which machines rest from each local state")
    parser.add_argument("--sample", type=int, default=300, help="worlds drawn from all, to be gone to at the end")
    parser.add_argument("--compared", type=int, default=2000, help="worlds drawn from all, to be compared at the end")
    parser.add_argument("--mutant", choices=sorted(MUTANTS_BY_NAME), help="break this promise first")
    parser.add_argument("--show", type=int, default=5, help="violations to print")
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)
    breaking = MUTANTS_BY_NAME[given.mutant].breaking() if given.mutant else contextlib.nullcontext()
    with breaking:
        return _searches(given)


def _searches(given: argparse.Namespace) -> int:
    failed = False
    for files in [given.paths] if given.paths else sorted(_DEPTHS):
        for server in [given.server] if given.server else sorted(RAVEN):
            seconds = None if given.minutes is None else given.minutes * 60
            depth = given.depth or _DEPTHS[files]
            report = Search(
                server, files, depth, faults=given.faults, jobs=given.jobs, seconds=seconds, rest=given.rest,
                sample=given.sample, compared=given.compared, tell=partial(print, flush=True),
            ).run()  # fmt: skip
            print(report.line(), flush=True)
            for violation in report.violations[: given.show]:
                print("  " + "; ".join(violation.trace))
                print("    " + "\n    ".join("\n".join(violation.wrong).splitlines()[:12]), flush=True)
            failed = failed or bool(report.violations) or not report.complete
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
