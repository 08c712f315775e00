"""Requests of dialects other than Raven: verbs, queries, opened files as bodies, and contents in pieces."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Any

import httpx
import pytest
from msgspec import structs

from agent.cli.exit_codes import ExitCode, for_error
from agent.core.errors import ContentChanged, ProblemKind
from agent.hub.answers import QUOTA_MESSAGE
from agent.remotes.http.client import HttpClient
from agent.remotes.http.download import download
from agent.remotes.http.failures import RemoteCallError, SideEffect, of_exception
from agent.remotes.http.profile import PLAIN, ApiProfile, Refusal
from agent.remotes.http.request import BYTES, ApiRequest, FilePart
from agent.remotes.pinakes.profile import pinakes_profile
from agent.remotes.raven.profile import raven_profile
from agent.remotes.scaidrive.profile import scaidrive_profile
from remotes.scripted import TOKEN, Handler
from remotes.suite.transfers import OpenedFile

PROFILE = ApiProfile("v1/", address_ending="/v1", headers={"x-team": "t"})
DIGITS = b"0123456789"
GET = ApiRequest("GET", "files/{}/content", ids=("f 1",))


def client(handler: Handler, profile: ApiProfile = PROFILE) -> HttpClient:
    """Calls of a plain dialect, answered by a function."""
    return HttpClient("https://s.test", lambda: TOKEN, profile, transport=httpx.MockTransport(handler))


def answered_with(answer: httpx.Response, _request: httpx.Request) -> httpx.Response:
    return answer


def serve(ranges: bool = True, **changes: Any) -> Handler:
    """A server of ``DIGITS``; ``changes`` replace what a right answer has."""

    def handler(request: httpx.Request) -> httpx.Response:
        asked = request.headers.get("range", "")
        start = int(asked[6:-1]) if asked and ranges else 0
        answer: dict[str, Any] = {"status_code": 206 if start else 200, "content": DIGITS[start:], "headers": {}}
        if start:
            answer["headers"] = {"content-range": f"bytes {start}-9/10"}
        return httpx.Response(**{**answer, **changes})

    return handler


def received(handler: Handler, offset: int, size: int = 10) -> list[tuple[int, bytes]]:
    """The pieces of a download, joined where they follow each other."""
    pieces: list[tuple[int, bytes]] = []
    download(client(handler), GET, size, offset, lambda at, piece: pieces.append((at, piece)))
    return [(pieces[0][0], b"".join(piece for _, piece in pieces))] if pieces else []


class TestRequests:
    def test_every_part_of_a_request_reaches_the_server(self) -> None:
        """Verb, ids, query, body, type, the dialect's headers and the request's own."""
        seen: list[httpx.Request] = []

        def handler(request: httpx.Request) -> httpx.Response:
            seen.append(request)
            return httpx.Response(201, json={"id": 1}, headers={"ETag": "x"})

        answer = client(handler).request(
            ApiRequest(
                "PUT",
                "files/{}/parts/{}",
                ids=("a/b ?", "ü"),
                query={"rev": "r&1", "n": 2},
                body=b"raw",
                content_type=BYTES,
                headers={"if-match": "r1"},
            )
        )
        (request,) = seen
        assert (request.method, request.content) == ("PUT", b"raw")
        assert request.url.raw_path == b"/v1/files/a%2Fb%20%3F/parts/%C3%BC?rev=r%261&n=2"
        sent = {name: request.headers[name] for name in ("content-type", "x-team", "if-match", "content-length")}
        assert sent == {"content-type": BYTES, "x-team": "t", "if-match": "r1", "content-length": "3"}
        assert (answer.data, answer.status, answer.headers["etag"]) == ({"id": 1}, 201, "x")

    def test_a_request_without_a_body_names_no_type(self) -> None:
        """A GET has neither a type nor a length."""

        def handler(request: httpx.Request) -> httpx.Response:
            assert not {"content-type", "content-length", "transfer-encoding"} & request.headers.keys()
            return httpx.Response(200, json=[])

        assert client(handler).request(ApiRequest("GET", "shares")).data == []

    def test_an_opened_file_is_sent_in_pieces_with_its_length(self) -> None:
        """Only a part of it, and never more than a quarter of a mebibyte at once."""
        file = OpenedFile(bytes(range(256)) * 4096)
        part = FilePart(file, 1000, 600_000)

        def handler(request: httpx.Request) -> httpx.Response:
            assert request.headers["content-length"] == "600000"
            assert "transfer-encoding" not in request.headers
            assert request.read() == file.content[1000:601_000]
            return httpx.Response(204)

        answer = client(handler).request(ApiRequest("PUT", "chunk", body=part, may_be_empty=True))
        assert (answer.data, answer.status) == (None, 204)
        assert file.reads == [1000, 1000 + (1 << 18), 1000 + (2 << 18)]

    def test_a_file_that_changes_while_it_is_sent_ends_the_request(self) -> None:
        """The caller gets the reader's own error, not a failure of the network."""

        def handler(request: httpx.Request) -> httpx.Response:
            request.read()
            raise AssertionError("the request was complete")

        with pytest.raises(ContentChanged):
            client(handler).request(ApiRequest("PUT", "chunk", body=FilePart(OpenedFile(b"x", changes_at=0), 0, 1)))

    def test_an_empty_answer_is_only_taken_where_it_is_meant(self) -> None:
        """PR6: 204 from a portal is no success of a call that answers with data, and a web page never is."""
        for may_be_empty, answer in [(False, httpx.Response(204)), (True, httpx.Response(200, html="<html>"))]:
            with pytest.raises(RemoteCallError) as error:
                client(partial(answered_with, answer)).request(ApiRequest("DELETE", "x", may_be_empty=may_be_empty))
            assert error.value.problem.kind is ProblemKind.GARBLED


