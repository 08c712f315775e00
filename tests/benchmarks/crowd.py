"""A thousand simulated agents of one hub: waiting polls that begin at different times, and pushes at a steady rate."""

from __future__ import annotations

import heapq
import selectors
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import orjson
import psutil

from benchmarks.hubload import Connection, request
from benchmarks.measure import cpu_of
from hub.fixtures import upsert
from support.servers import HubServer

WAIT_SECONDS: Final = 25
"""Seconds that an agent's poll waits on the hub."""
_CHUNK: Final = 1 << 16


@dataclass(frozen=True)
class Cost:
    """Seconds of processor of the hub and of its database, with all of its processes."""

    hub: float
    database: float

    def since(self, before: Cost) -> Cost:
        """The difference."""
        return Cost(self.hub - before.hub, self.database - before.database)


def cost_of(hub: HubServer, postmaster: int) -> Cost:
    """The cost so far. Connections of the pool stay, so that none of the database's processes ends meanwhile."""
    server = psutil.Process(postmaster)
    database = sum(cpu_of(process.pid) for process in (server, *server.children(recursive=True)))
    return Cost(cpu_of(hub.running.process.pid), database)


class Crowd:
    """Agents that wait for news of their sources, each on a connection of its own.

    Attributes:
        polls: answered polls.
        received: bytes of their answers.
    """

    def __init__(self, hub: HubServer, sources: Sequence[str], connectors: Sequence[str], count: int) -> None:
        self._hub = hub
        self._agents = [Connection(hub) for _ in range(count)]
        self._place = {id(agent): number for number, agent in enumerate(self._agents)}
        self._sources = [sources[number % len(sources)] for number in range(count)]
        self._connectors = [connectors[number % len(connectors)] for number in range(count)]
        self._cursors = [0] * count
        self._due: list[tuple[float, int]] = []
        self.polls, self.received = 0, 0

    def begin(self, spread_seconds: float) -> None:
        """Have each agent begin to poll at a time of its own within so many seconds."""
        now, count = time.monotonic(), len(self._agents)
        self._due = [(now + spread_seconds * number / count, number) for number in range(count)]

    def close(self) -> None:
        """Close every connection."""
        for agent in self._agents:
            agent.socket.close()

    def _ask(self, number: int) -> None:
        poll = request(
            self._hub, "sources/deltas", sourceId=self._sources[number], cursor=self._cursors[number], limit=500,
            waitMs=WAIT_SECONDS * 1000, latestOnly=True, connectorId=self._connectors[number],
        )  # fmt: skip
        self._agents[number].socket.sendall(poll)

    def wait(self, seconds: float, expected: int | None = None) -> list[float]:
        """Poll for so long, or until so many events were told. Return the moments in which agents were told of one."""
        began = time.monotonic()
        told: list[float] = []
        with selectors.DefaultSelector() as waiting:
            for agent in self._agents:
                waiting.register(agent.socket, selectors.EVENT_READ, agent)
            while time.monotonic() < began + seconds and (expected is None or len(told) < expected):
                while self._due and self._due[0][0] <= time.monotonic():
                    self._ask(heapq.heappop(self._due)[1])
                for key, _ in waiting.select(0.02):
                    chunk = key.data.socket.recv(_CHUNK)
                    self.received += len(chunk)
                    body = key.data.heard(chunk)
                    if body is None:
                        continue
                    self.polls += 1
                    number = self._place[id(key.data)]
                    page = orjson.loads(body)["data"]
                    if page["events"]:
                        told.append(time.monotonic())
                    self._cursors[number] = page["nextCursor"]
                    if expected is None:
                        self._ask(number)
        return told


def steady_pushes(
    hub: HubServer, sources: Sequence[str], items: int, each_second: float, seconds: float, text: str
) -> tuple[int, float]:
    """Push batches of so many new files at a rate, from ten connections. Return the items, and the seconds it took."""
    count = int(each_second * seconds)
    made = [
        request(
            hub, "sources/push-batch", sourceId=sources[number % len(sources)],
            items=[upsert(f"{items}/{number:06}/{one}.md", f"{items} {number} {one}\n{text}") for one in range(items)],
        )
        for number in range(count)
    ]  # fmt: skip
    lanes = [made[lane::10] for lane in range(10)]
    began = time.monotonic()

    def push(lane: int) -> None:
        connection = Connection(hub)
        for turn, one in enumerate(lanes[lane]):
            late = began + (turn * 10 + lane) / each_second - time.monotonic()
            if late > 0:
                threading.Event().wait(late)
            answer = orjson.loads(connection.ask(one))["data"]
            assert answer["applied"] == items
        connection.socket.close()

    threads = [threading.Thread(target=push, args=(lane,)) for lane in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return count * items, time.monotonic() - began
