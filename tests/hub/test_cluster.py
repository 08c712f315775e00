"""Several hubs on one PostgreSQL: agents behind a balancer, a stopped hub, a pool of connections, a new machine."""

from __future__ import annotations

import contextlib
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from hub.fixtures import WORKSPACE, OverHttp, Running, running_hub, sha, together, token, upsert
from support.eventually import eventually, patience
from support.postgres import PostgresServer
from support.processes import Home
from support.proxies import free_port, nginx, pgbouncer

SECRET = "a secret that is long enough for this test" * 2


@contextlib.contextmanager
def cluster(top: Path, url: str, count: int, *arguments: str) -> Iterator[list[Running]]:
    """So many hub processes on one database with one secret."""
    (top / "secret").write_text(SECRET)
    with contextlib.ExitStack() as stack:
        hubs = []
        for number in range(count):
            data = top / f"hub-{number}"
            data.mkdir(exist_ok=True)
            shutil.copy(top / "secret", data / "secret")
            shared = ("--port", "0", "--database", url, "--secret-file", str(top / "secret"), *arguments)
            hubs.append(stack.enter_context(running_hub(data, *shared)))
        yield hubs


def balanced(port: int, hubs: list[Running]) -> str:
    """The nginx configuration of docs/hub-proxy.md for these hubs, without TLS."""
    servers = "\n".join(f"server {hub.url.removeprefix('http://')};" for hub in hubs)
    return f"""
        upstream raven_hubs {{ {servers} keepalive 64; }}
        server {{
            listen 127.0.0.1:{port};
            client_max_body_size 0;
            location / {{
                proxy_pass http://raven_hubs;
                proxy_http_version 1.1;
                proxy_set_header Connection "";
                proxy_set_header Host $host;
                proxy_buffering off;
                proxy_read_timeout 75s;
            }}
        }}"""


def signed_in(top: Path, name: str, url: str) -> Home:
    """A machine with an account at a hub."""
    home = Home(top, name)
    bearer = token(secret=SECRET.encode())
    said = home.run("login", url, "--workspace", WORKSPACE, "--name", "raven", "--token-stdin", stdin=bearer)
    assert said.code == 0, said
    return home


def reads(path: Path) -> str | None:
    """The text of a file, None if it is not there."""
    with contextlib.suppress(FileNotFoundError):
        return path.read_text()
    return None


def seconds_to_arrive(written: Path, expected: Path, words: str) -> float:
    """Write a file and return the seconds until another one has the same text."""
    began = time.monotonic()
    written.write_text(words)
    eventually(lambda: reads(expected) == words, 30, f"{expected} has {words!r}")
    return time.monotonic() - began


@pytest.mark.long
def test_edits_cross_two_hubs_behind_a_balancer(tmp_path: Path, postgres: str, postgres_server: PostgresServer) -> None:
    """Two agents, each request at the next hub: 20 edits each way are within a second, and survive a lost listener."""
    port = free_port()
    with cluster(tmp_path, postgres, 2, "--behind-proxy") as hubs, nginx(balanced(port, hubs)):
        one, two = (signed_in(tmp_path, name, f"http://127.0.0.1:{port}") for name in ("one", "two"))
        source = one.link()
        with one.daemon():
            two.link("--source", source)
            with two.daemon():
                sides = (one.folder / "a.md", two.folder / "a.md")
                seconds_to_arrive(sides[0], sides[1], "first")
                times = []
                for number in range(20):
                    for written, expected in (sides, sides[::-1]):
                        times.append(seconds_to_arrive(written, expected, f"{number} {written.parent.parent.name}"))
                times.sort()
                print("seconds:", [round(each, 2) for each in (times[0], times[20], times[-2], times[-1])])
                # On a busy machine some may be late, but never as late as the query every 5 s would make them.
                assert times[30] < 1 and times[-1] < 4, times
                postgres_server.sql(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'raven-hub-listen'"
                )
                assert seconds_to_arrive(sides[0], sides[1], "after the listener was lost") < 6
                # The database ends and comes back: what was written meanwhile arrives by itself.
                postgres_server.stop()
                try:
                    sides[0].write_text("written while there was no database")
                    eventually(lambda: one.json("status")["sources"][0]["state"] != "in_sync", 20, "it is noticed")
                finally:
                    postgres_server.start()
                eventually(lambda: reads(sides[1]) == sides[0].read_text(), 60, "the edit arrives afterwards")


