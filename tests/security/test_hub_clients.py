"""Clients of the hub that mean harm: everybody else is served, and nothing is answered with a 500."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import random
import socket
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import httpx
import jwt
import orjson
import psutil
import pytest

from hub.fixtures import InProcess, headers, upsert
from security.hostile_server import documents, exchange_bytes, raw_post
from support.eventually import patience
from support.servers import HubServer

SURROGATE = b'"x":"\\ud800"'
"""Sends a body down the slower of two parsers, which knows larger numbers."""


def address(hub: HubServer) -> tuple[str, int]:
    """Where the hub listens."""
    parts = urlsplit(hub.url)
    return parts.hostname or "", parts.port or 0


def still_well(hub: HubServer) -> None:
    """A normal client works, and soon."""
    began = time.monotonic()
    source = hub.new_source()
    assert hub.put(source, "a.md", "one\n")["items"][0]["status"] == "applied"
    assert hub.text(source, "a.md") == "one\n"
    assert time.monotonic() - began < patience(5)


@pytest.mark.parametrize("extra", [b"", b"," + SURROGATE], ids=["plain", "surrogate"])
@pytest.mark.parametrize(
    "number",
    [b"9" * 30, b"9" * 400, b"9" * 4300, b"9" * 5000, b"1e308", b"1e400", b"-1e400", b"1e-400", b"-0", b"0.5", b"true",
     b"1" + b"0" * 309, b'"9"', b"[1]", b"{}"],
)  # fmt: skip
def test_numbers_of_any_size_are_taken_or_refused(hub_in_memory: InProcess, number: bytes, extra: bytes) -> None:
    """In every field that is a number: 200 or 400 with a message."""
    source = hub_in_memory.source().encode()
    fields = {
        b"cursor": "deltas",
        b"limit": "deltas",
        b"waitMs": "deltas",
        b"after": "files",
        b"contextLines": "conflicts/preview",
    }
    for field, endpoint in fields.items():
        body = b'{"sourceId":"%s","%s":%s%s}' % (source, field, number, extra)
        path = f"/api/local-sync/sources/{endpoint}"
        status, _, answer = hub_in_memory.send("POST", path, hub_in_memory.headers, body)
        assert status in (200, 400), (field, status, answer)
        assert "message" in orjson.loads(answer) or status == 200


def test_of_a_field_named_twice_one_value_counts_everywhere(hub: HubServer) -> None:
    """What is waited on, checked and answered is the same source: another workspace's stays unknown."""
    source = hub.new_source()
    unknown = "99999999-9999-4999-8999-999999999999"
    sent = headers(hub.token, hub.workspace)
    for first, last, status in ((unknown, source, 200), (source, unknown, 404)):
        body = f'{{"sourceId":"{first}","waitMs":1,"sourceId":"{last}"}}'.encode()
        assert httpx.post(f"{hub.url}/api/local-sync/sources/deltas", headers=sent, content=body).status_code == status


def test_bodies_that_unpack_or_nest_without_end_cost_nothing(hub: HubServer) -> None:
    """A gzip bomb is not unpacked, a deep body not followed, one of many values not parsed; the memory stays."""
    sent = headers(hub.token, hub.workspace)
    bomb = gzip.compress(b"0" * 200_000_000, 1)[:1_000_000]
    process = next(p for p in psutil.Process(os.getpid()).children() if "agent.hub" in p.cmdline())
    still_well(hub)
    before = process.memory_info().rss
    for body, extra in (
        (bomb, {"content-encoding": "gzip"}),
        (b'{"items":' + b"[" * 1_000_000, {}),
        (b'{"a":' * 200_000 + b"1" + b"}" * 40_000, {}),
        (b'{"sourceId":"x","items":[' + b"0," * 500_000 + b"0]}", {}),
        (b"{" + b",".join(b'"k%d":0' % number for number in range(90_000)) + b"}", {}),
        (b"[" + b"{}," * 300_000 + b"{}]", {}),
    ):
        for endpoint in ("push-batch", "deltas"):
            answer = httpx.post(f"{hub.url}/api/local-sync/sources/{endpoint}", headers=sent | extra, content=body)
            assert answer.status_code in (400, 413), answer.text[:200]
    still_well(hub)
    assert process.memory_info().rss - before < 200 << 20


def test_two_hundred_half_open_connections_keep_nobody_waiting(hub: HubServer) -> None:
    """Half a head, half a body, or nothing at all, a byte more now and then, and long polls beside them."""
    whole = raw_post("sources/list", headers(hub.token, hub.workspace), b"{}")
    poll = orjson.dumps({"sourceId": hub.new_source(), "waitMs": 30_000})
    begun: list[bytes] = [b"", b"POST /api", whole[:60], whole[:-1],
                          raw_post("sources/deltas", headers(hub.token, hub.workspace), poll)]  # fmt: skip
    with contextlib.ExitStack() as held:
        slow = [held.enter_context(socket.create_connection(address(hub), 5)) for _ in range(200)]
        for number, connection in enumerate(slow):
            connection.sendall(begun[number % 5])
        for _ in range(3):
            still_well(hub)
            for connection in slow[1::5]:
                connection.sendall(b"x")
        # A head or body that is ended at last is answered as ever.
        slow[3].sendall(whole[-1:])
        slow[3].settimeout(10)
        assert slow[3].recv(65_536).startswith(b"HTTP/1.1 200 ")


