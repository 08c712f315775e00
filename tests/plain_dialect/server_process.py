"""The plain server as a process of its own: ``python server_process.py FOLDER PORT``. It survives SIGKILL."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

# As a script this file has only its own folder on the import path.
sys.path.append(str(Path(__file__).parents[1]))

from plain_dialect.durable import DurableApi, FileResponse, Meter
from plain_dialect.state import Sizes
from strict_raven.serve import Connection, HandlerServer
from strict_raven.wire import Response

_PIECE = 256 * 1024


class MeteredConnection(Connection):
    """Counts the bytes of chunks and of large contents; sends these from their files."""

    meter: Meter
    chunk_seconds = 0.0

    def receive(self, length: int) -> bytes:
        """See ``Connection``."""
        if self.command != "PUT":
            return super().receive(length)
        begun = time.monotonic()
        body = bytearray()
        while len(body) < length and (piece := self.rfile.read(min(_PIECE, length - len(body)))):
            body += piece
            self.meter.add(received=len(piece))
        # The speed of the link: a loopback device has none.
        time.sleep(max(begun + self.chunk_seconds - time.monotonic(), 0))
        return bytes(body)

    def send(self, response: Response) -> None:
        """See ``Connection``."""
        if not isinstance(response, FileResponse):
            super().send(response)
            return
        self.send_head(response, response.length)
        with response.file.open("rb") as file:
            file.seek(response.start)
            while piece := file.read(_PIECE):
                self.wfile.write(piece)
                self.meter.add(sent=len(piece))


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(prog="server_process")
    parser.add_argument("folder", type=Path)
    parser.add_argument("port", type=int)
    parser.add_argument("--inline", type=int, required=True, help="bytes of the largest inline content")
    parser.add_argument("--chunk", type=int, required=True, help="bytes of a chunk")
    parser.add_argument("--most", type=int, required=True, help="bytes of the largest file")
    parser.add_argument("--chunk-seconds", type=float, default=0.0, help="least time in which a chunk arrives")
    chosen = parser.parse_args()
    api = DurableApi(chosen.folder, Sizes(chosen.inline, chosen.chunk, chosen.most))
    MeteredConnection.chunk_seconds = chosen.chunk_seconds
    MeteredConnection.meter = Meter(chosen.folder / "meter")
    with HandlerServer(api.handle, chosen.port, MeteredConnection) as server:
        server.serve_forever(poll_interval=0.02)


if __name__ == "__main__":
    main()
