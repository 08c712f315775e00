"""The strict server as a process of its own: `python -m strict_pinakes --port 0`.

The first line on stdout is `{"url": ..., "token": ...}`. It ends when its standard input does.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import fields, replace

from strict_pinakes.api import PinakesApi
from strict_pinakes.server import HASHES, StrictPinakes
from strict_pinakes.state import PinTraps
from strict_raven.serve import serving
from strict_scaidrive.__main__ import one_at_a_time

MOST = 1 << 30
CHUNK = 1 << 20


def made(clock: Callable[[], float], traps: PinTraps, algorithm: str = "sha256") -> tuple[StrictPinakes, PinakesApi]:
    """A server for real agents: large files, large chunks."""
    server = StrictPinakes(clock, traps, algorithm, MOST)
    return server, PinakesApi(server, CHUNK)


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(prog="strict_pinakes")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--trap", action="append", default=[], choices=[each.name for each in fields(PinTraps)])
    parser.add_argument("--hash", default="sha256", choices=HASHES)
    chosen = parser.parse_args()
    server, api = made(time.time, replace(PinTraps(), **dict.fromkeys(chosen.trap, True)), chosen.hash)
    token = server.log_in()
    with serving(one_at_a_time(api.handle), chosen.port) as url:
        sys.stdout.write(json.dumps({"url": url, "token": token}) + "\n")
        sys.stdout.flush()
        sys.stdin.buffer.read()


if __name__ == "__main__":
    main()