def garbage(choice: int) -> Callable[[HubServer], bytes]:
    """Bytes of one kind that are no request, or one that lies about itself."""
    chance = random.Random(choice)
    kinds: list[Callable[[HubServer], bytes]] = [
        lambda hub: chance.randbytes(20_000),
        lambda hub: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + chance.randbytes(500),
        lambda hub: b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 100_000 + b"\r\n",
        lambda hub: b"POST /api/local-sync/sources/list HTTP/1.1\r\nauthorization: " + b"a" * 2_000_000 + b"\r\n\r\n",
        lambda hub: b"POST /" + b"a" * 2_000_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
        lambda hub: raw_post("sources/list", headers(hub.token, hub.workspace), b"{}") + chance.randbytes(5000),
        lambda hub: raw_post("sources/list", {"transfer-encoding": "chunked"}, b"ffffffffffffffff\r\n{}"),
        lambda hub: raw_post("sources/list", {"transfer-encoding": "chunked"}, b"-1\r\n{}\r\n0\r\n\r\n"),
        lambda hub: b"POST /api/local-sync/sources/list HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n{}",
        lambda hub: b"POST /api/local-sync/sources/list HTTP/1.1\r\nhost: x\r\ncontent-length: \xb2\r\n\r\n{}",
        lambda hub: b"POST /api/\xff\xfe%00%ff HTTP/1.1\r\nhost: \xff\r\n\xff: \xff\r\n\r\n",
        lambda hub: raw_post("sources/list", {"authorization": "Bearer \xe9\xff", "x-workspace-id": "\xff"}, b"{}"),
        lambda hub: raw_post("sources/list", {"expect": "100-continue"}, b"{}"),
        lambda hub: b"GET /healthz HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        lambda hub: b"GET /healthz HTTP/9.9\r\n\r\n" + b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        lambda hub: raw_post("sources/list", headers(hub.token, hub.workspace), b"{}") * 500,
    ]
    return kinds[choice]


def test_garbage_on_the_wire_is_never_a_500_and_disturbs_nobody(hub: HubServer) -> None:
    """Noise, TLS on the plain port, header bombs, lying lengths, requests piled on one another."""
    for choice in range(16):
        raw = exchange_bytes(address(hub), garbage(choice)(hub), 5)
        assert b"HTTP/1.1 500" not in raw, (choice, raw[:500])
        assert b"Traceback" not in raw
        assert all("statusCode" not in d or d["statusCode"] < 500 for d in documents(raw) if isinstance(d, dict))
    still_well(hub)


def test_a_forged_or_cut_token_is_nobodys(hub: HubServer) -> None:
    """Unsigned, signed with an empty or another key, cut, doubled, or under another algorithm: 401 each time."""
    claims = jwt.decode(hub.token, options={"verify_signature": False})
    head, payload, signature = hub.token.split(".")
    forged = [
        jwt.encode(claims, "", algorithm="none"),
        jwt.encode(claims, "another key that is long enough for this", algorithm="HS256"),
        f"{head}.{payload}.",
        f"{head}.{payload}",
        f"{head}.{payload}.{signature[:-2]}",
        f"{head}.{payload}.{signature}.{signature}",
        "." * 1000,
        "eyJhbGciOiJub25lIn0." + payload + ".",
    ]
    for bearer in forged:
        answer = httpx.post(
            f"{hub.url}/api/local-sync/sources/list", headers=headers(bearer, hub.workspace), content=b"{}"
        )
        assert answer.status_code == 401, (bearer, answer.text)


def test_an_item_of_every_wrong_kind_spoils_only_its_batch(hub_in_memory: InProcess) -> None:
    """Null bytes, numbers, lists and objects in every field of an item: 200 with a rejected item, or 400."""
    source = hub_in_memory.source()
    for field in upsert("a.md", "x"):
        values: tuple[object, ...] = (None, 5, 10**400, 1.5, True, [], {}, "\0", "x" * 300_000, "../x", {"a": [1]})
        for value in values:
            item = upsert("a.md", "x") | {field: value}
            body = json.dumps({"sourceId": source, "items": [item]}).encode()
            path = "/api/local-sync/sources/push-batch"
            status, _, answer = hub_in_memory.send("POST", path, hub_in_memory.headers, body)
            assert status in (200, 400), (field, value, answer)
