"""Request bodies that would cost much: refused before they are parsed, and never in the way of small ones."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from unittest.mock import patch

import httpx
import orjson
import pytest

from agent.hub.answers import Response
from agent.hub.fair_limit import FairLimit
from agent.hub.http_app import HubApp
from agent.hub.http_request import poll_request, source_of_body
from agent.hub.json_size import MOST_VALUES, has_few_values
from hub.drive import Drive
from hub.fixtures import InProcess, headers, token, upsert

MARKS = '{[,"\\' * 5


@pytest.mark.parametrize(
    ("value", "brackets"),
    [
        ([], 1),
        ({}, 1),
        ([1, 2, 3], 1),
        ({"a": 1, "b": [{}, {}]}, 4),
        ([MARKS], 1),
        ([MARKS, MARKS + "\\"], 1),
        ({MARKS: {MARKS: "\\" * 3}}, 2),
        ([["\\\\", '"', '\\"', "{", ",,,,"]], 2),
    ],
)
def test_only_brackets_outside_of_strings_count(value: object, brackets: int) -> None:
    """A text may hold any number of brackets, commas, quotation marks and backslashes."""
    body = orjson.dumps(value)
    assert has_few_values(body, brackets)
    assert not has_few_values(body, brackets - 1)


@pytest.mark.parametrize(("strings", "few"), [(100, True), (101, False), (100_000, False)])
def test_ten_strings_for_each_bracket(strings: int, few: bool) -> None:
    """Names count as much as texts."""
    assert has_few_values(orjson.dumps([""] * strings), 10) is few
    assert has_few_values(orjson.dumps({f"{n}": 0 for n in range(strings)}), 10) is few


def test_a_batch_of_texts_full_of_brackets_is_taken(light: InProcess) -> None:
    """They are characters of texts, however many."""
    source = light.source()
    results = light.push(source, *(upsert(f"{n}.md", '{"a":[1,2]},' * 500) for n in range(100)))
    assert {item["status"] for item in results["items"]} == {"applied"}


@pytest.mark.parametrize("values", [b"{}", b"[]", b'"a","b","c","d","e","f","g","h","i","j"'])
@pytest.mark.parametrize("start", [b"", b'"a":"\\ud800",'])
def test_a_body_of_many_values_is_refused(light: InProcess, start: bytes, values: bytes) -> None:
    """Ten times as many objects as a batch needs. The event loop does not parse it either."""
    source = light.source().encode()
    body = b'{"sourceId":"%s",%b"items":[' % (source, start) + (values + b",") * MOST_VALUES + values + b"]}"
    for endpoint in ("sources/push-batch", "sources/deltas"):
        status, _, answer = light.send("POST", f"/api/local-sync/{endpoint}", light.headers, body)
        assert (status, orjson.loads(answer)["message"]) == (413, "Request body holds too many values")
    assert poll_request(body).source is None
    assert source_of_body(body) is None
    assert source_of_body(b'{"sourceId":"%s"}' % source) is not None


def test_the_drive_face_refuses_many_values(light: InProcess) -> None:
    """Its lists are longer, and bounded too."""
    drive = Drive(light)
    changes: list[dict[str, str]] = [{}] * 100_000
    assert drive.ask("POST", "sync/apply", {"changes": changes})[0] == 413


def test_waiting_clients_are_taken_in_turn() -> None:
    """Each client's oldest task first; a cancelled one is left out, and nothing stays behind."""

    async def claim() -> None:
        limit, order, go = FairLimit(2), list[str](), asyncio.Event()

        async def work(name: str) -> None:
            async with limit.turn(name[0]):
                order.append(name)
                await go.wait()

        tasks = {}
        for name in ("a1", "a2", "a3", "a4", "a5", "b1", "b2", "c1", "d1"):
            tasks[name] = asyncio.create_task(work(name))
            await asyncio.sleep(0)
        assert order == ["a1", "a2"]
        tasks["a4"].cancel()
        tasks["d1"].cancel()
        go.set()
        await asyncio.gather(*tasks.values(), return_exceptions=True)
        assert order == ["a1", "a2", "a3", "b1", "c1", "a5", "b2"]
        assert limit.is_idle

    asyncio.run(claim())


@pytest.mark.parametrize("has_begun", [True, False], ids=["its turn has come", "it still waits"])
@pytest.mark.parametrize("cancelled", [1, 3000])
def test_a_turn_goes_past_tasks_that_are_cancelled(cancelled: int, has_begun: bool) -> None:
    """One when its turn has just come, or thousands that have not run since, as when a hub is stopped."""

    async def claim() -> None:
        limit, begun = FairLimit(1), asyncio.Event()

        async def work() -> None:
            async with limit.turn("b"):
                begun.set()

        def cancel(tasks: list[asyncio.Task[None]]) -> None:
            for task in tasks[:-1]:
                task.cancel()

        async with limit.turn("a"):
            tasks = [asyncio.create_task(work()) for _ in range(cancelled + 1)]
            await asyncio.sleep(0)
            if not has_begun:
                cancel(tasks)
        if has_begun:
            cancel(tasks)
        await asyncio.gather(*tasks, return_exceptions=True)
        assert begun.is_set() and all(task.cancelled() for task in tasks[:-1]) and limit.is_idle

    asyncio.run(claim())


def waiting(app: HubApp) -> int:
    """Writing requests that wait for their turn."""
    limits = [app._turns, *app._source_turns.values()]
    return sum(len(queue) for limit in limits for queue in limit._waiting.values())


@pytest.mark.parametrize("threads", [2, 4])
def test_large_requests_of_one_user_delay_others_by_one(light: InProcess, threads: int) -> None:
    """Twelve of one user wait for the database; another user's, and a small one of the same user, are soon begun."""
    turns, begun = threading.Semaphore(0), list[str]()
    whole = light.hub.handle

    def handle(method: str, path: str, sent: Mapping[str, str], body: bytes) -> Response:
        begun.append(str(orjson.loads(body)["items"][0]["relativePath"]))
        assert turns.acquire(timeout=60)
        return whole(method, path, sent, body)

    source, other = light.source(), headers(token(user="other"), light.headers["x-workspace-id"])

    async def claim() -> None:
        app = HubApp(light.hub, write_threads=threads)
        transport = httpx.ASGITransport(app=app.asgi)
        async with httpx.AsyncClient(transport=transport, base_url="http://hub", timeout=60) as http:

            async def push(path: str, size: int, sent: Mapping[str, str]) -> int:
                body = orjson.dumps({"sourceId": source, "items": [upsert(path, path[0] * size)]})
                return (await http.post("/api/local-sync/sources/push-batch", headers=sent, content=body)).status_code

            tasks = [asyncio.create_task(push(f"{n}.md", 100_000, light.headers)) for n in range(12)]
            tasks += [
                asyncio.create_task(push("other.md", 100_000, other)),
                asyncio.create_task(push("small.md", 1, light.headers)),
            ]
            while len(begun) < 2 or waiting(app) < len(tasks) - 2:
                await asyncio.sleep(0.001)
            turns.release(len(tasks))
            assert await asyncio.gather(*tasks) == [200] * len(tasks)
        assert max(begun.index(path) for path in ("other.md", "small.md")) < 8

    with patch.object(light.hub, "handle", handle):
        asyncio.run(claim())