@pytest.mark.long
def test_a_stopped_hub_keeps_only_its_own_source(tmp_path: Path, postgres: str) -> None:
    """SIGSTOP inside a push: other sources are served within a second, this one gets 503, and soon is free again."""
    engine = create_engine(postgres, poolclass=NullPool)
    with cluster(tmp_path, postgres, 2) as (stuck, alive):
        held, free = alive.client().source(), alive.client().source()
        victim, other, same = stuck.client(), alive.client(), alive.client()
        answers: list[int] = []

        def push() -> None:
            body = {"sourceId": held, "items": [upsert("a.md", "from the stopped hub")]}
            answers.append(victim.ask("sources/push-batch", body)[0])

        pusher = threading.Thread(target=push)
        with engine.begin() as connection:
            connection.execute(text("SELECT 1 FROM sources WHERE id = :i FOR UPDATE"), {"i": held})
            pusher.start()
            eventually(lambda: _waits_for_a_lock(postgres), 10, "the push waits for its source")
            stuck.process.send_signal(signal.SIGSTOP)
        # The lock now belongs to the stopped hub's transaction.
        try:
            for number in range(5):
                began = time.monotonic()
                assert other.outcome(free, upsert(f"{number}.md", "x"))["status"] == "applied"
                assert time.monotonic() - began < patience(1)
            began = time.monotonic()
            status, _ = same.ask("sources/push-batch", {"sourceId": held, "items": [upsert("b.md", "x")]})
            assert status == 503 and time.monotonic() - began < patience(10)
            eventually(
                lambda: same.ask("sources/push-batch", {"sourceId": held, "items": [upsert("b.md", "x")]})[0] == 200,
                30,
                "PostgreSQL ends the idle transaction",
            )
        finally:
            stuck.process.send_signal(signal.SIGCONT)
        pusher.join(patience(30))
        # Its transaction was ended by PostgreSQL, and nothing of it is there. Its next request is answered.
        assert answers == [503]
        assert victim.text(held, "a.md") is None
        assert victim.outcome(held, upsert("a.md", "again"))["status"] == "applied"


def _waits_for_a_lock(url: str) -> bool:
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        return bool(connection.execute(text(query)).scalar())


def test_hubs_behind_pgbouncer_make_no_error(tmp_path: Path, postgres: str, postgres_server: PostgresServer) -> None:
    """Transaction mode, fewer server connections than the hubs have: 0 errors, and an event is seen within 7 s."""
    with pgbouncer(postgres_server, pool=4) as url, cluster(tmp_path, url, 2) as (one, two):
        source = one.client().source()
        clients = [hub.client() for hub in (one, two) for _ in range(4)]

        def work(client: OverHttp, number: int) -> set[int]:
            seen = set()
            for turn in range(15):
                status, answer = client.ask(
                    "sources/push-batch", {"sourceId": source, "items": [upsert(f"{number}/{turn}.md", "x")]}
                )
                assert status != 200 or answer["data"]["items"][0]["status"] == "applied"
                seen.add(status)
                seen.add(client.ask("sources/deltas", {"sourceId": source, "limit": 500})[0])
                seen.add(client.ask("sources/list", {})[0])
            return seen

        jobs = [lambda client=client, number=number: work(client, number) for number, client in enumerate(clients)]
        assert set().union(*together(*jobs)) == {200}
        reader, writer = two.client(), one.client()
        cursor = reader.events(source)[-1]["cursor"]
        assert cursor == len(clients) * 15
        timer = threading.Timer(1.0, lambda: writer.push(source, upsert("last.md", "x")))
        began = time.monotonic()
        timer.start()
        page = reader.ok("sources/deltas", sourceId=source, cursor=cursor, waitMs=20_000)
        assert len(page["events"]) == 1
        assert time.monotonic() - began < patience(1 + 7)
        timer.join()


