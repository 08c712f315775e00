"""What keeps the cost of many machines down: heartbeats written together, a rate for each token, short lists."""

from __future__ import annotations

import asyncio
from unittest.mock import patch

import httpx

from agent.hub.domain.heartbeats import FLUSH_MS
from agent.hub.http_app import HubApp
from agent.hub.store.sql_store import SqlStore
from agent.hub.token_rates import MOST_TOKENS, TokenRates
from hub.fixtures import STRANGER, UNKNOWN, WORKSPACE, InProcess, headers, token


def written(hub: InProcess) -> dict[str, int]:
    """Heartbeats in the database, by connector."""
    with hub.store.read() as session:
        return dict(map(tuple, session.transaction.rows("SELECT id, heartbeat_at FROM connectors")))


def test_heartbeats_are_written_together(hub: InProcess) -> None:
    """A hundred machines for a minute, by heartbeats and by polls: six transactions, and none is forgotten."""
    connectors = [hub.connector() for _ in range(100)]
    source = hub.source()
    hub.ok("connectors/heartbeat", connectorId=connectors[0])
    with patch.object(hub.store, "write", wraps=hub.store.write) as writes:
        for second in range(60):
            hub.wall.now += 1000
            for number, connector in enumerate(connectors):
                if second % 10 == number % 10 and number % 2:
                    hub.ok("connectors/heartbeat", connectorId=connector)
                elif second % 10 == number % 10:
                    hub.ok("sources/deltas", sourceId=source, connectorId=connector, waitMs=5)
    assert writes.call_count == 6
    oldest = min(at for connector, at in written(hub).items() if connector in connectors)
    assert hub.wall.now - oldest <= 2 * FLUSH_MS


def test_a_poll_of_an_unknown_connector_is_answered(hub: InProcess) -> None:
    """As after a restore of the database. Another user's connector is refused."""
    source = hub.source()
    assert hub.ok("sources/deltas", sourceId=source, connectorId=UNKNOWN)["events"] == []
    connector = hub.connector()
    other = InProcess(hub.store, hub=hub.hub)
    other.headers = headers(token(user=STRANGER))
    for _ in range(2):
        assert other.refused("sources/deltas", sourceId=source, connectorId=connector)[0] == 403
        hub.ok("connectors/heartbeat", connectorId=connector)


def test_a_list_of_sources_has_a_limit(hub: InProcess) -> None:
    """The newest so many; without a limit all."""
    sources = [hub.source() for _ in range(5)][::-1]
    assert [source["id"] for source in hub.ok("sources/list")] == sources
    assert [source["id"] for source in hub.ok("sources/list", limit=2)] == sources[:2]
    assert hub.refused("sources/list", limit=0)[0] == 400


def test_a_token_has_its_rate_and_no_other_one_pays() -> None:
    """Sixty a minute: sixty at once, then one a second, and all sixty again after a silent minute."""
    now = [1000.0]
    rates = TokenRates(60, lambda: now[0])
    assert [rates.take("a") for _ in range(60)] == [0.0] * 60
    assert 0.9 < rates.take("a") <= 1.0
    assert rates.take("b") == 0.0
    now[0] += 2
    assert [rates.take("a") > 0 for _ in range(3)] == [False, False, True]
    now[0] += 3600
    assert [rates.take("a") > 0 for _ in range(61)] == [False] * 60 + [True]
    for number in range(MOST_TOKENS + 10):
        rates.take(str(number))
    assert len(rates._tokens) == MOST_TOKENS
    assert TokenRates(None, lambda: now[0]).take("a") == 0.0


def test_a_token_beyond_its_rate_gets_429(light: InProcess) -> None:
    """With Retry-After, on both faces together; another token of the same user is answered."""
    app = HubApp(light.hub, rates=TokenRates(2, lambda: 0.0))
    mine, other = light.headers, headers(token(days=3))

    async def ask() -> list[tuple[int, str | None]]:
        transport = httpx.ASGITransport(app=app.asgi)
        async with httpx.AsyncClient(transport=transport, base_url="http://hub") as http:
            found = []
            for sent in (mine, mine, mine, other):
                answer = await http.post("/api/local-sync/sources/list", headers=sent, content=b"{}")
                found.append((answer.status_code, answer.headers.get("retry-after")))
            return found

    assert asyncio.run(ask()) == [(200, None), (200, None), (429, "30"), (200, None)]


def test_the_store_gives_each_workspace_a_number(store: SqlStore) -> None:
    """The same one each time."""
    with store.write() as session:
        first = session.workspace_number(WORKSPACE)
        assert session.workspace_number("another") != first
        assert session.workspace_number(WORKSPACE) == first
