"""WebSockets of the hub's second API: tokens, nudges, pings."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from hub.fixtures import STRANGER, Running, token, upsert
from hub.test_drive_clients import Owner
from support.eventually import patience

DEVICE = {"device_id": "dev", "device_name": "d", "platform": "cli", "client_version": "1"}


@pytest.fixture
def owner(process: Running) -> Iterator[Owner]:
    """The owner of a share on a hub process, with a device."""
    made = Owner(process)
    made.http.post("sync/devices", json=DEVICE).raise_for_status()
    yield made
    made.http.close()


def opened(owner: Owner, device: str = "dev", bearer: str | None = None, prefix: str = "") -> ClientConnection:
    """A WebSocket of a device."""
    url = f"{owner.url.replace('http', 'ws')}{prefix}/api/v1/sync/ws/{device}"
    return connect(f"{url}?token={owner.token if bearer is None else bearer}", proxy=None)


def asked(socket: ClientConnection, kind: str) -> Any:
    """The answer to a frame."""
    socket.send(json.dumps({"type": kind}))
    return received(socket)


def received(socket: ClientConnection) -> Any:
    """The next frame."""
    return json.loads(socket.recv(timeout=patience(20)))


def test_a_bad_token_and_an_unknown_device_have_codes(owner: Owner, process: Running) -> None:
    """4401 after the connection was accepted, 4404 for a device of nobody or of another user."""
    stranger = token(user=STRANGER, secret=(process.data / "secret").read_bytes())
    for device, bearer, code in (("dev", "x", 4401), ("dev", "", 4401), ("other", None, 4404), ("dev", stranger, 4404)):
        with opened(owner, device, bearer) as socket:
            with pytest.raises(ConnectionClosed):
                socket.recv(timeout=patience(20))
            assert socket.close_code == code
    url = owner.url.replace("http", "ws")
    with connect(
        f"{url}/api/v1/sync/ws/dev", additional_headers={"Authorization": f"Bearer {owner.token}"}, proxy=None
    ) as socket:
        assert asked(socket, "ping")["type"] == "pong"


@pytest.mark.parametrize("prefix", ["", "/scaidrive", "/scaidrive-data"])
def test_a_subscribed_client_gets_changes_of_both_faces(owner: Owner, process: Running, prefix: str) -> None:
    """The whole change once, never wrapped, perhaps after the one before it subscribed; Raven's pushes nudge too."""
    with opened(owner, prefix=prefix) as socket:
        assert asked(socket, "ping") == {"type": "pong", "event_type": "pong"}
        before = owner.create("before.md", b"0")
        assert asked(socket, "subscribe") == {"type": "subscribed", "event_type": "subscribed"}
        file = owner.create("a.png", b"\x89PNG\xff")
        frame = received(socket)
        if frame["data"]["resource_id"] == before:
            frame = received(socket)
        assert (frame["event_type"], frame["share_id"]) == ("change", owner.share)
        listed = owner.http.get("sync/changes", params={"share_id": owner.share, "cursor": 1}).json()["changes"]
        assert frame["data"] == listed[-1] and frame["data"]["resource_id"] == file
        process.client().push(owner.share, upsert("raven.md", "r"))
        assert received(socket)["data"]["new_path"] == "/raven.md"


def test_a_changed_preference_nudges_its_device_only(owner: Owner) -> None:
    """The device whose preference it is, by its id; a ping in between is answered."""
    owner.http.post("sync/devices", json={**DEVICE, "device_id": "other"}).raise_for_status()
    with opened(owner) as socket, opened(owner, "other") as other:
        asked(socket, "subscribe")
        asked(other, "subscribe")
        owner.http.put(f"sync/devices/dev/preferences/{owner.share}", json={"sync_enabled": False}).raise_for_status()
        assert received(socket) == {
            "type": "sync_preference_updated",
            "event_type": "sync_preference_updated",
            "share_id": owner.share,
            "device_id": "dev",
        }
        assert asked(other, "ping")["type"] == "pong"


def test_a_device_ahead_of_a_restored_hub_syncs_in_full(on_sqlite: Running) -> None:
    """It recorded a position that the older copy does not have: `force_sync` for that share, until it begins anew."""
    owner = Owner(on_sqlite)
    owner.http.post("sync/devices", json=DEVICE).raise_for_status()
    other, place = owner.add_share("second"), {"share_id": owner.share, "device_id": "dev"}
    owner.create("a.md", b"1")
    for share in (owner.share, other):
        owner.http.get("sync/status", params={"share_id": share, "device_id": "dev"}).raise_for_status()
    # What a copy of before looks like: the device is known with a position that the log has not reached.
    with contextlib.closing(sqlite3.connect(on_sqlite.data / "hub.db")) as database, database:
        database.execute(
            "UPDATE device_cursors SET position = 100"
            " WHERE source = (SELECT number FROM sources WHERE id = ?)", (owner.share,)
        )  # fmt: skip
    with opened(owner) as socket:
        assert asked(socket, "subscribe")["type"] == "subscribed"
        assert received(socket) == {"type": "force_sync", "event_type": "force_sync", "share_id": owner.share}
        assert asked(socket, "ping")["type"] == "pong"
    status = owner.http.get("sync/status", params=place).json()
    assert (status["cursor_position"], status["pending_changes"]) == (1, 0)
    assert owner.http.get("sync/changes", params={"share_id": owner.share, "cursor": 1}).json()["changes"] == []
    moved = owner.http.post("sync/cursor", params={**place, "position": 1}).json()
    assert moved["cursor_position"] == 1
    with opened(owner) as socket:
        assert asked(socket, "subscribe")["type"] == "subscribed"
        assert asked(socket, "ping")["type"] == "pong"
    owner.http.close()