@pytest.mark.long
def test_agents_lose_nothing_when_a_hub_moves(tmp_path: Path, postgres: str, postgres_server: PostgresServer) -> None:
    """Backup, new machine, restore: the old token is good, and later edits are on the server again."""
    url_file, copy, port = tmp_path / "url", tmp_path / "copy.tar", free_port()
    url_file.write_text(postgres)
    admin = Home(tmp_path, "admin")
    with cluster(tmp_path, postgres, 1, "--behind-proxy") as (old,), nginx(balanced(port, [old])):
        one = signed_in(tmp_path, "one", f"http://127.0.0.1:{port}")
        (one.folder / "a.md").write_text("one")
        source = one.link()
        done = admin.run("hub", "backup", str(copy), "--data", str(old.data), "--database-file", str(url_file))
        assert done.code == 0, done
        (one.folder / "a.md").write_text("two, after the backup")
        (one.folder / "b.md").write_text("new, after the backup")
        assert one.run("sync").code == 0
    postgres_server.empty()
    data = tmp_path / "new-machine"
    done = admin.run("hub", "restore", str(copy), "--data", str(data), "--database-file", str(url_file))
    assert done.code == 0, done
    shared = ("--port", "0", "--database", postgres, "--behind-proxy")
    with running_hub(data, *shared) as new, nginx(balanced(port, [new])):
        (one.folder / "c.md").write_text("three, on the new machine")
        assert "restored from an older copy" in one.run("sync").out
        assert sorted(path.name for path in one.folder.glob("*.md")) == ["a.md", "b.md", "c.md"]
        assert one.run("resume").code == 0
        # The text of the copy and the later one differ: a person decides, and both are there until then.
        assert one.run("sync").code == 3
        client = new.client()
        assert client.text(source, "a.md") == "one"
        assert one.folder.joinpath("a.md").read_text() == "two, after the backup"
        assert one.run("resolve", one.folder / "a.md", "keep_local").code == 0
        assert one.run("sync").code == 0
        assert {name: client.text(source, name) for name in ("a.md", "b.md", "c.md")} == {
            "a.md": "two, after the backup",
            "b.md": "new, after the backup",
            "c.md": "three, on the new machine",
        }
        assert client.past(source, "a.md")[0] == "one"


@pytest.mark.long
@pytest.mark.parametrize("count", [1, 2, 3])
def test_pairs_have_one_winner_with_any_number_of_hubs(tmp_path: Path, postgres: str, count: int) -> None:
    """Thirty pairs on one base, each pusher at another hub: one winner each, a dense feed, no other status than 200."""
    with cluster(tmp_path, postgres, count) as hubs:
        source = hubs[0].client().source()
        pushers = [hubs[number % count].client() for number in range(2)]
        base, text_ = None, ""
        for number in range(30):
            items = [upsert("a.md", f"{number} {side}", base) for side in "lr"]
            jobs = [
                lambda client=client, item=item: client.outcome(source, item)["status"]
                for client, item in zip(pushers, items, strict=True)
            ]
            assert sorted(together(*jobs)) == ["applied", "conflict"]
            text_ = pushers[0].text(source, "a.md") or ""
            base = sha(text_)
        cursors = [event["cursor"] for event in pushers[1].events(source)]
        assert cursors == list(range(1, 61))
        assert len(pushers[0].conflicts(source)) == 30


class Stubborn:
    """A client that asks one hub after the other until its item was applied, as an agent does."""

    def __init__(self, hubs: list[Running], first: int) -> None:
        self._clients = [hub.client() for hub in hubs]
        self._next = first
        self.statuses: set[int] = set()

    def push(self, source: str, item: dict[str, Any]) -> None:
        """Push an item, again with the same operation id after every failure."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            client = self._clients[self._next % len(self._clients)]
            self._next += 1
            try:
                status, answer = client.ask("sources/push-batch", {"sourceId": source, "items": [item]})
            except httpx.TransportError:
                continue
            self.statuses.add(status)
            if status == 200:
                result = answer["data"]["items"][0]
                assert result.get("first", result["status"]) == "applied", result
                return
        raise AssertionError("the item was never applied")


@pytest.mark.long
def test_nothing_is_lost_or_doubled_over_kills(tmp_path: Path, postgres: str, postgres_server: PostgresServer) -> None:
    """Six pushers at three hubs while a hub, all connections and the server are killed: each item once, no 500."""
    with cluster(tmp_path, postgres, 3) as hubs:
        source = hubs[0].client().source()
        pushers = [Stubborn(hubs, number) for number in range(6)]

        def push(pusher: Stubborn, number: int) -> None:
            for turn in range(60):
                pusher.push(source, upsert(f"{number}/{turn}.md", f"{number} {turn}"))

        def kill() -> None:
            survivor = hubs[0].client()

            def pushed(count: int) -> bool:
                with contextlib.suppress(httpx.TransportError):
                    return bool(survivor.ask("sources/list", {})[1]["data"][0]["lastRemoteCursor"] >= count)
                return False

            eventually(lambda: pushed(40), 120, "forty items are there")
            hubs[2].process.kill()
            for count in (80, 120, 160):
                eventually(partial(pushed, count), 120, f"{count} items are there")
                postgres_server.sql(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'raven-hub%'"
                )
            postgres_server.stop()
            postgres_server.start()

        jobs = [partial(push, pusher, number) for number, pusher in enumerate(pushers)]
        together(kill, *jobs)
        assert set().union(*[pusher.statuses for pusher in pushers]) <= {200, 503}
        events = hubs[1].client().events(source)
        assert [event["cursor"] for event in events] == list(range(1, 361))
        assert len({event["relativePath"] for event in events}) == 360