class TestRefusals:
    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (403, ProblemKind.FORBIDDEN),
            (410, ProblemKind.GONE),
            (507, ProblemKind.NO_SPACE),
            (416, ProblemKind.BAD_REQUEST),
        ],
    )
    def test_a_status_has_its_general_meaning(self, status: int, kind: ProblemKind) -> None:
        """Where the dialect gives it no other; the failure keeps the status."""
        failure = self.refused(httpx.Response(status, json={"detail": "no"}))
        assert (failure.problem.kind, failure.status, failure.reason) == (kind, status, "no")

    def test_the_dialect_gives_a_status_its_meaning(self) -> None:
        """By the endpoint without ids, and the decoded body."""
        asked: list[tuple[int, str, Any]] = []

        def meaning(status: int, endpoint: str, body: Any) -> Refusal | None:
            asked.append((status, endpoint, body))
            return Refusal(ProblemKind.CURSOR_LOST, "{server} forgot the position", complete=True)

        profile = structs.replace(PROFILE, meaning=meaning)
        failure = self.refused(httpx.Response(400, json={"error": "x"}), profile)
        assert asked == [(400, "files/{}/content", {"error": "x"})]
        assert failure.problem.message == "https://s.test forgot the position"
        assert (failure.problem.kind, failure.effect) == (ProblemKind.CURSOR_LOST, SideEffect.NONE)

    @pytest.mark.parametrize(
        ("body", "words"),
        [
            ({"detail": "text"}, "text"),
            ({"detail": [{"loc": [], "msg": "a"}, {"msg": "b"}]}, "a; b"),
            ({"error": {"code": "X", "message": "m"}}, "m"),
            ({"error": "plain"}, "plain"),
            ({"status": "error", "error": {"message": "m"}}, "m"),
            ({"detail": 5}, None),
            ([1], None),
        ],
    )
    def test_the_usual_forms_of_a_reason_are_understood(self, body: Any, words: str | None) -> None:
        """Text, a list of validation messages, and an error object."""
        assert self.refused(httpx.Response(400, json=body)).reason == words

    def test_space_that_is_used_up_may_say_how_long_to_wait(self) -> None:
        """507 with Retry-After."""
        failure = self.refused(httpx.Response(507, headers={"retry-after": "30"}))
        assert failure.problem.retry_after == 30.0

    @pytest.mark.parametrize("profile", [raven_profile("w"), scaidrive_profile("w"), pinakes_profile("w")])
    def test_a_used_up_quota_is_named_with_who_can_raise_it(self, profile: ApiProfile) -> None:
        """The hub's quota, in each of its APIs, is no full disk and no server that cannot be reached."""
        body = {"statusCode": 507, "message": QUOTA_MESSAGE, "detail": QUOTA_MESSAGE}
        failure = self.refused(httpx.Response(507, json=body), profile)
        assert failure.problem.kind is ProblemKind.NO_SPACE
        assert "quota on https://s.test is used up" in failure.problem.message
        assert "raven-agent hub limit WORKSPACE --quota SIZE" in failure.problem.message
        assert "disk" not in failure.problem.message
        assert for_error(failure.problem.kind.value) is ExitCode.FAILED

    def test_a_reset_under_a_chunk_is_a_lost_connection(self) -> None:
        """Where the dialect does not hang up on large requests, it says nothing about the size."""
        failure = of_exception(httpx.WriteError("reset"), 4 << 20, PLAIN.hangs_up_above)
        assert failure.problem.kind is ProblemKind.OFFLINE

    def refused(self, answer: httpx.Response, profile: ApiProfile = PROFILE) -> RemoteCallError:
        """How a call with this answer fails."""
        with pytest.raises(RemoteCallError) as error:
            client(lambda _: answer, profile).request(GET)
        return error.value


