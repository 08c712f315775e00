"""One call: what may leave this machine, how much is read, and that every failure has its one meaning."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from agent.core.errors import ProblemKind, UsageError
from agent.remotes.http import client as http_module
from agent.remotes.http.address import PlainHttp
from agent.remotes.http.client import HttpClient
from agent.remotes.http.failures import EXCEPTIONS, HTTPX_ERRORS, RemoteCallError, SideEffect, of_exception
from agent.remotes.raven.profile import LARGE_BODY, raven_profile
from remotes.scripted import TOKEN, answering, client, failed, raising


def httpx_exceptions() -> Iterator[type[Exception]]:
    """Every exception httpx makes public."""
    for name in httpx.__all__:
        found = getattr(httpx, name)
        if inspect.isclass(found) and issubclass(found, Exception):
            yield found


class TestMap:
    @pytest.mark.parametrize("cls", list(httpx_exceptions()), ids=lambda cls: cls.__name__)
    def test_every_exception_of_httpx_has_a_meaning_of_its_own(self, cls: type[Exception]) -> None:
        """None is caught by accident, and none escapes: all descend from the roots that are caught."""
        assert cls in EXCEPTIONS
        assert issubclass(cls, HTTPX_ERRORS)

    @pytest.mark.parametrize("cls", [c for c in EXCEPTIONS if issubclass(c, httpx.RequestError)])
    def test_a_failed_request_is_one_problem_without_exception_text(self, cls: type[Exception]) -> None:
        """Some exceptions quote headers, and one header is the token."""
        failure = failed(raising(cls(f"Illegal header value {TOKEN}")))
        assert TOKEN not in failure.problem.message
        assert failure.__cause__.__class__ is cls

    @pytest.mark.parametrize("cls", [httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError])
    def test_a_request_that_never_left_had_no_effect(self, cls: type[Exception]) -> None:
        """So its operations may simply be sent later."""
        failure = failed(raising(cls("x")))
        assert (failure.problem.kind, failure.effect) == (ProblemKind.OFFLINE, SideEffect.NONE)

    @pytest.mark.parametrize("cls", [httpx.ReadTimeout, httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError])
    def test_a_request_that_left_may_have_had_an_effect(self, cls: type[Exception]) -> None:
        """So its operations are settled first."""
        failure = failed(raising(cls("x")))
        assert (failure.problem.kind, failure.effect) == (ProblemKind.OFFLINE, SideEffect.POSSIBLE)

    def test_a_reset_under_a_large_body_is_its_size(self) -> None:
        """The real server hangs up on a far too large body without an answer."""
        for cls in (httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError):
            large = of_exception(cls("reset"), LARGE_BODY + 1, LARGE_BODY)
            small = of_exception(cls("reset"), LARGE_BODY, LARGE_BODY)
            assert (large.problem.kind, small.problem.kind) == (ProblemKind.TOO_LARGE, ProblemKind.OFFLINE)

    def test_an_untrusted_certificate_is_named(self) -> None:
        """It looks like "unreachable" and is not."""
        failure = failed(raising(httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed")))
        assert "certificate" in failure.problem.message

    @pytest.mark.parametrize(
        ("status", "message", "kind", "effect"),
        [
            (400, "Source is paused", ProblemKind.PAUSED, SideEffect.NONE),
            (400, ["a must be b", "c must be d"], ProblemKind.BAD_REQUEST, SideEffect.NONE),
            (401, "Unauthorized", ProblemKind.SIGNED_OUT, SideEffect.NONE),
            (403, "Forbidden", ProblemKind.BAD_REQUEST, SideEffect.NONE),
            (404, "File not found", ProblemKind.NOT_FOUND, SideEffect.NONE),
            (408, None, ProblemKind.OFFLINE, SideEffect.NONE),
            (409, "moved", ProblemKind.STALE, SideEffect.NONE),
            (413, "Request body is too large", ProblemKind.TOO_LARGE, SideEffect.NONE),
            (429, "slow down", ProblemKind.BUSY, SideEffect.NONE),
            (500, "x.toISOString is not a function", ProblemKind.UPSTREAM_FAULT, SideEffect.POSSIBLE),
            (500, "value too long", ProblemKind.SERVER_FAULT, SideEffect.POSSIBLE),
            (502, None, ProblemKind.OFFLINE, SideEffect.POSSIBLE),
            (503, None, ProblemKind.BUSY, SideEffect.POSSIBLE),
            (504, None, ProblemKind.OFFLINE, SideEffect.POSSIBLE),
            (507, None, ProblemKind.BUSY, SideEffect.POSSIBLE),
            (302, None, ProblemKind.GARBLED, SideEffect.NONE),
        ],
    )
    def test_each_status_has_its_kind(
        self, status: int, message: object, kind: ProblemKind, effect: SideEffect
    ) -> None:
        """And below 500 nothing was done."""
        failure = failed(answering(status, message))
        assert (failure.problem.kind, failure.effect) == (kind, effect)

    def test_validation_messages_are_one_sentence(self) -> None:
        """The real server sends a list of them."""
        failure = failed(answering(400, ["a must be b", "c must be d"]))
        assert failure.problem.message == "https://raven.test refused the request (400: a must be b; c must be d)"

    def test_a_servers_words_are_cut_cleaned_and_free_of_the_token(self) -> None:
        """They end in logs and on terminals."""
        failure = failed(answering(400, f"\x1b[31m{TOKEN} " + "x" * 10_000))
        assert TOKEN not in failure.problem.message
        assert failure.problem.message.isprintable()
        assert len(failure.problem.message) < 400


class TestRetryAfter:
    def test_a_date_is_measured_against_the_answers_own_date(self) -> None:
        """OP2: a clock that is a year off still waits the two minutes that were meant."""
        handler = answering(
            503,
            None,
            **{"Retry-After": "Tue, 14 Nov 2023 22:15:20 GMT", "Date": "Tue, 14 Nov 2023 22:13:20 GMT"},
        )
        assert failed(handler).problem.retry_after == 120.0

    @pytest.mark.parametrize(
        ("value", "seconds"),
        [
            ("0", 0.0),
            ("120", 120.0),
            ("-5", None),
            ("1.5", None),
            ("²", None),
            ("", None),
            ("Mon, 12 Jan 1970 13:46:40 GMT", 0.0),
            ("Mon, 12 Jan 1970 13:47:40 GMT", 60.0),
            ("Mon, 12 Jan 1970 13:00:00 GMT", 0.0),
            ("Mon, 12 Jan 2970 13:00:00 GMT", 3600.0),
        ],
    )
    def test_every_form_is_understood_or_left_aside(self, value: str, seconds: float | None) -> None:
        """Seconds and dates; the test's clock stands at 12 January 1970, 13:46:40."""
        headers = [(b"Retry-After", value.encode("latin-1"))]
        assert failed(lambda _: httpx.Response(429, headers=headers)).problem.retry_after == seconds


