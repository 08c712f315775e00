"""Health, metrics, logs and migrations of the hub."""

from __future__ import annotations

import io
import json
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from sqlalchemy import create_engine, inspect
from sqlalchemy.pool import NullPool

from agent.hub.domain.model import Encoding
from agent.hub.http_app import HubApp
from agent.hub.logs import JsonFormatter
from agent.hub.store import tables as t
from agent.hub.store.migrations import LOCK_KEY, MigrationResult, statements
from agent.hub.store.sql_store import SqlStore, sqlite_url
from agent.hub.store.token_registry import IssuedToken, Revocations, TokenRegistry
from hub.fixtures import USER, WORKSPACE, InProcess, Running, sha, together, upsert
from support.processes import Home


def test_health_readiness_and_metrics_answer(process: Running) -> None:
    """`/healthz` and `/readyz` are 200; `/metrics` is OpenMetrics and counts what was asked."""
    client = process.client()
    source = client.source()
    client.push(source, upsert("a.md", "one"))
    assert httpx.get(f"{process.url}/healthz").json() == {"status": "ok"}
    assert httpx.get(f"{process.url}/readyz").json() == {"status": "ready"}
    answer = httpx.get(f"{process.url}/metrics")
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    requests = {
        (sample.labels["endpoint"], sample.labels["status"]): sample.value
        for sample in families["raven_hub_requests"].samples
    }
    assert requests["sources/push-batch", "200"] == 1
    counted = [s.value for s in families["raven_hub_request_duration_seconds"].samples if s.name.endswith("_count")]
    assert counted == [sum(requests.values())]
    assert families["raven_hub_open_connections"].samples[0].value >= 1