class TestDownload:
    def test_a_content_comes_from_its_beginning_without_a_range(self) -> None:
        """Offset 0 asks for the whole."""
        assert received(serve(), 0) == [(0, DIGITS)]

    def test_a_range_goes_on_where_the_last_try_ended(self) -> None:
        """206: only the missing bytes come."""
        assert received(serve(), 4) == [(4, DIGITS[4:])]

    def test_a_server_that_ignores_the_range_is_read_from_zero(self) -> None:
        """200 in place of 206."""
        assert received(serve(ranges=False), 4) == [(0, DIGITS)]

    def test_a_range_that_cannot_be_served_is_read_from_zero(self) -> None:
        """416: one more request, without a range."""

        def handler(request: httpx.Request) -> httpx.Response:
            return httpx.Response(416) if "range" in request.headers else httpx.Response(200, content=DIGITS)

        assert received(handler, 4) == [(0, DIGITS)]

    def test_an_offset_at_the_end_is_read_from_zero(self) -> None:
        """Bytes that are all there and did not match are of no use."""
        assert received(serve(), 10) == [(0, DIGITS)]

    @pytest.mark.parametrize(
        "changes",
        [
            {"content": DIGITS + b"x"},
            {"content": DIGITS[4:-1]},
            {"headers": {}},
            {"headers": {"content-range": "bytes 5-9/10"}},
            {"headers": {"content-range": "bytes 4-9/11"}},
            {"headers": {"content-range": "items 4-9/10"}},
            {"headers": {"content-range": "bytes 4-9/10", "content-encoding": "gzip"}},
        ],
    )
    def test_another_content_than_the_wanted_one_is_garbled(self, changes: dict[str, Any]) -> None:
        """Wrong size, wrong place, no place, compressed, or cut short."""
        with pytest.raises(RemoteCallError) as error:
            received(serve(**changes), 4)
        assert error.value.problem.kind is ProblemKind.GARBLED

    def test_no_byte_beyond_the_size_is_passed_on(self) -> None:
        """The receiver has reserved the space for the size only."""
        pieces: list[bytes] = []
        endless = client(lambda _: httpx.Response(200, content=_endless()))
        with pytest.raises(RemoteCallError):
            download(endless, GET, 10, 0, lambda _, piece: pieces.append(piece))
        assert len(b"".join(pieces)) <= 10

    @pytest.mark.parametrize("status", [404, 410])
    def test_a_version_that_is_gone_is_not_begun_anew(self, status: int) -> None:
        """Only 416 is answered with a second request."""
        asked: list[str] = []

        def handler(request: httpx.Request) -> httpx.Response:
            asked.append(request.headers.get("range", ""))
            return httpx.Response(status)

        with pytest.raises(RemoteCallError) as error:
            received(handler, 4)
        assert (error.value.status, asked) == (status, ["bytes=4-"])

    def test_an_error_of_the_receiver_passes_and_ends_the_call(self) -> None:
        """A full disk, or a cancelled download."""

        def full(_: int, piece: bytes) -> None:
            raise OSError(28, "full")

        with pytest.raises(OSError, match="full"):
            download(client(serve()), GET, 10, 0, full)

    def test_a_network_that_breaks_between_pieces_is_offline(self) -> None:
        """What came before it was passed on."""

        def broken() -> Iterator[bytes]:
            yield DIGITS[:3]
            raise httpx.ReadError("reset")

        pieces: list[tuple[int, bytes]] = []
        with (
            pytest.raises(RemoteCallError) as error,
            contextlib.closing(client(lambda _: httpx.Response(200, content=broken()))) as http,
        ):
            download(http, GET, 10, 0, lambda at, piece: pieces.append((at, piece)))
        assert (error.value.problem.kind, pieces) == (ProblemKind.OFFLINE, [(0, DIGITS[:3])])


def _endless() -> Iterator[bytes]:
    while True:
        yield b"x" * 4


def test_a_streamed_list_has_the_key_of_its_dialect() -> None:
    """Rows are found under the profile's key, in its own envelope."""
    profile = structs.replace(PROFILE, list_key=b"items", unwrap=lambda value: value["items"])

    def rows(conventions: ApiProfile) -> list[Any]:
        answer = httpx.Response(200, json={"items": [{"a": 1}, {"a": 2}]})
        return list(client(lambda _: answer, conventions).rows("x", {}))

    assert rows(profile) == [{"a": 1}, {"a": 2}]
    with pytest.raises(RemoteCallError):
        rows(PROFILE)