class TestAnswers:
    def test_the_envelope_is_taken_off_and_bare_answers_are_read_too(self) -> None:
        """An object that merely has a data field is no envelope."""
        cases: list[tuple[object, object]] = [
            ({"data": [1], "success": True, "status": 200}, [1]),
            ({"data": None, "success": True, "status": 200}, None),
            ([1], [1]),
            ({"data": 1}, {"data": 1}),
        ]
        given = iter(cases)
        answering = client(lambda _: httpx.Response(200, json=next(given)[0]))
        assert [answering.call("x", {}).data for _ in cases] == [data for _, data in cases]

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"  \n",
            b"<html></html>",
            b'{"data":{"cut":',
            b"\xff\xfe",
            b'{"data":"\\ud800","success":true}',
            b"[" * 5000 + b"]" * 5000,
            b'{"data":1,"success":false,"status":200}',
            b"NaN",
        ],
    )
    def test_what_is_not_an_answer_is_garbled(self, body: bytes) -> None:
        """PR6: also JSON nested beyond reason."""
        failure = failed(lambda _: httpx.Response(200, content=body))
        assert (failure.problem.kind, failure.effect) == (ProblemKind.GARBLED, SideEffect.POSSIBLE)

    def test_an_endless_answer_is_not_read_to_its_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Memory is bounded, whatever the server sends."""
        monkeypatch.setattr(http_module, "MAX_ANSWER", 1000)
        sent = 0

        def endless() -> Iterator[bytes]:
            nonlocal sent
            while True:
                sent += 100
                yield b"x" * 100

        failure = failed(lambda _: httpx.Response(200, content=endless()))
        assert failure.problem.kind is ProblemKind.GARBLED
        assert sent <= 2000


class TestToken:
    def test_the_token_is_read_for_and_sent_with_every_call(self) -> None:
        """A renewed token is used at once."""
        tokens = iter(["one", "two"])
        seen: list[tuple[str, str]] = []

        def handler(request: httpx.Request) -> httpx.Response:
            seen.append((request.headers["authorization"], request.headers["x-workspace-id"]))
            return httpx.Response(200, json=[])

        http = HttpClient(
            "https://raven.test",
            lambda: next(tokens),
            raven_profile("w"),
            transport=httpx.MockTransport(handler),
        )
        http.call("a", {})
        http.call("a", {})
        assert seen == [("Bearer one", "w"), ("Bearer two", "w")]

    @pytest.mark.parametrize("token", ["", "has\nnewline", "has space", "ünïcode"])
    def test_an_impossible_token_is_signed_out_and_nothing_is_sent(self, token: str) -> None:
        """And the message does not hold it."""
        sent: list[httpx.Request] = []
        http = client(lambda r: sent.append(r) or httpx.Response(200, json=[]), token=token)  # type: ignore[func-returns-value]
        with pytest.raises(RemoteCallError) as error:
            http.call("a", {})
        assert error.value.problem.kind is ProblemKind.SIGNED_OUT
        assert not token or token not in error.value.problem.message
        assert sent == []

    def test_a_redirect_is_not_followed(self) -> None:
        """The token goes to this origin only."""
        hosts: list[str] = []

        def handler(request: httpx.Request) -> httpx.Response:
            hosts.append(request.url.host)
            return httpx.Response(307, headers={"location": "https://elsewhere.test/"})

        assert "redirect" in failed(handler).problem.message
        assert hosts == ["raven.test"]

    def test_cookies_are_never_kept(self) -> None:
        """The real server prefers a cookie over the token."""
        cookies: list[str | None] = []

        def handler(request: httpx.Request) -> httpx.Response:
            cookies.append(request.headers.get("cookie"))
            return httpx.Response(200, json=[], headers={"set-cookie": "authToken=bad; Path=/"})

        http = client(handler)
        http.call("a", {})
        http.call("a", {})
        assert cookies == [None, None]


class TestAddress:
    @pytest.mark.parametrize(
        "url",
        ["http://127.0.0.1:8674", "http://localhost", "http://[::1]:1", "https://raven.test", "HTTPS://Raven.Test"],
    )
    def test_loopback_and_https_are_taken(self, url: str) -> None:
        """Plain http stays on this machine."""
        client(lambda _: httpx.Response(200, json=[]), url).call("a", {})

    @pytest.mark.parametrize("url", ["http://raven.test", "http://10.0.0.1", "http://127.0.0.1.evil.test"])
    def test_plain_http_to_another_machine_is_refused_unless_allowed(self, url: str) -> None:
        """The token could be read on the way."""
        with pytest.raises(UsageError, match="not encrypted"):
            client(lambda _: httpx.Response(200, json=[]), url)
        allowed = HttpClient(
            url,
            lambda: TOKEN,
            raven_profile("w"),
            transport=httpx.MockTransport(raising(httpx.ConnectError("x"))),
            plain_http=PlainHttp.ALLOW,
        )
        with pytest.raises(RemoteCallError):
            allowed.call("a", {})

    @pytest.mark.parametrize(
        "url",
        [
            "",
            "raven.test",
            "ftp://raven.test",
            "https://",
            "https://u:p@raven.test",
            "https://r.test/?x=1",
            "http://[::1",
        ],
    )
    def test_what_is_no_address_is_refused(self, url: str) -> None:
        """Before anything is sent."""
        with pytest.raises(UsageError):
            client(lambda _: httpx.Response(200, json=[]), url)

    @pytest.mark.parametrize(
        ("url", "path"),
        [
            ("https://raven.test", "/api/local-sync/a"),
            ("https://raven.test/", "/api/local-sync/a"),
            ("https://raven.test/api", "/api/local-sync/a"),
            ("https://raven.test/team/api/", "/team/api/local-sync/a"),
        ],
    )
    def test_the_address_may_end_with_api(self, url: str, path: str) -> None:
        """People paste both."""
        paths: list[str] = []
        client(lambda r: paths.append(r.url.path) or httpx.Response(200, json=[]), url).call("a", {})  # type: ignore[func-returns-value]
        assert paths == [path]

    def test_certificates_that_cannot_be_read_are_refused(self, tmp_path: Path) -> None:
        """At once, not at the first call."""
        with pytest.raises(UsageError, match="certificates"):
            HttpClient("https://raven.test", lambda: TOKEN, raven_profile("w"), ca_file=tmp_path / "none.pem")
