"""The hub on PostgreSQL: snapshots, limits, a lost server, several hubs, backups."""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import orjson
import psutil
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool
from websockets.sync.client import connect

from agent.hub.domain.heartbeats import HeartbeatBatch
from agent.hub.domain.model import ConnectorPosition
from agent.hub.store.sql_store import PostgresTimeouts, SqlStore
from agent.hub.store.tables import SCHEMA_VERSION
from hub.fixtures import InProcess, OverHttp, Running, running_hub, sha, together, upsert
from hub.test_drive_clients import Owner
from support.eventually import eventually, patience
from support.postgres import PostgresServer
from support.processes import Home


@pytest.fixture
def hubs(tmp_path: Path, postgres: str) -> Iterator[tuple[Running, Running]]:
    """Two hub processes on one database with one secret."""
    with _two_hubs(tmp_path, postgres) as both:
        yield both


@contextlib.contextmanager
def _two_hubs(tmp_path: Path, postgres: str, *, fresh: bool = False) -> Iterator[tuple[Running, Running]]:
    (tmp_path / "secret").write_text("a secret that is long enough for this test" * 2)
    shared = ("--port", "0", "--database", postgres, "--secret-file", str(tmp_path / "secret"))
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        shutil.copy(tmp_path / "secret", tmp_path / name / "secret")
    with contextlib.ExitStack() as stack:
        one, two = (stack.enter_context(running_hub(tmp_path / name, *shared, fresh=fresh)) for name in ("one", "two"))
        yield one, two


def test_head_and_newest_version_agree_beside_a_writer(postgres: str) -> None:
    """2,000 reads of a file beside a writer: its text is always that of its newest version."""
    hub = InProcess(SqlStore(postgres))
    source = hub.source()
    hub.push(source, upsert("a.md", "0"))
    done = threading.Event()

    def write() -> None:
        for number in range(1, 100_000):
            if done.is_set():
                return
            hub.push(source, upsert("a.md", str(number), sha(str(number - 1))))

    def read() -> int:
        torn = 0
        try:
            for _ in range(2000):
                file = hub.ok("sources/file", sourceId=source, relativePath="a.md")
                torn += file["content"] != file["versions"][-1]["content"]
        finally:
            done.set()
        return torn

    assert together(read, write)[0] == 0
    hub.store.close()


def test_two_hubs_write_the_position_of_one_connector(postgres: str) -> None:
    """A connector that polls both has its position at each. The second write waits for the first and then holds too."""
    first, second = SqlStore(postgres), SqlStore(postgres)
    batch = HeartbeatBatch({}, {("c", 1): ConnectorPosition(7, 1)})
    written = threading.Event()

    def write_first() -> None:
        with first.write() as session:
            session.save_heartbeats(batch)
            written.set()
            eventually(lambda: waiting_for_locks(postgres), 20, "the other hub waits")

    def write_second() -> None:
        assert written.wait(patience(20))
        with second.write() as session:
            session.save_heartbeats(batch)

    together(write_first, write_second)
    with second.read() as session:
        assert session.connector_positions(1) == {"c": ConnectorPosition(7, 1)}
    first.close()
    second.close()


def waiting_for_locks(url: str) -> int:
    """Locks of this database that somebody waits for."""
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        return int(connection.execute(text("SELECT count(*) FROM pg_locks WHERE NOT granted")).scalar_one())


