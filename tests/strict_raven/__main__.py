"""The strict server as a process of its own: `python -m strict_raven --port 0`.

The first line on stdout is `{"url": ..., "workspace": ..., "token": ...}`. It ends when its standard input does.
"""

from __future__ import annotations

import argparse
import json
import sys

from strict_raven.auth import WORKSPACE, token
from strict_raven.domain import StrictRaven
from strict_raven.races import Races
from strict_raven.serve import serving


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(prog="strict_raven")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    for chance in ("overwrite", "skip", "twice", "resolve"):
        parser.add_argument(f"--{chance}", type=float, default=0.0)
    parser.add_argument("--released-fault", action="store_true")
    chosen = parser.parse_args()
    races = Races(chosen.seed, chosen.overwrite, chosen.skip, chosen.twice, chosen.resolve)
    server = StrictRaven(races=races, released_fault=chosen.released_fault)
    with serving(server.handle, chosen.port) as url:
        sys.stdout.write(json.dumps({"url": url, "workspace": WORKSPACE, "token": token()}) + "\n")
        sys.stdout.flush()
        sys.stdin.buffer.read()


if __name__ == "__main__":
    main()
