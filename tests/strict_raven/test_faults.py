"""The strict server loses what the real one loses, and injected faults strike as configured."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from strict_raven import BODY_LIMIT, StrictRaven, faults, token
from strict_raven.client import SENTINEL, Client, Clock, digest, server_and_client
from strict_raven.faults import Faulty
from strict_raven.serve import serving
from support.eventually import patience


def test_a_fresh_delete_wipes_conflicts_and_history_silently() -> None:
    """The only copy of the refused edit is then in no answer; the tests still see it."""
    server, client, _ = server_and_client()
    client.push("1", "a.md", "head")
    edit = {"sourceId": client.source, "relativePath": "a.md", "content": "refused", "baseHash": SENTINEL}
    assert client.call("sources/file/update", **edit)["status"] == "conflict"
    assert client.delete("2", "a.md", digest("head")) == (1, 0)
    assert client.call("sources/conflicts", sourceId=client.source) == []
    assert client.post("sources/history", sourceId=client.source, relativePath="a.md").status_code == 404
    assert "conflict.resolved" not in {event["type"] for event in client.events()}
    assert [(conflict.status, conflict.remote_content) for conflict in server.conflicts_ever()] == [
        ("wiped", "refused")
    ]
    assert digest("refused") in server.texts_ever()


def test_a_restored_server_gives_numbers_out_a_second_time() -> None:
    """After a restore the last cursor is below the one already answered, and what came after the copy is gone."""
    server, client, _ = server_and_client()
    client.push("1", "a.md", "old")
    backup = server.snapshot()
    client.push("2", "b.md", "new")
    server.restore(backup)
    assert server.heads(client.source) == {"a.md": "old"}
    empty = client.call("sources/push-batch", sourceId=client.source, items=[])
    assert empty["eventCursor"] == 1
    client.push("3", "c.md", "other")
    assert client.events(1)[0]["relativePath"] == "c.md"
    assert digest("new") in server.texts_ever()


def test_the_released_fault_breaks_only_answers_with_rows() -> None:
    """Registering answers 500 with the known text; a push still counts."""
    server, client, _ = server_and_client()
    server.released_fault = True
    broken = client.post("connectors/register", name="c", platform="linux")
    assert broken.status_code == 500
    assert "'toISOString'" in broken.json()["message"]
    assert client.push("1", "a.md", "x") == (1, 0)
    assert client.post("sources/file", sourceId=client.source, relativePath="a.md").status_code == 500


def test_a_lone_surrogate_is_replaced_in_a_conflict_only() -> None:
    """A head is stored as JSON too, a conflict as text only."""
    server, client, _ = server_and_client()
    client.push("1", "a.md", "head")
    statuses = []
    for operation, base in (("2", digest("head")), ("3", SENTINEL)):
        item = {"operationId": operation, "relativePath": "a.md", "content": "x\ud800", "baseHash": base}
        raw = json.dumps({"sourceId": client.source, "items": [item]})
        headers = {"content-type": "application/json"}
        answer = client.http.post("/api/local-sync/sources/push-batch", content=raw, headers=headers)
        statuses.append(answer.status_code)
    assert statuses == [500, 200]
    assert [conflict.local_content for conflict in server.conflicts_ever()] == ["x\ufffd"]


def test_a_token_expires_by_the_servers_clock() -> None:
    """The moment is the clock's, not the machine's."""
    server, client, clock = server_and_client()
    client.http.headers["authorization"] = f"Bearer {token(expires=clock.now + 10)}"
    assert client.post("sources/list").status_code == 200
    clock.now += 11
    assert client.post("sources/list").status_code == 401
    assert [entry.status for entry in server.log][-2:] == [200, 401]


@pytest.fixture
def faulty() -> tuple[StrictRaven, Faulty, Client, list[float]]:
    """A server with faults around it, its client, and the seconds waited."""
    server, waited = StrictRaven(clock=Clock()), list[float]()
    around = Faulty(server.handle, wait=waited.append)
    return server, around, Client(around.handle), waited


FaultySetup = tuple[StrictRaven, Faulty, Client, list[float]]


@pytest.mark.parametrize(("fault", "done"), [(faults.drop_answer(), True), (faults.drop_request(), False)])
def test_a_dropped_connection_is_an_error_done_or_not(faulty: FaultySetup, fault: faults.Fault, done: bool) -> None:
    """The client sees the same; only the server knows."""
    server, around, client, _ = faulty
    around.inject(fault, on="push-batch")
    client.call("sources/list")
    with pytest.raises(httpx.ReadError):
        client.push("1", "a.md", "x")
    assert bool(server.heads(client.source)) is done
    assert around.struck == [(fault.name, "/api/local-sync/sources/push-batch")]
    assert client.push("1", "a.md", "x") == ((0, 0) if done else (1, 0))


def test_answers_from_between_never_reach_the_server(faulty: FaultySetup) -> None:
    """A web page, 204, 401, 413, 429 and 503 leave the server as it was."""
    server, around, client, _ = faulty
    date = "Fri, 31 Dec 1999 23:59:59 GMT"
    for fault in (
        faults.html(),
        faults.no_content(),
        faults.unauthorized(),
        faults.too_large(),
        faults.too_many("7"),
        faults.too_many(date),
        faults.unavailable(),
    ):
        around.inject(fault)
    answers = [client.post("sources/push-batch", sourceId=client.source, items=[]) for _ in range(7)]
    assert [answer.status_code for answer in answers] == [200, 204, 401, 413, 429, 429, 503]
    assert answers[0].headers["content-type"].startswith("text/html")
    assert [answer.headers.get("retry-after") for answer in answers[4:6]] == ["7", date]
    assert [entry.path for entry in server.log if entry.path.endswith("push-batch")] == []


def test_a_cut_answer_is_no_json_and_its_work_is_done(faulty: FaultySetup) -> None:
    """The status is 200, and the body ends in the middle."""
    server, around, client, _ = faulty
    around.inject(faults.cut_json())
    item = {"operationId": "1", "relativePath": "a.md", "content": "x"}
    answer = client.post("sources/push-batch", sourceId=client.source, items=[item])
    assert answer.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        answer.json()
    assert server.heads(client.source) == {"a.md": "x"}


def test_a_delay_is_waited_on_the_given_clock(faulty: FaultySetup) -> None:
    """A simulation passes hours without waiting; `requests` counts and `clear` forgets."""
    _, around, client, waited = faulty
    around.inject(faults.delay(7200.0), requests=3)
    client.call("sources/list")
    client.call("sources/list")
    around.clear()
    client.call("sources/list")
    assert waited == [7200.0, 7200.0]


@pytest.fixture
def served() -> Iterator[tuple[Faulty, httpx.Client]]:
    """A faulty server behind a real socket, and an httpx client for it."""
    around = Faulty(StrictRaven().handle)
    headers = {"authorization": f"Bearer {token()}"}
    with serving(around.handle) as url, httpx.Client(base_url=url, headers=headers, trust_env=False) as client:
        yield around, client


def test_a_socket_answers_at_once_and_keeps_connections(
    served: tuple[Faulty, httpx.Client],
) -> None:
    """A hundred requests over one connection take far less than forty milliseconds each."""
    _, client = served
    started = time.perf_counter()
    for _ in range(100):
        assert client.post("/api/local-sync/sources/list", json={}).json()["data"] == []
    assert time.perf_counter() - started < patience(2.0)


def test_a_socket_refuses_a_large_body_and_resets_a_huge_one(
    served: tuple[Faulty, httpx.Client],
) -> None:
    """413 ends the connection; far beyond it there is no answer at all."""
    _, client = served
    refused = client.post("/api/local-sync/sources/list", content=b"x" * (BODY_LIMIT + 1))
    assert (refused.status_code, refused.headers["connection"]) == (413, "close")
    with pytest.raises(httpx.TransportError):
        client.post("/api/local-sync/sources/list", content=b"x" * 20 * BODY_LIMIT)


def test_over_a_socket_a_lost_answer_is_a_closed_connection(served: tuple[Faulty, httpx.Client]) -> None:
    """The next request goes through again."""
    around, client = served
    around.inject(faults.drop_answer())
    with pytest.raises(httpx.TransportError):
        client.post("/api/local-sync/sources/list", json={})
    assert client.post("/api/local-sync/sources/list", json={}).status_code == 200


def test_a_stopped_server_answers_nobody_over_a_kept_connection() -> None:
    """A client that had a connection open finds it ended."""
    with contextlib.ExitStack() as stopping, httpx.Client(trust_env=False) as client:
        url = stopping.enter_context(serving(StrictRaven().handle))
        assert client.post(f"{url}/api/local-sync/sources/list", json={}).status_code == 401
        stopping.close()
        with pytest.raises(httpx.TransportError):
            client.post(f"{url}/api/local-sync/sources/list", json={})


def test_the_server_runs_as_a_process_of_its_own() -> None:
    """It tells its address and a token in one line, and ends with its standard input."""
    tests = Path(__file__).resolve().parent.parent
    command = [sys.executable, "-m", "strict_raven", "--port", "0", "--seed", "3", "--overwrite", "0.5"]
    with subprocess.Popen(command, cwd=tests, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        told = json.loads(process.stdout.readline())
        headers = {"authorization": f"Bearer {told['token']}"}
        with httpx.Client(headers=headers, trust_env=False) as client:
            answer = client.post(f"{told['url']}/api/local-sync/sources/list", json={})
        process.stdin.close()
        assert process.wait(timeout=patience(20)) == 0
    assert answer.status_code == 200


def test_an_empty_listing_comes_back_whole(faulty: FaultySetup) -> None:
    """FB2: the server lists nothing once, and keeps everything."""
    server, around, client, _ = faulty
    client.push("1", "a.md", "x")
    around.inject(faults.empty_listing(), on="sources/files")
    assert client.call("sources/files", sourceId=client.source) == []
    assert [row["relativePath"] for row in client.call("sources/files", sourceId=client.source)] == ["a.md"]
    assert server.heads(client.source) == {"a.md": "x"}
