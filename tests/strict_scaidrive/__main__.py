"""The strict server as a process of its own: `python -m strict_scaidrive --port 0`.

The first line on stdout is `{"url": ..., "token": ..., "refresh_token": ...}`. It ends when its standard input does.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import fields, replace

from strict_raven.serve import serving
from strict_raven.wire import Handler, Response
from strict_scaidrive.api import TOKEN, ScaiDriveApi
from strict_scaidrive.server import StrictScaiDrive
from strict_scaidrive.state import DriveTraps

MOST = 1 << 30
CHUNK = 1 << 20


def one_at_a_time(handler: Handler) -> Handler:
    """The same handler for several threads."""
    lock = threading.Lock()

    def handle(method: str, path: str, headers: Mapping[str, str], body: bytes) -> Response:
        with lock:
            return handler(method, path, headers, body)

    return handle


def made(clock: Callable[[], float], traps: DriveTraps) -> tuple[StrictScaiDrive, ScaiDriveApi]:
    """A server for real agents: large files, large chunks."""
    server = StrictScaiDrive(clock, traps, MOST)
    return server, ScaiDriveApi(server, CHUNK)


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(prog="strict_scaidrive")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--trap", action="append", default=[], choices=[each.name for each in fields(DriveTraps)])
    parser.add_argument("--limit", type=int)
    chosen = parser.parse_args()
    traps = replace(DriveTraps(), **dict.fromkeys(chosen.trap, True), limit=chosen.limit)
    _, api = made(time.time, traps)
    tokens = api.accounts.new_tokens()
    with serving(one_at_a_time(api.handle), chosen.port) as url:
        shown = {"url": url, "token": TOKEN, "refresh_token": tokens["refresh_token"]}
        sys.stdout.write(json.dumps(shown) + "\n")
        sys.stdout.flush()
        sys.stdin.buffer.read()


if __name__ == "__main__":
    main()
