"""Databases, copies, secrets and tokens."""

from __future__ import annotations

import base64
import itertools
import sqlite3
import stat
import threading
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID

import jwt
import orjson
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from agent.hub.auth import PUBLIC_KEY_ALGORITHMS, JwtTokens, SecretError, hub_secret, load_secret, mint, token_id
from agent.hub.domain.compression import pack
from agent.hub.domain.ids import new_uuid, system_clock
from agent.hub.domain.model import Caller, Connector
from agent.hub.raven.endpoints import Hub
from agent.hub.raven.wire import connector_status
from agent.hub.store.backup import HubData, Overwrite, backup
from agent.hub.store.sql_store import SqlStore, StoreError, sqlite_url
from agent.hub.store.tables import SCHEMA_VERSION
from hub.fixtures import (
    SECRET,
    USER,
    WORKSPACE,
    Client,
    InProcess,
    Running,
    delete,
    headers,
    sha,
    token,
    upsert,
)
from support.closing import closed_after_test
from support.eventually import eventually

DAY_MS = 86_400_000


def test_data_of_a_newer_schema_is_refused_with_a_sentence(store: SqlStore) -> None:
    """An older program never touches what it does not know."""
    with store.write() as session:
        session.transaction.run("UPDATE schema_info SET version = 99")
    with pytest.raises(StoreError, match=f"schema 99, and this program knows schema {SCHEMA_VERSION}"):
        SqlStore(store.url.render_as_string(hide_password=False))


def test_another_kind_of_database_is_refused_with_a_sentence() -> None:
    """SQLite and PostgreSQL are what the hub is tested with."""
    with pytest.raises(StoreError, match="not in mysql"):
        SqlStore("mysql://host/hub")


def test_sqlite_commits_durably_and_holds_references(tmp_path: Path) -> None:
    """WAL, synchronous=FULL, foreign keys on, in readers and the writer."""
    store = SqlStore(sqlite_url(tmp_path / "hub.db"))
    for transaction in (store.read, store.write):
        with transaction() as session:
            settings = [
                session.transaction.rows(f"PRAGMA {name}")[0][0]
                for name in ("journal_mode", "synchronous", "foreign_keys")
            ]
            assert settings == ["wal", 2, 1]
    store.close()


def test_a_database_failure_is_a_500_in_the_usual_shape(on_sqlite: Running) -> None:
    """Nothing of the cause reaches the client; the hub goes on with what works."""
    client = on_sqlite.client()
    source = client.source()
    with closing(sqlite3.connect(on_sqlite.data / "hub.db")) as database:
        database.execute("ALTER TABLE operations RENAME TO lost")
    assert client.refused("sources/push-batch", sourceId=source, items=[upsert("a.md", "one")]) == (
        500,
        "Internal server error",
    )
    assert client.events(source) == []


def test_a_long_conflict_listing_is_complete(light: InProcess) -> None:
    """1,200 conflicts have 2,400 texts."""
    source = light.source()
    for batch in range(12):
        names = [f"{batch}/{i}.md" for i in range(100)]
        light.push(source, *[upsert(name, f"theirs {name}") for name in names])
        light.push(source, *[upsert(name, f"mine {name}") for name in names])
    shown = {(c["relativePath"], c["localContent"], c["remoteContent"]) for c in light.conflicts(source)}
    assert len(shown) == 1200
    assert all((mine, theirs) == (f"mine {path}", f"theirs {path}") for path, mine, theirs in shown)


def test_two_hubs_with_one_clock_and_one_row_of_ids_answer_alike() -> None:
    """The simulation needs this: an answer depends only on clock, ids and the requests."""

    def day() -> list[object]:
        store = closed_after_test(SqlStore("sqlite://"))
        numbers = itertools.count(1)
        hub = Hub(store, lambda: 1_800_000_000_000, lambda: str(UUID(int=next(numbers))), tokens=JwtTokens(SECRET))
        sent = headers(mint(SECRET, workspace=WORKSPACE, user=USER, now=1_800_000_000_000))

        def ask(endpoint: str, body: object) -> tuple[int, object]:
            answer = hub.handle("POST", f"/api/local-sync/{endpoint}", sent, orjson.dumps(body))
            return answer.status, orjson.loads(answer.read())

        client = Client(ask)
        source = client.source()
        items = [upsert(f"{i % 7}.md", str(i), operationId=f"op {i}") for i in range(20)]
        pushed = client.push(source, *items)
        seen = [pushed, client.events(source), client.conflicts(source), client.ok("sources/files", sourceId=source)]
        store.close()
        return seen

    assert day() == day()


def test_a_failed_transaction_leaves_nothing(hub: InProcess) -> None:
    """A batch is all of its accepted items or none of them."""
    source = hub.source()
    with pytest.raises(RuntimeError), hub.store.write() as session:
        found = session.locked_source(WORKSPACE, source)
        assert found is not None
        session.add_contents(1, {sha("x"): pack(b"x")})
        raise RuntimeError
    with hub.store.read() as session:
        assert session.contents(1, [sha("x")]) == {}
    assert hub.push(source, upsert("a.md", "x"))["applied"] == 1


