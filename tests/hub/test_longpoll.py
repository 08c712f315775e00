"""Waiting for events on one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Iterator, MutableMapping
from contextlib import AbstractContextManager
from typing import Any
from unittest.mock import patch

import httpx
import orjson
import pytest

from agent.hub import http_app
from agent.hub.answers import Response
from agent.hub.auth import JwtTokens, token_id
from agent.hub.domain.ports import StoreSession
from agent.hub.event_notifier import EventNotifier, woken_within
from agent.hub.http_app import HubApp
from agent.hub.raven.endpoints import HANDLERS, Hub
from agent.hub.raven.validation import LARGE_ANSWERS, WRITERS
from agent.hub.store.token_registry import IssuedToken, Revocations, TokenRegistry
from hub.fixtures import SECRET, WORKSPACE, InProcess, upsert


def run(body: Any) -> Any:
    """The coroutine's answer on an event loop of its own."""
    return asyncio.run(body)


async def poll(http: httpx.AsyncClient, hub: InProcess, **body: Any) -> Any:
    """The data of one deltas request over ASGI."""
    answer = await http.post("/api/local-sync/sources/deltas", headers=hub.headers, content=orjson.dumps(body))
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def over(app: HubApp) -> httpx.AsyncClient:
    """A client that speaks to the application in this process."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app.asgi), base_url="http://hub", timeout=60)


def test_a_ring_between_look_and_wait_is_not_lost() -> None:
    """A waiter that subscribes first and reads then is woken by a commit in between."""

    async def claim() -> None:
        notifier = EventNotifier()
        with notifier.subscribe("s") as woken:
            await asyncio.to_thread(notifier.notify, "s")
            assert await woken_within(woken, 5)
            assert not await woken_within(woken, 0.01)

    run(claim())


def test_a_ring_wakes_those_of_its_source_only() -> None:
    """And leaves nothing behind when they have gone."""

    async def claim() -> None:
        notifier = EventNotifier()
        with notifier.subscribe("a") as one, notifier.subscribe("b") as other:
            notifier.notify("a")
            assert await woken_within(one, 5)
            assert not await woken_within(other, 0.01)
        assert not notifier._waiting

    run(claim())


def test_closing_the_bell_lets_everybody_go_also_later_ones() -> None:
    """A hub that stops keeps nobody waiting."""

    async def claim() -> None:
        notifier = EventNotifier()
        with notifier.subscribe("s") as woken:
            notifier.close()
            assert await woken_within(woken, 5)
        with notifier.subscribe("s") as late:
            assert await woken_within(late, 5)

    run(claim())


def test_a_poll_without_events_answers_empty_after_its_wait(light: InProcess) -> None:
    """Not before, and not much later. The database was asked once."""
    source = light.source()

    async def claim() -> float:
        async with over(HubApp(light.hub)) as http:
            begun = time.monotonic()
            assert (await poll(http, light, sourceId=source, waitMs=300))["events"] == []
            return time.monotonic() - begun

    with patch.object(light.store, "read", wraps=light.store.read) as reads:
        assert 0.3 <= run(claim()) < 3
    assert reads.call_count == 1


@pytest.mark.parametrize("wait", [{}, {"waitMs": 0}, {"waitMs": None}])
def test_a_poll_without_a_wait_answers_at_once(light: InProcess, wait: dict[str, Any]) -> None:
    """As on the real server."""
    source = light.source()

    async def claim() -> Any:
        async with over(HubApp(light.hub)) as http:
            return await asyncio.wait_for(poll(http, light, sourceId=source, **wait), 2)

    assert run(claim())["events"] == []


def test_two_hundred_waiting_polls_hear_of_one_event_at_once(light: InProcess) -> None:
    """They hold no thread while they wait, so others are served meanwhile, and all are woken by the commit."""
    source, quiet = light.source(), light.source()

    async def claim() -> None:
        async with over(HubApp(light.hub)) as http:
            waiting = [asyncio.create_task(poll(http, light, sourceId=source, waitMs=30_000)) for _ in range(200)]
            other = asyncio.create_task(poll(http, light, sourceId=quiet, waitMs=500))
            assert (await other)["events"] == []
            assert not any(task.done() for task in waiting)
            body = orjson.dumps({"sourceId": source, "items": [upsert("a.md", "one")]})
            await http.post("/api/local-sync/sources/push-batch", headers=light.headers, content=body)
            pages = await asyncio.gather(*waiting)
            # A wait that ends by itself has an empty page.
            assert all([e["relativePath"] for e in page["events"]] == ["a.md"] for page in pages)

    run(claim())


def test_woken_waiters_share_a_read_and_later_ones_do_not() -> None:
    """A read that began before a wake may have missed its event, so nobody who is woken then joins it."""

    async def claim() -> None:
        notifier, go = EventNotifier(), asyncio.Event()
        begun: list[int] = []

        async def read() -> Response:
            begun.append(len(begun))
            await go.wait()
            return Response(200, b"%d" % begun[-1])

        async def ask(request: str) -> bytes:
            return (await notifier.read_once("s", request, read)).read()

        with notifier.subscribe("s"):
            first = [asyncio.create_task(ask("same")) for _ in range(3)]
            other = asyncio.create_task(ask("other"))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert len(begun) == 2
            notifier.notify("s")
            await asyncio.sleep(0)
            later = asyncio.create_task(ask("same"))
            first[0].cancel()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            go.set()
            await asyncio.gather(*first[1:], other, later)
            assert len(begun) == 3
        assert not notifier._reads

    run(claim())


@contextlib.contextmanager
def counted_reads(light: InProcess) -> Iterator[list[None]]:
    """One item for each transaction that reads. They run in threads, where appending is one step, unlike counting."""
    reads: list[None] = []
    read = light.store.read

    def counted() -> AbstractContextManager[StoreSession]:
        reads.append(None)
        return read()

    with patch.object(light.store, "read", counted):
        yield reads


def test_one_event_is_read_once_for_all_who_wait(light: InProcess) -> None:
    """Each of them has looked once before; the machines differ, and the one that asks for more reads by itself."""
    source, machines = light.source(), [light.connector() for _ in range(20)]

    async def claim() -> None:
        app = HubApp(light.hub)
        async with over(app) as http:
            asked = [{"connectorId": machine, "latestOnly": True, "waitMs": 30_000} for machine in machines]
            asked.append({"waitMs": 30_000})
            waiting = [asyncio.create_task(poll(http, light, sourceId=source, **body)) for body in asked]
            # Each machine is looked up once, and each poll looks once before it waits.
            before = len(machines) + len(asked)
            while app.notifier.waiting < len(asked) or len(reads) < before:
                await asyncio.sleep(0.001)
            body = orjson.dumps({"sourceId": source, "items": [upsert("a.md", "one")]})
            await http.post("/api/local-sync/sources/push-batch", headers=light.headers, content=body)
            pages = await asyncio.gather(*waiting)
            assert [page["nextCursor"] for page in pages] == [1] * len(asked)
            assert len(reads) - before == 2
            assert (await poll(http, light, sourceId=source, cursor=1))["events"] == []

    with counted_reads(light) as reads:
        run(claim())


def test_a_waiter_whose_token_ended_meanwhile_is_refused(light: InProcess) -> None:
    """It shares no read with those whose token is still valid."""
    source = light.source()

    async def claim() -> int:
        app = HubApp(light.hub)
        async with over(app) as http:
            body = orjson.dumps({"sourceId": source, "waitMs": 30_000})
            url = "/api/local-sync/sources/deltas"
            waiting = asyncio.create_task(http.post(url, headers=light.headers, content=body))
            while not app.notifier.waiting:
                await asyncio.sleep(0.001)
            light.wall.now += 400 * 86_400_000
            app.notifier.notify(source)
            return (await waiting).status_code

    assert run(claim()) == 401


def test_a_commit_wakes_a_poll_that_would_wait_for_ever(light: InProcess) -> None:
    """Forty times: no wait ends by itself, so the event comes with its commit, after one look before and one behind."""
    source = light.source()

    async def claim() -> None:
        app, cursor = HubApp(light.hub), 0
        waits = asyncio.Event()

        async def endless(woken: asyncio.Event, _: float) -> bool:
            waits.set()
            return await woken_within(woken, math.inf)

        async with over(app) as http:
            with patch.object(http_app, "woken_within", endless):
                for number in range(40):
                    before = len(reads)
                    waits.clear()
                    waiting = asyncio.create_task(poll(http, light, sourceId=source, cursor=cursor, waitMs=20_000))
                    await waits.wait()
                    body = orjson.dumps({"sourceId": source, "items": [upsert(f"{number}.md", "x")]})
                    await http.post("/api/local-sync/sources/push-batch", headers=light.headers, content=body)
                    page = await waiting
                    assert [event["relativePath"] for event in page["events"]] == [f"{number}.md"]
                    assert len(reads) - before == 2
                    cursor = page["nextCursor"]

    with counted_reads(light) as reads:
        run(claim())


@pytest.mark.parametrize("body", [{}, {"sourceId": "x", "waitMs": 20_000}, [], {"sourceId": 5, "waitMs": "long"}])
def test_a_request_that_is_refused_does_not_wait(light: InProcess, body: Any) -> None:
    """Validation answers at once."""

    async def claim() -> int:
        async with over(HubApp(light.hub)) as http:
            url = "/api/local-sync/sources/deltas"
            answer = await asyncio.wait_for(http.post(url, headers=light.headers, content=orjson.dumps(body)), 2)
            return answer.status_code

    assert run(claim()) == 400


def test_only_large_answers_wait_for_slow_readers(light: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a machine does not read its page, another one of the user pushes and beats; its own page is a 503."""
    monkeypatch.setattr(http_app, "ANSWER_BUDGET", (200_000, 100_000))
    monkeypatch.setattr(http_app, "BUDGET_SECONDS", 0.05)
    connector, source = light.connector(), light.source()
    light.push(source, upsert("a.md", "a" * 150_000))

    async def claim() -> None:
        app = HubApp(light.hub)
        blocked, read = asyncio.Event(), asyncio.Event()
        body = orjson.dumps({"sourceId": source, "cursor": 0})

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.body":
                blocked.set()
                await read.wait()

        path = "/api/local-sync/sources/deltas"
        scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "client": ("127.0.0.1", 1),
            "headers": [
                (name.encode(), value.encode())
                for name, value in (light.headers | {"content-length": str(len(body))}).items()
            ],
        }
        slow = asyncio.create_task(app.asgi(scope, receive, send))
        await blocked.wait()
        statuses = {}
        asked: dict[str, dict[str, Any]] = {
            "connectors/heartbeat": {"connectorId": connector},
            "sources/push-batch": {"sourceId": source, "items": [upsert("b.md", "b")]},
            "sources/list": {},
            "sources/deltas": {"sourceId": source, "cursor": 0},
        }
        async with over(app) as http:
            for endpoint, fields in asked.items():
                url = f"/api/local-sync/{endpoint}"
                answer = await http.post(url, headers=light.headers, content=orjson.dumps(fields))
                statuses[endpoint] = answer.status_code
            assert list(statuses.values()) == [200, 200, 200, 503], statuses
            read.set()
            await slow
            assert (await poll(http, light, sourceId=source, cursor=0))["events"]

    run(claim())