def test_a_held_lock_is_503_within_its_limit(postgres: str) -> None:
    """The same source: 503 with Retry-After after the lock timeout. Another source: applied at once."""
    hub = InProcess(SqlStore(postgres, timeouts=PostgresTimeouts(lock=300)))
    held, free = hub.source(), hub.source()
    engine = create_engine(postgres, poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(text("SELECT 1 FROM sources WHERE id = :i FOR UPDATE"), {"i": held})
        began = time.monotonic()
        refused = hub.refused("sources/push-batch", sourceId=held, items=[upsert("a.md", "one")])
        assert refused == (503, "The hub's database is not available")
        assert time.monotonic() - began < patience(5)
        assert hub.outcome(free, upsert("a.md", "one"))["status"] == "applied"
    assert hub.outcome(held, upsert("a.md", "one"))["status"] == "applied"
    hub.store.close()


def test_stuck_writers_of_one_source_leave_others_theirs(hubs: tuple[Running, Running], postgres: str) -> None:
    """Twenty pushes wait for one source's lock; pushes to another source are applied within a second each."""
    one, _ = hubs
    held, free = one.client().source(), one.client().source()
    engine = create_engine(postgres, poolclass=NullPool)
    waiting = [one.client() for _ in range(20)]
    other = one.client()
    statuses: list[int] = []

    def push(client: OverHttp, number: int) -> None:
        body = {"sourceId": held, "items": [upsert(f"{number}.md", "x")]}
        statuses.append(client.ask("sources/push-batch", body)[0])

    threads = [threading.Thread(target=push, args=(client, number)) for number, client in enumerate(waiting)]
    with engine.begin() as connection:
        connection.execute(text("SELECT 1 FROM sources WHERE id = :i FOR UPDATE"), {"i": held})
        for thread in threads:
            thread.start()
        for number in range(5):
            began = time.monotonic()
            assert other.outcome(free, upsert(f"{number}.md", "x"))["status"] == "applied"
            assert time.monotonic() - began < patience(1)
    for thread in threads:
        thread.join()
    assert set(statuses) <= {200, 503}


def test_a_push_through_one_hub_wakes_the_other(hubs: tuple[Running, Running], postgres_server: PostgresServer) -> None:
    """Twenty events, half of them within a second; after the listening connection is killed, within six."""
    one, two = hubs
    writer, reader = one.client(), two.client()
    source = writer.source()
    cursor = 0

    def latency(number: int) -> float:
        nonlocal cursor
        began: list[float] = []

        def push() -> None:
            # The poll at the other hub waits first: the event is not there before it is asked for.
            assert eventually(lambda: _metric(two, "raven_hub_waiting_polls") == 1)
            began.append(time.monotonic())
            writer.push(source, upsert(f"{number}.md", "x"))

        pusher = threading.Thread(target=push)
        pusher.start()
        page = reader.ok("sources/deltas", sourceId=source, cursor=cursor, waitMs=20_000)
        ended = time.monotonic()
        pusher.join()
        cursor = page["nextCursor"]
        assert len(page["events"]) == 1
        return ended - began[0]

    latencies = sorted(latency(number) for number in range(20))
    # On a busy machine a single one may be late, but never as late as the query every 5 s would make it.
    assert latencies[10] < 1
    assert latencies[-1] < 4
    postgres_server.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'raven-hub-listen'"
    )
    assert latency(20) < 6
    assert latency(21) < 6


def _metric(hub: Running, name: str) -> float:
    lines = httpx.get(f"{hub.url}/metrics").text.splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith(f"{name} "))


def test_a_stopped_database_is_503_and_comes_back(
    hubs: tuple[Running, Running], postgres_server: PostgresServer
) -> None:
    """`/readyz` 503, `/healthz` 200, requests 503 with Retry-After; afterwards everything works by itself."""
    one, _ = hubs
    client = one.client()
    source = client.source()
    assert httpx.get(f"{one.url}/readyz").status_code == 200
    postgres_server.stop()
    try:
        assert httpx.get(f"{one.url}/readyz", timeout=10).status_code == 503
        assert httpx.get(f"{one.url}/healthz").status_code == 200
        answer = client.http.post("/api/local-sync/sources/list", content=b"{}")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    finally:
        postgres_server.start()
    assert eventually(lambda: httpx.get(f"{one.url}/readyz", timeout=10).status_code == 200)
    assert client.outcome(source, upsert("a.md", "one"))["status"] == "applied"


def test_hubs_that_start_together_make_the_schema_once(postgres_server: PostgresServer) -> None:
    """Three at once on an empty database, twenty times: none fails, and the schema is there once."""
    for _ in range(20):
        postgres_server.empty()
        stores = together(*[lambda: SqlStore(postgres_server.url) for _ in range(3)])
        befores = sorted(store.migrated.before for store in stores)
        for store in stores:
            store.close()
        assert befores == [0, SCHEMA_VERSION, SCHEMA_VERSION]
        assert postgres_server.sql("SELECT version FROM schema_info") == [(SCHEMA_VERSION,)]


def test_prepared_statements_can_be_switched_off(postgres: str) -> None:
    """`?prepare_threshold=none`, for PgBouncer's transaction mode: no statement is prepared, however often it runs."""
    hub = InProcess(SqlStore(f"{postgres}&prepare_threshold=none"))
    source = hub.source()
    for number in range(20):
        hub.push(source, upsert(f"{number}.md", "x"))
    with hub.store.read() as session:
        names = session.transaction.rows("SELECT name FROM pg_prepared_statements")
        ((application,),) = session.transaction.rows("SHOW application_name")
        ((level,),) = session.transaction.rows("SHOW transaction_isolation")
        ((read_only,),) = session.transaction.rows("SHOW transaction_read_only")
    assert (names, application, level, read_only) == ([], "raven-hub", "repeatable read", "on")
    with hub.store.write() as session:
        assert session.transaction.rows("SHOW transaction_isolation") == [("read committed",)]
    hub.store.close()