def test_an_in_memory_hub_goes_back_to_a_snapshot() -> None:
    """The simulation needs this to branch."""
    hub = InProcess(closed_after_test(SqlStore("sqlite://")))
    source = hub.source()
    hub.push(source, upsert("a.md", "one"))
    snapshot = hub.store.snapshot()
    hub.push(source, upsert("a.md", "two", sha("one")))
    hub.store.restore(snapshot)
    assert hub.text(source, "a.md") == "one"
    assert hub.push(source, upsert("a.md", "three", sha("one")))["eventCursor"] == 2
    hub.store.close()


def test_the_cost_of_a_push_does_not_grow_with_history(light: InProcess) -> None:
    """No statement of a push, refused, repeated or applied, scans a table: each searches by a key."""
    source, connector = light.source(), light.connector()
    repeated = upsert("a.md", "one")
    light.push(source, repeated)
    statements: list[str] = []
    with light.store._writer.connect() as connection:
        driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    driver.set_trace_callback(statements.append)
    items = [repeated, upsert("a.md", "mine"), upsert("a.md", "two", sha("one")), delete("b.md", None)]
    light.push(source, *items, connectorId=connector)
    driver.set_trace_callback(None)
    searching = [text for text in statements if text.startswith(("SELECT", "UPDATE"))]
    assert len(searching) >= 7
    for statement in searching:
        steps = [row[3] for row in driver.execute(f"EXPLAIN QUERY PLAN {statement}")]
        assert not any(step.startswith("SCAN") for step in steps), (statement, steps)


def test_a_backup_taken_under_load_is_consistent_and_private(on_sqlite: Running, tmp_path: Path) -> None:
    """The copy serves every event up to its newest cursor, whole, and only its owner can read it."""
    client = on_sqlite.client()
    source = client.source()
    stop = threading.Event()

    def write() -> None:
        mine = on_sqlite.client()
        number = 0
        while not stop.is_set():
            mine.push(source, *[upsert(f"{number}/{i}.md", f"{number} {i}") for i in range(10)])
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    assert eventually(lambda: bool(client.ok("sources/deltas", sourceId=source, cursor=100, limit=1)["events"]))
    target = tmp_path / "copy.db"
    backup(hub_data(on_sqlite.data), target, Overwrite.REFUSE, with_secret=True)
    stop.set()
    writer.join()
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.glob("*copy*")] == ["copy.db"]
    copy = InProcess(SqlStore(sqlite_url(target)))
    files = {f["relativePath"]: f["lastSyncedHash"] for f in copy.ok("sources/files", sourceId=source)}
    events = copy.events(source)
    assert len(events) == len(files) >= 100
    assert all(sha(e["payload"]["content"]) == files[e["relativePath"]] for e in events)
    copy.store.close()


def hub_data(folder: Path) -> HubData:
    """The data of a hub on SQLite in a folder."""
    return HubData(folder, folder / "hub.db", folder / "secret")


def test_a_backup_of_nothing_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    """No empty file that looks like a backup."""
    folder = tmp_path / "hub"
    folder.mkdir()
    with pytest.raises(StoreError, match="no hub database"):
        backup(hub_data(folder), tmp_path / "copy.db", Overwrite.REFUSE, with_secret=True)
    (folder / "hub.db").write_bytes(b"not a database" * 100)
    with pytest.raises(StoreError, match="cannot be copied"):
        backup(hub_data(folder), tmp_path / "copy.db", Overwrite.REFUSE, with_secret=True)
    assert [path.name for path in tmp_path.iterdir()] == ["hub"]


def test_the_secret_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    """0600, long enough for HS256, the same at the next start."""
    path = tmp_path / "secret"
    secret = load_secret(path)
    assert len(secret) >= 32
    assert load_secret(path) == secret
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_too_short_a_secret_is_refused_with_a_sentence(tmp_path: Path) -> None:
    """An emptied file would let anybody sign."""
    (tmp_path / "secret").write_bytes(b"")
    with pytest.raises(SecretError, match="too short"):
        hub_secret(tmp_path)


def test_a_minted_token_is_good_until_it_expires() -> None:
    """To the second, by the hub's clock and not the machine's."""
    made = mint(SECRET, workspace="w", user="u", now=5 * DAY_MS, days=2)
    tokens = JwtTokens(SECRET)
    assert tokens.caller(made, 5 * DAY_MS) == Caller("u", "w")
    assert tokens.caller(made, 7 * DAY_MS - 1) == Caller("u", "w")
    assert tokens.caller(made, 7 * DAY_MS) is None
    claims = jwt.decode(made, SECRET, algorithms=["HS256"], options={"verify_exp": False})
    assert claims == {"sub": "u", "workspaceId": "w", "type": "access", "iat": 5 * 86_400, "exp": 7 * 86_400}


GOOD = {"sub": USER, "workspaceId": WORKSPACE, "type": "access", "exp": 2**40}


