"""Answers of the hub to malformed bodies."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from agent.hub.auth import JwtTokens
from agent.hub.raven.endpoints import Hub
from hub.fixtures import SECRET, SENTINEL, InProcess, upsert

NOT_JSON = "Body is not valid JSON but content-type is set to 'application/json'"


def answer(hub: InProcess, body: bytes, endpoint: str = "sources/list", **headers: str) -> tuple[int, Any]:
    """Status and message of a raw request."""
    status, _, raw = hub.send("POST", f"/api/local-sync/{endpoint}", hub.headers | headers, body)
    return status, orjson.loads(raw).get("message")


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":',
        b"[" * 500_000,
        b'{"a":' * 100_000 + b'"\\ud800"' + b"}" * 100_000,
        b"\xff\xfe",
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":NaN,"b":"\\ud800"}',
        b'{"__proto__":{}}',
        b'{"a":[{"\\u005f_proto__":1}]}',
        b'{"a":"\\ud800","b":' + b"9" * 5000 + b"}",
        b"{}{}",
    ],
)
def test_a_body_that_is_no_json_is_refused(light: InProcess, body: bytes) -> None:
    """Malformed, too deep, not UTF-8, or polluting; never a 500."""
    assert answer(light, body) == (400, NOT_JSON)


def test_a_word_in_a_text_is_no_key(light: InProcess) -> None:
    """A note about `__proto__` can be pushed."""
    source = light.source()
    assert light.outcome(source, upsert("a.md", "about __proto__"))["status"] == "applied"


def test_an_empty_body_is_refused_only_if_json_was_announced(light: InProcess) -> None:
    """As on the real server."""
    empty = "Body cannot be empty when content-type is set to 'application/json'"
    assert answer(light, b"") == (400, empty)
    assert answer(light, b"", **{"content-type": "text/plain"})[0] == 200


def test_a_compressed_body_is_refused(light: InProcess) -> None:
    """Whatever is in it: nothing is unpacked."""
    assert answer(light, b"{}", **{"content-encoding": "gzip"}) == (400, NOT_JSON)


@pytest.mark.parametrize("body", [b"[]", b"5", b"null", b'"text"'])
def test_a_body_that_is_no_object_is_refused(light: InProcess, body: bytes) -> None:
    """Also where no field is required."""
    assert answer(light, body) == (400, ["body must be an object"])
    assert answer(light, body, "sources/files") == (400, ["sourceId must be a UUID"])


def test_ten_million_items_are_refused_before_they_are_looked_at(light: InProcess) -> None:
    """Within a body limit that would take them, the number alone decides."""
    hub = Hub(light.store, tokens=JwtTokens(SECRET), body_limit=100_000_000)
    body = b'{"sourceId":"%s","items":[' % light.source().encode() + b"0," * 9_999_999 + b"0]}"
    refused = hub.handle("POST", "/api/local-sync/sources/push-batch", light.headers, body)
    assert refused.status == 400
    assert orjson.loads(refused.read())["message"] == ["items must contain no more than 100 elements"]


def test_nobody_without_a_token_learns_whether_a_body_is_good(light: InProcess) -> None:
    """401 comes before the body is read."""
    status, _, raw = light.send("POST", "/api/local-sync/sources/list", {}, b'{"a":')
    assert (status, orjson.loads(raw)["message"]) == (401, "Unauthorized")


@pytest.mark.parametrize("path", ["/api/local-sync/sources/list/", "/api//local-sync/sources/list"])
def test_doubled_and_trailing_slashes_are_ignored(light: InProcess, path: str) -> None:
    """As on the real server."""
    assert light.send("POST", path, light.headers, b"{}")[0] == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/api/local-sync/sources/list"), ("POST", "/api/local-sync"), ("POST", "/sources/list"), ("PUT", "/")],
)
def test_an_unknown_route_is_named(light: InProcess, method: str, path: str) -> None:
    """404 with the method and the path as they were sent."""
    status, _, raw = light.send(method, path, light.headers, b"{}")
    assert (status, orjson.loads(raw)["message"]) == (404, f"Cannot {method} {path}")


def test_unknown_fields_are_dropped_and_ids_may_be_in_upper_case(light: InProcess) -> None:
    """As on the real server."""
    source = light.source()
    assert light.push(source.upper(), upsert("a.md", "one", mtime=1), evil=1)["sourceId"] == source


def test_text_that_no_database_keeps_is_refused_by_field(light: InProcess) -> None:
    """NUL and lone surrogates, in every field that is a text."""
    source = light.source()
    bad = "x\0"
    clean = "must not contain NUL or lone surrogates"
    assert light.refused("connectors/register", name=bad, platform="p") == (400, [f"name {clean}"])
    wish = {"sourceId": source, "relativePath": bad}
    assert light.refused("sources/file", **wish) == (400, [f"relativePath {clean}"])
    assert light.refused("sources/file/update", **wish, content=bad) == (
        400,
        [f"relativePath {clean}", f"content {clean}"],
    )
    patterns = {"name": "n", "mode": "bidirectional", "connectorId": light.connector(), "includePatterns": [bad]}
    assert light.refused("sources", **patterns) == (400, [f"includePatterns {clean}"])


def test_health_needs_no_token(light: InProcess) -> None:
    """It says nothing but that the hub lives."""
    assert light.send("GET", "/healthz", {}, None)[::2] == (200, b'{"status":"ok"}')


def test_events_of_a_far_cursor_are_none(light: InProcess) -> None:
    """The largest cursor is echoed."""
    source = light.source()
    light.push(source, upsert("a.md", "one", SENTINEL))
    assert light.ok("sources/deltas", sourceId=source, cursor=2**31 - 1)["events"] == []
