"""How far each machine of a source has come, as the hub learns it from polls."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from agent.hub.auth import JwtTokens
from agent.hub.domain.heartbeats import FLUSH_MS
from agent.hub.domain.ports import StoreFull
from agent.hub.raven.endpoints import Hub
from hub.fixtures import SECRET, STRANGER, UNKNOWN, InProcess, upsert


def machines(hub: InProcess, source: str) -> dict[str, Any]:
    """The listed machines by id."""
    return {machine["id"]: machine for machine in hub.ok("sources/machines", sourceId=source)["machines"]}


def restarted(hub: InProcess) -> InProcess:
    """Another hub process on the same database."""
    again = InProcess(hub.store, hub=Hub(hub.store, hub.wall, tokens=JwtTokens(SECRET)))
    again.wall = hub.wall
    return again


def test_a_poll_tells_how_far_its_connector_has_read(hub: InProcess) -> None:
    """The number of changes behind it is exact; a connector that never read the source is not listed."""
    source, connector, _other = hub.source(), hub.connector(), hub.connector()
    hub.push(source, upsert("a.md", "a"), upsert("b.md", "b"))
    hub.ok("sources/deltas", sourceId=source, connectorId=connector)
    assert {id_: found["behind"] for id_, found in machines(hub, source).items()} == {connector: 2}
    hub.wall.now += 5
    hub.ok("sources/deltas", sourceId=source, connectorId=connector, cursor=1)
    hub.wall.now += 5
    hub.ok("sources/deltas", sourceId=source, connectorId=connector, cursor=1)
    found = machines(hub, source)[connector]
    assert (found["cursor"], found["behind"], found["name"], found["platform"]) == (1, 1, "laptop", "linux")
    assert found["lastSeenAt"] > found["reachedAt"]


def test_a_position_beyond_the_feed_counts_as_its_end(hub: InProcess) -> None:
    """A client may name any cursor."""
    source, connector = hub.source(), hub.connector()
    hub.push(source, upsert("a.md", "a"))
    hub.ok("sources/deltas", sourceId=source, connectorId=connector, cursor=1000)
    assert machines(hub, source)[connector]["cursor"] == 1
    hub.push(source, upsert("b.md", "b"))
    assert machines(hub, source)[connector]["behind"] == 1


def test_positions_survive_the_hub_and_its_full_disk(hub: InProcess) -> None:
    """They are written with the heartbeats; a write that fails is made up for by the next one."""
    source, connector, other = hub.source(), hub.connector(), hub.connector()
    hub.push(source, upsert("a.md", "a"))
    with patch.object(hub.store, "write", side_effect=StoreFull):
        hub.ok("sources/deltas", sourceId=source, connectorId=connector, cursor=1)
    assert machines(restarted(hub), source) == {}
    hub.wall.now += 2 * FLUSH_MS
    hub.ok("connectors/heartbeat", connectorId=other)
    assert machines(restarted(hub), source) == machines(hub, source)
    assert machines(restarted(hub), source)[connector]["behind"] == 0


def test_a_position_that_stands_is_not_written_again(hub: InProcess) -> None:
    """An idle machine costs its heartbeat only."""
    source, connector = hub.source(), hub.connector()
    written = []
    for _ in range(3):
        hub.wall.now += 2 * FLUSH_MS
        hub.ok("sources/deltas", sourceId=source, connectorId=connector)
        with hub.store.read() as session:
            written.append(session.connector_positions(1)[connector])
    assert written[0] == written[1] == written[2]


def test_a_machine_that_leaves_a_source_is_not_listed(hub: InProcess) -> None:
    """Until it reads the source again. No other machine leaves by that, and no other user can have it leave."""
    source, connector, other = hub.source(), hub.connector(), hub.connector()
    for each in (connector, other):
        hub.wall.now += 2 * FLUSH_MS
        hub.ok("sources/deltas", sourceId=source, connectorId=each)
    hub.ok("sources/leave", sourceId=source, connectorId=connector)
    hub.wall.now += 2 * FLUSH_MS
    hub.ok("connectors/heartbeat", connectorId=other)
    assert machines(hub, source).keys() == machines(restarted(hub), source).keys() == {other}
    assert hub.refused("sources/leave", sourceId=source, connectorId=UNKNOWN) == (404, "Connector not found")
    assert hub.beside(STRANGER).refused("sources/leave", sourceId=source, connectorId=other)[0] == 404
    hub.ok("sources/deltas", sourceId=source, connectorId=connector)
    assert machines(hub, source).keys() == {connector, other}


def test_strangers_move_and_see_no_position(hub: InProcess) -> None:
    """An unknown connector and one of another workspace are not recorded."""
    source = hub.source()
    hub.ok("sources/deltas", sourceId=source, connectorId=UNKNOWN)
    stranger = hub.beside(STRANGER)
    stranger.ok("sources/deltas", sourceId=stranger.source(), connectorId=stranger.connector())
    assert machines(hub, source) == {}
    assert stranger.refused("sources/machines", sourceId=source) == (404, "Local sync source not found")