def test_a_revoked_token_is_refused_at_every_hub(hubs: tuple[Running, Running], tmp_path: Path, postgres: str) -> None:
    """Within 5 s at both, and only that one. Neither the password's file nor the secret is in any command line."""
    one, two = hubs
    home = Home(tmp_path, "machine")
    (tmp_path / "url").write_text(postgres)
    home.extra = {"RAVEN_HUB_DATABASE_FILE": str(tmp_path / "url"), "RAVEN_HUB_SECRET_FILE": str(tmp_path / "secret")}
    tokens = [home.run("hub", "token", "--workspace", "w", "--user", f"u{n}").out.strip() for n in range(2)]

    def status(hub: Running, token: str) -> int:
        sent = {"authorization": f"Bearer {token}", "x-workspace-id": "w"}
        return httpx.post(f"{hub.url}/api/local-sync/sources/list", headers=sent, content=b"{}").status_code

    assert [status(hub, token) for hub in hubs for token in tokens] == [200] * 4
    listed = home.json("hub", "tokens")
    assert [row["user"] for row in listed] == ["u0", "u1"]
    revoked = home.json("hub", "revoke", listed[0]["id"][:8])
    assert revoked["id"] == listed[0]["id"] and revoked["revoked_at"]
    assert eventually(lambda: status(one, tokens[0]) == status(two, tokens[0]) == 401, 5)
    assert status(one, tokens[1]) == status(two, tokens[1]) == 200


def test_a_backup_of_postgresql_is_restored(postgres_server: PostgresServer, tmp_path: Path) -> None:
    """`hub backup` runs pg_dump; a database that was emptied has everything back, with the secret."""
    postgres_server.empty()
    home, data = Home(tmp_path), tmp_path / "data"
    hub = InProcess(SqlStore(postgres_server.url))
    source = hub.source()
    hub.push(source, upsert("a.md", "one"))
    hub.store.close()
    url = tmp_path / "url"
    url.write_text(postgres_server.url)
    place = ("--data", str(data), "--database-file", str(url))
    token = home.run("hub", "token", "--workspace", "w", "--user", "u", *place)
    assert token.code == 0, token
    secret = (data / "secret").read_bytes()
    copy = tmp_path / "copy.tar"
    done = home.run("hub", "backup", str(copy), *place)
    assert done.code == 0, done
    postgres_server.empty()
    (data / "secret").unlink()
    restored = home.run("hub", "restore", str(copy), *place)
    assert restored.code == 0, restored
    assert (data / "secret").read_bytes() == secret
    hub = InProcess(SqlStore(postgres_server.url))
    assert hub.text(source, "a.md") == "one"
    hub.store.close()


def test_no_secret_is_in_a_command_line(postgres: str, tmp_path: Path) -> None:
    """Neither the hubs nor their children show the secret to other users of the machine."""
    with _two_hubs(tmp_path, postgres, fresh=True) as hubs:
        secret = (tmp_path / "secret").read_text()
        for hub in hubs:
            process = psutil.Process(hub.process.pid)
            assert "agent.hub" in process.cmdline()
            for one in (process, *process.children(recursive=True)):
                with contextlib.suppress(psutil.NoSuchProcess):
                    assert secret not in " ".join(one.cmdline())


def test_a_change_through_one_hub_nudges_a_client_of_the_other(hubs: tuple[Running, Running]) -> None:
    """A WebSocket at one hub, a large file in chunks at the other: the nudge comes, and the content is there."""
    one, two = hubs
    writer, reader = Owner(one), Owner(two)
    device = {"device_id": "dev", "device_name": "d", "platform": "cli", "client_version": "1"}
    reader.http.post("sync/devices", json=device).raise_for_status()
    content = bytes(range(256)) * 8192
    body = {"share_id": writer.share, "file_name": "video", "file_size": len(content), "chunk_size": 1_048_576}
    url = f"{two.url.replace('http', 'ws')}/api/v1/sync/ws/dev?token={reader.token}"
    with connect(url, proxy=None) as socket:
        socket.send('{"type":"subscribe"}')
        socket.recv(timeout=patience(20))
        session = writer.http.post("uploads", json=body).raise_for_status().json()["session_id"]
        # The two hubs take the chunks in turn: they are in the database.
        for index, hub in enumerate((writer, reader)):
            piece = content[index * 1_048_576 :][:1_048_576]
            hub.http.put(f"uploads/{session}/chunks/{index}", content=piece).raise_for_status()
        file = writer.http.post(f"uploads/{session}/complete").raise_for_status().json()["file_id"]
        frame = orjson.loads(socket.recv(timeout=patience(20)))
    assert (frame["share_id"], frame["data"]["resource_id"]) == (writer.share, file)
    assert reader.content(file) == content
    for each in (writer, reader):
        each.http.close()
