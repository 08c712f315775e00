"""FU2: a connector belongs to the user who registered it."""

from __future__ import annotations

import orjson
import pytest

from agent.hub.auth import token_id
from agent.hub.store.migrations import StoreError
from agent.hub.store.token_registry import IssuedToken, TokenRegistry
from hub.fixtures import STRANGER, UNKNOWN, WORKSPACE, Client, InProcess, headers, sha, token, upsert


@pytest.fixture
def member(light: InProcess) -> Client:
    """Another member of the same workspace, on the same hub."""
    sent = headers(token(user=STRANGER), WORKSPACE)

    def ask(endpoint: str, body: object) -> tuple[int, object]:
        status, _, answer = light.send("POST", f"/api/local-sync/{endpoint}", sent, orjson.dumps(body))
        return status, orjson.loads(answer)

    return Client(ask)


def test_fu2_another_users_connector_is_refused(light: InProcess, member: Client) -> None:
    """FU2: pushing with it is 403, writes nothing, and the owner's parked text remains in the conflict."""
    source, connector = light.source(), light.connector()
    light.push(source, upsert("a.md", "head"))
    light.push(source, upsert("a.md", "parked", sha("older")), connectorId=connector)
    before = light.events(source)
    stale = upsert("a.md", "from a member", sha("older"))
    refused = member.refused("sources/push-batch", sourceId=source, items=[stale], connectorId=connector)
    assert refused == (403, "The connector belongs to another user")
    assert [c["localContent"] for c in light.conflicts(source)] == ["parked"]
    assert light.events(source) == before


def test_fu2_neither_heartbeats_nor_sources_take_it(light: InProcess, member: Client) -> None:
    """FU2, the same mistake elsewhere: another user's connector cannot be kept online or own a source."""
    connector = light.connector()
    owned = (403, "The connector belongs to another user")
    assert member.refused("connectors/heartbeat", connectorId=connector) == owned
    assert member.refused("sources", name="n", mode="bidirectional", connectorId=connector) == owned
    assert light.ok("connectors/heartbeat", connectorId=connector)["status"] == "online"


def test_fu2_an_unknown_connector_updates_no_conflict(light: InProcess, member: Client) -> None:
    """FU2: two users who name the same unknown connector each open a conflict of their own."""
    source = light.source()
    light.push(source, upsert("a.md", "head"))
    light.push(source, upsert("a.md", "mine", sha("older")), connectorId=UNKNOWN)
    member.push(source, upsert("a.md", "theirs", sha("older")), connectorId=UNKNOWN)
    assert {c["localContent"] for c in light.conflicts(source)} == {"mine", "theirs"}


def test_a_token_is_found_by_its_machine(light: InProcess) -> None:
    """A registration notes the connector, a heartbeat that of a later token: its id is the one of status --machines."""
    tokens, own = TokenRegistry(light.store), token_id(token())
    tokens.add(IssuedToken("ffff0000", WORKSPACE, "ada", 1, light.wall() + 1000, None, "debian"))
    tokens.add(IssuedToken(own, WORKSPACE, "ada", 2, light.wall() + 1000, None, "debian"))
    first = light.connector()
    assert {one.id: one.connector for one in tokens.all()} == {own: first, "ffff0000": None}
    second = light.connector()
    light.ok("connectors/heartbeat", connectorId=first)
    assert {one.id: one.connector for one in tokens.all()} == {own: first, "ffff0000": None} != {own: second}
    with pytest.raises(StoreError, match=f"give the id of one: ffff0000, {own}"):
        tokens.revoke("debian", light.wall())
    assert tokens.revoke(first[:8], light.wall()).id == own
    # The other one is revoked: the name means the one that still works.
    assert tokens.revoke("debian", light.wall()).id == "ffff0000"


def test_a_connector_and_its_token_are_renamed(light: InProcess, member: Client) -> None:
    """The token that a machine got for its invite is listed by the new name; one made by hand gets none."""
    tokens, connector = TokenRegistry(light.store), light.connector()
    own = token_id(token())
    for id_, machine in ((own, "debian"), ("another", "debian"), ("by-hand", None)):
        tokens.add(IssuedToken(id_, WORKSPACE, "ada", 1, 2, None, machine))
    assert light.ok("connectors/rename", connectorId=connector, name="attic\n" + "x" * 200)["name"].startswith("attic")
    assert {one.id: one.machine for one in tokens.all()} == {
        own: "attic" + "x" * 59,
        "another": "debian",
        "by-hand": None,
    }
    assert member.refused("connectors/rename", connectorId=connector, name="mine") == (
        403,
        "The connector belongs to another user",
    )
    assert light.refused("connectors/rename", connectorId=UNKNOWN, name="x") == (404, "Connector not found")