def test_every_endpoint_has_a_known_size_of_answer() -> None:
    """A new endpoint is either a writer, a small answer, or bounded by the answers' budget."""
    small = {"sources/list", "sources/digest", "sources/machines", "connectors/heartbeat"}
    assert HANDLERS.keys() - LARGE_ANSWERS - WRITERS == small
    assert not LARGE_ANSWERS & WRITERS


def test_a_poll_of_a_revoked_token_gets_no_changes(light: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits already when the token is revoked and another hub commits, so no request here read the list since."""
    registry, source = TokenRegistry(light.store), light.source()
    revocations = Revocations(registry, max_age=0)
    given = light.headers["authorization"].removeprefix("Bearer ")
    registry.add(IssuedToken(token_id(given), WORKSPACE, "ada", 1, light.wall() + 1_000_000))
    tokens = JwtTokens(SECRET, is_revoked=revocations.contains)
    app = HubApp(Hub(light.store, light.wall, tokens=tokens), revocations=revocations)

    async def claim() -> int:
        begun, body = asyncio.Event(), orjson.dumps({"sourceId": source, "waitMs": 20_000})

        async def waits(woken: asyncio.Event, seconds: float) -> bool:
            begun.set()
            return await woken_within(woken, seconds)

        monkeypatch.setattr(http_app, "woken_within", waits)
        async with over(app) as http:
            sent = http.post("/api/local-sync/sources/deltas", headers=light.headers, content=body)
            waiting = asyncio.create_task(sent)
            await begun.wait()
            registry.revoke(token_id(given), light.wall())
            light.push(source, upsert("a.md", "not for it"))
            app.commit_elsewhere(source)
            return (await waiting).status_code

    assert run(claim()) == 401
