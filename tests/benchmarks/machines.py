"""Machines whose every request is counted, and the moments at which a text arrives."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from benchmarks.measure import Cost, cpu_of, run
from benchmarks.relay import Relay
from hub.fixtures import OverHttp
from support.eventually import eventually
from support.processes import COMMAND, Daemon, Home
from support.servers import HubServer, sha

_LOOK_SECONDS: Final = 0.001
_WAIT_MS: Final = 1000
_CALM_SECONDS: Final = 2.0
_CALM_SHARE: Final = 0.03


@dataclass(frozen=True, slots=True)
class Machine:
    """A home that reaches the hub through a relay of its own."""

    home: Home
    relay: Relay

    @classmethod
    @contextlib.contextmanager
    def signed_in(cls, top: Path, name: str, hub: HubServer, there_and_back: float = 0.0) -> Iterator[Machine]:
        """A machine signed in as ``raven``, nothing counted yet; ``there_and_back`` seconds away from the hub."""
        home = Home(top, name)
        # A process of its own each time, as people start it.
        home.command = COMMAND
        with Relay.before(hub.url, there_and_back) as relay:
            signed = home.run(
                "login", relay.url, "--workspace", hub.workspace, "--name", "raven", "--token-stdin", stdin=hub.token
            )
            assert signed.code == 0, signed
            relay.counted()
            yield cls(home, relay)

    @property
    def folder(self) -> Path:
        """What is synced."""
        return self.home.folder

    @property
    def index(self) -> Path:
        """The index's file."""
        return self.home.path / "index.sqlite"

    def timed(self, *arguments: str | Path, codes: tuple[int, ...] = (0,)) -> Cost:
        """What a command cost that had to end like this."""
        return run([*COMMAND, *arguments], self.home.env, self.home.folder, codes)

    def up_timed(self) -> tuple[Cost, dict[str, Any]]:
        """``up FOLDER --once``, linking the folder if it is not; its cost, and what it did to the one source."""
        cost = self.timed("up", self.home.folder, "--server", "raven", "--once", "--yes", "--json")
        return cost, dict(orjson.loads(cost.out)["sources"][0])

    def up_once(self) -> dict[str, Any]:
        """The same without its cost."""
        return self.up_timed()[1]

    def join(self, source: str) -> Cost:
        """Link the folder to another machine's source and bring it down."""
        return self.timed("link", self.home.folder, "--yes", "--wait", "--server", "raven", "--source", source)


class FeedEar:
    """Hears the hub's feed of one source; remembers when each text was first heard of."""

    def __init__(self, client: OverHttp, source: str) -> None:
        self._client = client
        self._source = source
        self._heard: dict[str, float] = {}
        self._ended = threading.Event()

    @classmethod
    @contextlib.contextmanager
    def open(cls, hub: HubServer, source: str) -> Iterator[FeedEar]:
        """An ear on what comes from now on."""
        client = OverHttp(hub.url, hub.token, hub.workspace)
        ear = cls(client, source)
        cursor = int(client.push(source)["eventCursor"])
        thread = threading.Thread(target=ear._listen, args=(cursor,), name="ear")
        thread.start()
        try:
            yield ear
        finally:
            ear._ended.set()
            thread.join()
            client.http.close()

    def when(self, text: str) -> float:
        """The moment this text stood on the hub."""
        eventually(lambda: sha(text) in self._heard, 60, "the text reaches the hub")
        return self._heard[sha(text)]

    def _listen(self, cursor: int) -> None:
        while not self._ended.is_set():
            page = self._client.ok("sources/deltas", sourceId=self._source, cursor=cursor, limit=500, waitMs=_WAIT_MS)
            now = time.perf_counter()
            for event in page["events"]:
                self._heard.setdefault(event["payload"].get("hash", ""), now)
                cursor = event["cursor"]


def when_on_disk(file: Path, text: str, seconds: float = 60.0) -> float:
    """The moment a file holds a text; looked at every millisecond."""
    wanted = text.encode()
    deadline = time.perf_counter() + seconds
    while file.read_bytes() != wanted:
        assert time.perf_counter() < deadline, f"{file.name} does not arrive within {seconds} s"
        time.sleep(_LOOK_SECONDS)
    return time.perf_counter()


def until_rest(daemons: Sequence[Daemon]) -> None:
    """Wait until no machine has anything to do."""
    eventually(lambda: all(map(_rests, daemons)), 600, "the machines come to rest")


def until_calm(pid: int) -> None:
    """Wait until a process works no more: what it says of itself may be true before it has made sure of it."""
    eventually(lambda: _used_within(pid, _CALM_SECONDS) < _CALM_SHARE * _CALM_SECONDS, 300, "the agent is calm")


def _used_within(pid: int, seconds: float) -> float:
    before = cpu_of(pid)
    threading.Event().wait(seconds)
    return cpu_of(pid) - before


def _rests(daemon: Daemon) -> bool:
    source = daemon.source()
    return (source["state"], source["pending_push"], source["pending_pull"]) == ("up_to_date", 0, 0)