@pytest.mark.parametrize(
    ("claims", "key", "algorithm"),
    [
        (GOOD, b"another secret, and as long as the first one was, or longer", "HS256"),
        (GOOD, SECRET, "HS512"),
        (GOOD, None, "none"),
        (GOOD | {"type": "collab"}, SECRET, "HS256"),
        (GOOD | {"exp": 1}, SECRET, "HS256"),
        (GOOD | {"nbf": 2**39}, SECRET, "HS256"),
        ({k: v for k, v in GOOD.items() if k != "exp"}, SECRET, "HS256"),
        ({k: v for k, v in GOOD.items() if k != "workspaceId"}, SECRET, "HS256"),
        (GOOD | {"workspaceId": ""}, SECRET, "HS256"),
        ({k: v for k, v in GOOD.items() if k != "sub"}, SECRET, "HS256"),
    ],
)
def test_a_token_that_is_not_good_is_nobody(claims: dict[str, object], key: Any, algorithm: str) -> None:
    """Another key, another algorithm, another type, out of time, or without a name."""
    made = jwt.encode(claims, key, algorithm=algorithm)
    assert JwtTokens(SECRET).caller(made, system_clock()) is None


def test_garbage_is_nobody() -> None:
    """Any text behind Bearer."""
    for made in ("", "a.b.c", "é", "eyJhbGciOiJub25lIn0.e30."):
        assert JwtTokens(SECRET).caller(made, system_clock()) is None


def test_with_a_public_key_somebody_else_signs_the_tokens(light: InProcess) -> None:
    """ES256 tokens are good; the public key itself is no secret to sign with."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    tokens = JwtTokens(public, PUBLIC_KEY_ALGORITHMS)
    assert tokens.caller(jwt.encode(GOOD, key, algorithm="ES256"), system_clock()) == Caller(USER, WORKSPACE)
    assert tokens.caller(token(), system_clock()) is None
    hub = Hub(light.store, tokens=tokens)
    sent = headers(jwt.encode(GOOD, key, algorithm="ES256"))
    assert hub.handle("POST", "/api/local-sync/sources/list", sent, b"{}").status == 200


def other_spellings(made: str) -> list[str]:
    """Texts that a lenient decoder reads as the same token."""
    signed, _, signature = made.rpartition(".")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    unused_bit = alphabet[alphabet.index(signature[-1]) ^ 1]
    changed = [signature[:-1] + unused_bit, f"{signature}=", f"{signature}\n", f"{signature[:5]}!{signature[5:]}"]
    return [f"{signed}.{one}" for one in changed] + [f" {made}", f"{made}."]


def test_a_revoked_token_spelled_otherwise_is_refused() -> None:
    """The last character of a signature has unused bits, and decoders skip foreign characters."""
    made = token()
    for spelled in other_spellings(made):
        assert JwtTokens(SECRET).caller(spelled, system_clock()) is None, spelled
    tokens = JwtTokens(SECRET, is_revoked={token_id(made)}.__contains__)
    assert all(tokens.caller(one, system_clock()) is None for one in (made, *other_spellings(made)))


def test_a_revoked_token_with_a_second_signature_is_refused() -> None:
    """ECDSA: from a signature (r, s) anybody can make the valid signature (r, n - s)."""
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    made = jwt.encode(GOOD, key, algorithm="ES256")
    signed, _, signature = made.rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    second = raw[:32] + (order - int.from_bytes(raw[32:])).to_bytes(32)
    twin = f"{signed}.{base64.urlsafe_b64encode(second).rstrip(b'=').decode()}"
    assert JwtTokens(public, PUBLIC_KEY_ALGORITHMS).caller(twin, system_clock()) == Caller(USER, WORKSPACE)
    tokens = JwtTokens(public, PUBLIC_KEY_ALGORITHMS, {token_id(made)}.__contains__)
    assert tokens.caller(made, system_clock()) is None
    assert tokens.caller(twin, system_clock()) is None


def test_a_forged_signature_is_refused_after_a_valid_one() -> None:
    """The remembered verification is of the whole token, not of its id."""
    tokens, made = JwtTokens(SECRET), token()
    assert tokens.caller(made, system_clock()) is not None
    signed, _, signature = made.rpartition(".")
    assert tokens.caller(f"{signed}.{'A' * len(signature)}", system_clock()) is None


def test_a_connector_is_offline_two_minutes_after_its_heartbeat() -> None:
    """Computed when looked at: nothing has to run for it."""
    connector = Connector("c", "w", "u", "n", "p", None, heartbeat_at=1_000_000, created_at=0, updated_at=0)
    assert connector_status(connector, 1_120_000) == "online"
    assert connector_status(connector, 1_120_001) == "offline"


def test_ids_are_ordered_uuids_of_version_seven() -> None:
    """No two alike, and the text sorts as the time does."""
    made = [new_uuid() for _ in range(1000)]
    assert len(set(made)) == 1000
    assert all(one[14] == "7" and one[19] in "89ab" for one in made)
    assert [one[:13] for one in made] == sorted(one[:13] for one in made)