async def _status(app: HubApp, client: str, sent: dict[str, str]) -> int:
    transport = httpx.ASGITransport(app=app.asgi, client=(client, 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://hub") as http:
        return (await http.get("/metrics", headers=sent)).status_code


@pytest.mark.parametrize(
    ("client", "signed", "status"), [("127.0.0.1", False, 200), ("10.1.2.3", False, 401), ("10.1.2.3", True, 200)]
)
def test_metrics_are_for_this_machine_or_a_token(light: InProcess, client: str, signed: bool, status: int) -> None:
    """From another machine, and behind a proxy on this one, they want a valid token."""
    import asyncio

    sent = {"authorization": light.headers["authorization"]} if signed else {}
    assert asyncio.run(_status(HubApp(light.hub), client, sent)) == status
    behind_proxy = HubApp(light.hub, open_metrics=False)
    assert asyncio.run(_status(behind_proxy, client, sent)) == (200 if signed else 401)


def test_answers_name_their_request(process: Running) -> None:
    """The client's own id comes back; one that is too long or not plain is replaced."""
    http = process.client().http
    given = http.post("/api/local-sync/sources/list", content=b"{}", headers={"x-request-id": "abc-1.2_3"})
    assert given.headers["x-request-id"] == "abc-1.2_3"
    for bad in ("x" * 65, "a b", 'a"b'):
        replaced = http.post("/api/local-sync/sources/list", content=b"{}", headers={"x-request-id": bad})
        assert len(replaced.headers["x-request-id"]) == 16


def test_a_lost_database_is_two_lines_of_log(light: InProcess, caplog: pytest.LogCaptureFixture) -> None:
    """One when it is lost, one when it answers again, each with the id of a request."""
    import asyncio
    from unittest.mock import patch

    from agent.hub.domain.ports import StoreUnavailable

    app = HubApp(light.hub)

    async def ask() -> int:
        transport = httpx.ASGITransport(app=app.asgi)
        async with httpx.AsyncClient(transport=transport, base_url="http://hub") as http:
            return (await http.post("/api/local-sync/sources/list", headers=light.headers, content=b"{}")).status_code

    with patch.object(light.store, "read", side_effect=StoreUnavailable("gone")):
        assert [asyncio.run(ask()) for _ in range(3)] == [503] * 3
        app._limits = None
    app._limits = None
    assert asyncio.run(ask()) == 200
    assert [record.getMessage() for record in caplog.records if record.name == "agent.hub"] == [
        "the database cannot be used: gone",
        "the database answers again",
    ]
    assert all(len(record.request_id) == 16 for record in caplog.records if record.name == "agent.hub")  # type: ignore[attr-defined]


def test_log_lines_are_json_documents() -> None:
    """Time, level, message, request id, and the error with its traceback."""
    sink = io.StringIO()
    handler = logging.StreamHandler(sink)
    handler.setFormatter(JsonFormatter())
    log = logging.Logger("agent.hub")
    log.addHandler(handler)
    try:
        raise ValueError("wrong")
    except ValueError:
        log.exception("failed\nbadly", extra={"request_id": "r1", "endpoint": "sources"})
    [line] = sink.getvalue().splitlines()
    document = json.loads(line)
    assert (document["level"], document["message"], document["request_id"]) == ("error", "failed\nbadly", "r1")
    assert "ValueError: wrong" in document["error"]


def test_migrations_make_exactly_the_tables(store: SqlStore) -> None:
    """The SQL files and `tables.py` name the same tables, columns, keys and indexes, on both databases."""
    with store._reader.connect() as connection:
        found = inspect(connection)
        assert set(found.get_table_names()) == set(t.metadata.tables)
        for name, table in t.metadata.tables.items():
            columns = {column["name"]: column["nullable"] for column in found.get_columns(name)}
            assert columns == {column.name: bool(column.nullable) for column in table.columns}, name
            key = found.get_pk_constraint(name)["constrained_columns"]
            assert key == [column.name for column in table.primary_key.columns], name
            indexes = {index["name"] for index in found.get_indexes(name) if not index.get("duplicates_constraint")}
            assert indexes == {index.name for index in table.indexes}, name


OTHER_WORKSPACE = "99999999-8888-4777-8666-555555555555"


def old_rows() -> Iterator[tuple[str, list[object]]]:
    """Rows of schema 1: in each of two workspaces a source with a file that was "one" and is "two"."""
    for text in ("one", "two", "nobody's"):
        digest = bytes.fromhex(sha(text))
        yield "contents (hash, size, encoding, data)", [digest, len(text), int(Encoding.RAW), text.encode()]
    for number, workspace in enumerate((WORKSPACE, OTHER_WORKSPACE), 1):
        owner: list[object] = [f"connector-{number}", workspace, USER, "laptop", "linux"]
        yield "connectors (id, workspace, created_by, name, platform, heartbeat_at, created_at, updated_at)", [
            *owner, 1, 1, 1,
        ]  # fmt: skip
        yield (
            "sources (number, id, workspace, created_by, name, mode, connector, status, includes, excludes, "
            "last_cursor, last_file, created_at, updated_at)"
        ), [
            number, f"source-{number}", workspace, USER, "notes", "bidirectional", owner[0], "active", "[]", "[]",
            2, 1, 1, 1,
        ]  # fmt: skip
        two = bytes.fromhex(sha("two"))
        columns = "files (source, number, path, hash, content_type, state, synced_at)"
        yield columns, [number, 1, "a.md", two, "text/markdown", "ok", 2]
        for cursor, text in enumerate(("one", "two"), 1):
            digest = bytes.fromhex(sha(text))
            yield "versions (source, file, cursor, hash, origin, recorded_at)", [
                number, 1, cursor, digest, "connector", cursor,
            ]  # fmt: skip
            yield "events (source, cursor, type, file, hash, created_at)", [number, cursor, 1, 1, digest, cursor]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_an_older_schema_is_migrated_once_with_its_data(
    tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    """Schema 1 as 0.1.0 wrote it; three that open it at once migrate it once. Each workspace has its own contents."""
    url = sqlite_url(tmp_path / "hub.db") if kind == "sqlite" else request.getfixturevalue("postgres")
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        for statement in statements(kind, 1):
            connection.exec_driver_sql(statement)
        connection.exec_driver_sql("INSERT INTO schema_info (id, version) VALUES (1, 1)")
        place = "?" if kind == "sqlite" else "%s"
        for columns, values in old_rows():
            places = ", ".join([place] * len(values))
            connection.exec_driver_sql(f"INSERT INTO {columns} VALUES ({places})", tuple(values))
    stores = together(*[lambda: SqlStore(url) for _ in range(3)])
    assert sorted(store.migrated.before for store in stores) == [1, t.SCHEMA_VERSION, t.SCHEMA_VERSION]
    with stores[0].read() as session:
        rows = session.transaction.rows("SELECT workspace, size FROM contents ORDER BY workspace, size")
        assert [tuple(row) for row in rows] == [(1, 3), (1, 3), (2, 3), (2, 3)]
        for number, workspace in enumerate((WORKSPACE, OTHER_WORKSPACE), 1):
            source = session.source(workspace, f"source-{number}")
            assert source is not None
            assert session.used_by_workspace(workspace) == source.stored_bytes == len("onetwo")
            texts = session.contents(source.workspace_number, [sha("one"), sha("two"), sha("nobody's")])
            assert sorted(texts.values()) == ["one", "two"]
            assert [event.size for event in session.events(number, 0, 9)] == [3, 3]
            assert [v.number for v in session.versions(number, 1, None)] == [1, 2]
    for store in stores:
        store.close()


def test_equal_texts_of_two_workspaces_are_two_contents(store: SqlStore) -> None:
    """One row and one count for each workspace, however many of its sources have the text."""
    mine = InProcess(store)
    other = mine.beside(OTHER_WORKSPACE)
    for hub, name in ((mine, "a.md"), (mine, "b.md"), (other, "a.md")):
        hub.push(hub.source(), upsert(name, "the same"))
    with store.read() as session:
        assert len(session.transaction.rows("SELECT 1 FROM contents")) == 2
        assert session.used_by_workspace(WORKSPACE) == session.used_by_workspace(OTHER_WORKSPACE) == len("the same")


def test_a_failed_migration_leaves_the_older_schema(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it or nothing."""
    from agent.hub.store import migrations

    path = tmp_path / "hub.db"
    with closing(sqlite3.connect(path)) as database:
        for statement in statements("sqlite", 1):
            database.execute(statement)
        database.execute("INSERT INTO schema_info (id, version) VALUES (1, 1)")
        database.commit()
    real = statements("sqlite", 2)
    monkeypatch.setattr(migrations, "statements", lambda _dialect, _number: (*real, "nonsense"))
    with pytest.raises(Exception, match="syntax error"):
        SqlStore(sqlite_url(path))
    monkeypatch.undo()
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT version FROM schema_info").fetchall() == [(1,)]
        assert database.execute("SELECT 1 FROM sqlite_master WHERE name = 'tokens'").fetchone() is None
    store = SqlStore(sqlite_url(path))
    assert store.migrated == MigrationResult(1, t.SCHEMA_VERSION)
    store.close()


def test_the_migrate_command_says_what_it_did(tmp_path: Path) -> None:
    """From nothing to the newest schema, and then nothing."""
    home = Home(tmp_path)
    assert home.json("hub", "migrate") == {"changed": True, "before": 0, "schema": t.SCHEMA_VERSION}
    assert home.json("hub", "migrate") == {"changed": False, "before": t.SCHEMA_VERSION, "schema": t.SCHEMA_VERSION}


def test_a_revoked_token_is_known_after_a_refresh(store: SqlStore) -> None:
    """By a unique prefix of its id; expired ones are not read again."""
    registry = TokenRegistry(store)
    for number in range(2):
        registry.add(IssuedToken(f"abcd{number}", "w", "u", 1, 100))
    with pytest.raises(Exception, match="more than one"):
        registry.revoke("abcd", 5)
    with pytest.raises(Exception, match="no token"):
        registry.revoke("abcd2", 5)
    assert registry.revoke("abcd1", 5).revoked_at == 5
    assert registry.revoke("abcd1", 6).revoked_at == 5
    revocations = Revocations(registry, max_age=3)
    assert revocations.is_stale(0)
    revocations.refresh(10, 0)
    assert not revocations.is_stale(3)
    assert (revocations.contains("abcd0"), revocations.contains("abcd1")) == (False, True)
    revocations.refresh(100, 10)
    assert not revocations.contains("abcd1")


def test_the_migration_lock_is_a_bigint() -> None:
    """PostgreSQL's advisory locks are signed 64-bit numbers."""
    assert 0 < LOCK_KEY < 2**63
