"""The adapter against servers that fail, lie or answer in shapes no server should."""

from __future__ import annotations

import httpx
import orjson
import pytest

from agent.core.errors import ProblemKind, RemoteError
from agent.core.events import Delete, Unreadable, Upsert
from agent.core.remote_records import Result
from agent.remotes.http import client as http_module
from agent.remotes.raven.adapter import RavenRemote
from remotes.fixtures import edit, results, sha
from remotes.scripted import answering, client, raising


class TestShapes:
    def test_a_page_too_large_to_read_is_asked_for_in_smaller_pages(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A feed of large texts does not end in an answer that can never be read."""
        monkeypatch.setattr(http_module, "MAX_ANSWER", 20_000)
        limits: list[int] = []

        def deltas(request: httpx.Request) -> httpx.Response:
            asked = orjson.loads(request.content)
            limits.append(asked["limit"])
            events = [
                {
                    "id": f"e{n}",
                    "cursor": n,
                    "type": "file.upsert",
                    "relativePath": f"{n}.md",
                    "payload": {"hash": sha("x" * 1000), "content": "x" * 1000},
                }
                for n in range(asked["cursor"] + 1, 41)
            ]
            return httpx.Response(200, json={"events": events[: asked["limit"]]})

        remote = RavenRemote(client(deltas))
        state, seen, more = None, 0, True
        while more:
            page = remote.pull("s", state, 0, 0.0)
            state, more, seen = page.state, page.more, seen + len(page.events)
        assert seen == 40
        assert limits[:4] == [500, 125, 31, 7]

    @pytest.mark.parametrize(
        "data",
        [
            None,
            [],
            {"events": None},
            {"events": [1]},
            {"events": [{"id": "e", "cursor": "1", "type": "file.upsert"}]},
            {"events": [{"id": "e", "cursor": 1.5, "type": "file.upsert"}]},
            {"events": [{"id": "e", "cursor": True, "type": "file.upsert"}]},
            {"events": [{"id": "e", "cursor": 2**53, "type": "file.upsert"}]},
            {"events": [{"id": "e", "cursor": -1, "type": "file.upsert"}]},
        ],
    )
    def test_a_page_of_the_wrong_shape_is_garbled(self, data: object) -> None:
        """PR6: no part of it is told. An event without a number is one: nobody could say where to read on."""
        remote = RavenRemote(client(lambda _: httpx.Response(200, json=data)))
        with pytest.raises(RemoteError) as error:
            remote.pull("s", None, 0, 0.0)
        assert error.value.problem.kind is ProblemKind.GARBLED

    @pytest.mark.parametrize(
        ("spoiled", "path"),
        [
            ({"payload": []}, "b.md"),
            ({"payload": {}}, "b.md"),
            ({"payload": {"hash": 5}}, "b.md"),
            ({"payload": {"hash": "x", "content": 5}}, "b.md"),
            ({"payload": {"hash": "x", "operationId": {}}}, "b.md"),
            ({"type": None}, "b.md"),
            ({"type": "conflict.opened"}, "b.md"),
            ({"type": "conflict.resolved", "payload": {"conflictId": 1}}, "b.md"),
            ({"id": 7}, "b.md"),
            ({"createdAt": 5}, "b.md"),
            ({"relativePath": 5}, None),
        ],
    )
    def test_an_event_that_cannot_be_understood_spoils_only_itself(
        self, spoiled: dict[str, object], path: str | None
    ) -> None:
        """Its number says where to read on, so those around it are told, and it is told as what it is."""
        events = [
            {"id": f"e{n}", "cursor": n, "type": "file.delete", "relativePath": name, "payload": {}}
            for n, name in enumerate(["a.md", "b.md", "c.md"], 1)
        ]
        events[1] |= {"type": "file.upsert"} | spoiled
        remote = RavenRemote(client(lambda _: httpx.Response(200, json={"events": events})))
        page = remote.pull("s", None, 0, 0.0)
        before, bad, behind = page.events
        assert (before, behind) == (Delete("a.md", 1), Delete("c.md", 3))
        assert isinstance(bad, Unreadable)
        assert (bad.path, bad.position, page.cursor) == (path, 2, "3")
        assert bad.reason
        assert remote.pull("s", page.state, 0, 0.0).events == ()

    def test_content_that_is_not_its_hash_is_never_passed_on(self) -> None:
        """SC6: an event comes without it, a head is garbled."""
        event = {
            "id": "e",
            "cursor": 1,
            "type": "file.upsert",
            "relativePath": "a.md",
            "payload": {"hash": sha("right"), "content": "wrong"},
        }
        unknown = {"id": "f", "cursor": 2, "type": "file.sparkled", "relativePath": "a.md", "payload": {"new": 1}}
        feed = RavenRemote(client(lambda _: httpx.Response(200, json={"events": [event, unknown]})))
        page = feed.pull("s", None, 0, 0.0)
        assert [(e.hash, e.content) for e in page.events if isinstance(e, Upsert)] == [(sha("right"), None)]
        assert (len(page.events), page.cursor) == (1, "2")
        head = {"lastSyncedHash": sha("right"), "content": "wrong", "versions": []}
        with pytest.raises(RemoteError) as error:
            RavenRemote(client(lambda _: httpx.Response(200, json=head))).head("s", "a.md")
        assert error.value.problem.kind is ProblemKind.GARBLED


class TestPushFailures:
    def test_nothing_was_sent_to_a_server_that_cannot_be_reached(self) -> None:
        """Every operation keeps its place in the queue."""
        batch = [edit(f"{n}.md", "x") for n in range(150)]
        answer = RavenRemote(client(raising(httpx.ConnectError("refused")))).push("s", None, batch)
        assert set(results(answer, batch)) == {Result.NOT_SENT}
        assert answer.problem is not None
        assert answer.problem.kind is ProblemKind.OFFLINE

    def test_a_server_that_fails_at_everything_rejects_nothing(self) -> None:
        """A database that is down is no fault of the files: an empty batch fails as well, so none is set aside."""
        requests: list[int] = []

        def handler(request: httpx.Request) -> httpx.Response:
            requests.append(len(orjson.loads(request.content)["items"]))
            return answering(500, "connect ECONNREFUSED")(request)

        batch = [edit(f"{n}.md", "x") for n in range(100)]
        answer = RavenRemote(client(handler)).push("s", None, batch)
        assert set(results(answer, batch)) == {Result.UNCERTAIN}
        assert answer.problem is not None
        assert answer.problem.kind is ProblemKind.SERVER_FAULT
        assert len(requests) < 12

    def test_an_item_that_fails_once_and_then_passes_is_not_rejected(self) -> None:
        """The real server also fails when two machines create one path at the same moment."""
        failures = iter([True])

        def handler(request: httpx.Request) -> httpx.Response:
            items = orjson.loads(request.content)["items"]
            if items and next(failures, False):
                return answering(500, "duplicate key value violates unique constraint")(request)
            return httpx.Response(200, json={"applied": len(items), "conflicts": 0, "eventCursor": 1})

        batch = [edit("a.md", "x")]
        assert results(RavenRemote(client(handler)).push("s", None, batch), batch) == [Result.APPLIED]

    def test_operations_of_a_failed_request_are_uncertain(self) -> None:
        """The server fails at two items together, then is gone: both may have been applied the first time."""
        answers = iter([answering(500, "boom"), raising(httpx.ConnectError("gone"))])
        batch = [edit("a.md", "x"), edit("b.md", "y")]

        def handler(request: httpx.Request) -> httpx.Response:
            return next(answers)(request)

        answer = RavenRemote(client(handler)).push("s", None, batch)
        assert results(answer, batch) == [Result.UNCERTAIN] * 2

    @pytest.mark.parametrize(
        "data",
        [None, {}, {"applied": 1}, {"applied": "1", "conflicts": 0}, {"applied": 1, "conflicts": 0, "items": [{}]}],
    )
    def test_an_answer_of_the_wrong_shape_is_uncertain(self, data: object) -> None:
        """PR6: it was sent, and nothing is known."""
        batch = [edit("a.md", "x")]
        answer = RavenRemote(client(lambda _: httpx.Response(200, json=data))).push("s", None, batch)
        assert results(answer, batch) == [Result.UNCERTAIN]
        assert answer.problem is not None
        assert answer.problem.kind is ProblemKind.GARBLED
