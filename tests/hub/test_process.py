"""A real hub process: races, deaths, ports, doors."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sqlite3
import ssl
import stat
import subprocess
import sys
import threading
from contextlib import closing
from functools import partial
from pathlib import Path

import httpx
import orjson
import psutil
import pytest

from hub.fixtures import (
    WORKSPACE,
    OverHttp,
    Running,
    delete,
    headers,
    running_hub,
    sha,
    together,
    token,
    upsert,
)
from support.certificates import self_signed
from support.eventually import eventually, patience


def test_of_two_pushes_on_one_base_exactly_one_wins_fifty_times(process: Running) -> None:
    """50 accepted, 50 conflicts; every accepted text is the head or in history, every refused one in a conflict."""
    one, other = process.client(), process.client()
    source = one.source()
    one.push(source, upsert("a.md", "start"))
    base, texts = "start", ["start"]
    statuses: list[str] = []
    for number in range(50):
        rivals = {text: upsert("a.md", text, sha(base)) for text in (f"left {number}", f"right {number}")}
        left, right = rivals.values()
        results = together(partial(one.outcome, source, left), partial(other.outcome, source, right))
        statuses += [result["status"] for result in results]
        base = one.text(source, "a.md") or ""
        assert base in rivals
        texts.append(base)
    assert (statuses.count("applied"), statuses.count("conflict")) == (50, 50)
    assert one.past(source, "a.md") == texts
    refused = {conflict["localContent"] for conflict in one.conflicts(source)}
    assert len(refused) == 50
    assert not refused & set(texts)


def test_of_a_push_and_a_page_edit_on_one_base_one_wins(process: Running) -> None:
    """So does a delete against an edit, and one operation sent twice at once is applied once."""
    one, other = process.client(), process.client()
    source = one.source()
    for number in range(20):
        path = f"{number}.md"
        one.push(source, upsert(path, "base"))
        edit = {"sourceId": source, "relativePath": path, "content": "edited", "baseHash": sha("base")}
        item = upsert(path, "pushed", sha("base"))
        pushed, edited = together(
            partial(one.outcome, source, item),
            partial(other.ok, "sources/file/update", **edit),
        )
        assert sorted([pushed["status"] == "applied", edited["status"] == "ok"]) == [False, True]
        gone = delete(path, sha(one.text(source, path) or ""))
        kept = upsert(path, "kept", gone["baseHash"])
        results = together(partial(one.outcome, source, gone), partial(other.outcome, source, kept))
        assert sorted(result["status"] for result in results) == ["applied", "conflict"]
        twice = upsert(f"twice {number}.md", "x")
        results = together(partial(one.outcome, source, twice), partial(other.outcome, source, twice))
        assert sorted(result["status"] for result in results) == ["applied", "duplicate"]


def test_the_second_of_two_opposite_resolutions_is_refused(process: Running) -> None:
    """One 200 and one 404, each time."""
    one, other = process.client(), process.client()
    source = one.source()
    one.push(source, upsert("a.md", "head"))
    for number in range(20):
        conflict = one.outcome(source, upsert("a.md", f"mine {number}"))["conflictId"]
        wish = {"sourceId": source, "conflictId": conflict}
        answers = together(
            partial(one.ask, "sources/conflicts/resolve", wish | {"resolution": "keep_local"}),
            partial(other.ask, "sources/conflicts/resolve", wish | {"resolution": "keep_raven"}),
        )
        assert sorted(answer[0] for answer in answers) == [200, 404]


@pytest.mark.parametrize("batches", [25, pytest.param(125, marks=pytest.mark.long)])
def test_a_poller_beside_eight_writers_misses_no_event(process: Running, batches: int) -> None:
    """A reader at cursor N never later finds an event below N: cursors come in the order of the commits."""
    client = process.client()
    source = client.source()
    done = threading.Event()
    seen: list[int] = []

    def write(writer: int) -> None:
        mine = process.client()
        for batch in range(batches):
            mine.push(source, *[upsert(f"{writer}/{batch}/{i}.md", "x") for i in range(10)])

    def poll() -> None:
        cursor = 0
        while True:
            last = done.is_set()
            page = client.ok("sources/deltas", sourceId=source, cursor=cursor, limit=500, waitMs=200)
            seen.extend(event["cursor"] for event in page["events"])
            cursor = page["nextCursor"]
            if last and not page["events"]:
                return

    poller = threading.Thread(target=poll)
    poller.start()
    together(*[lambda writer=writer: write(writer) for writer in range(8)])
    done.set()
    poller.join()
    assert seen == list(range(1, 8 * 10 * batches + 1))


def test_kill_9_under_load_loses_no_acknowledged_push(tmp_path: Path, database: tuple[str, ...]) -> None:
    """Every acknowledged push is there after the restart, complete and in one sequence."""
    acknowledged: dict[str, str] = {}
    guard = threading.Lock()
    with running_hub(tmp_path, "--port", "0", *database) as process:
        source = process.client().source()

        def write(writer: int) -> None:
            client = process.client()
            for number in range(10_000):
                items = [upsert(f"{writer}/{number}/{i}.md", f"{writer} {number} {i}") for i in range(5)]
                try:
                    results = client.push(source, *items)["items"]
                except (httpx.TransportError, orjson.JSONDecodeError):
                    return
                with guard:
                    acknowledged.update({i["relativePath"]: r["hash"] for i, r in zip(items, results, strict=True)})

        writers = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
        for thread in writers:
            thread.start()
        assert eventually(lambda: len(acknowledged) > 300, 20)
        process.process.kill()
        for thread in writers:
            thread.join()
    with running_hub(tmp_path, "--port", "0", *database) as process:
        client = process.client()
        kept = {f["relativePath"]: f["lastSyncedHash"] for f in client.ok("sources/files", sourceId=source)}
        assert acknowledged.items() <= kept.items()
        events = client.events(source)
        assert [event["cursor"] for event in events] == list(range(1, len(kept) + 1))
    if database:
        return
    with closing(sqlite3.connect(tmp_path / "hub.db")) as file:
        assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert file.execute("PRAGMA foreign_key_check").fetchall() == []


def test_a_long_poll_is_woken_by_the_event(process: Running) -> None:
    """The answer comes with the event, not at the end of the wait."""
    reader, writer = process.client(), process.client()
    source = reader.source()
    results = together(
        lambda: reader.ok("sources/deltas", sourceId=source, waitMs=20_000),
        lambda: writer.push(source, upsert("a.md", "one")),
    )
    assert [e["relativePath"] for e in results[0]["events"]] == ["a.md"]


def test_sigterm_ends_the_hub_cleanly_also_while_polls_wait(process: Running) -> None:
    """Exit code 0 within seconds; the waiting poll is answered."""
    client = process.client()
    body = orjson.dumps({"sourceId": client.source(), "waitMs": 30_000})
    url = httpx.URL(process.url)
    with socket.create_connection((url.host, url.port or 0), timeout=10) as poll:
        request = httpx.Request(
            "POST", f"{url}/api/local-sync/sources/deltas", headers=client.http.headers, content=body
        )
        lines = [b"POST /api/local-sync/sources/deltas HTTP/1.1", *(b"%s: %s" % pair for pair in request.headers.raw)]
        poll.sendall(b"\r\n".join(lines) + b"\r\n\r\n" + body)
        # The hub reads connections in the order of arrival: once this is answered, the poll waits.
        client.ok("sources/list")
        process.process.send_signal(signal.SIGTERM)
        assert process.process.wait(patience(10)) == 0
        assert poll.recv(65536).startswith(b"HTTP/1.1 200 ")


@pytest.mark.skipif(sys.platform != "linux", reason="threads are named in /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_given_to_another_thread_ends_the_hub(process: Running, number: signal.Signals) -> None:
    """The main thread sleeps until a request; a signal that does not interrupt its wait ends the hub all the same."""
    pid = process.process.pid
    process.client().ok("sources/list")
    other = next(tid for tid in sorted(map(int, os.listdir(f"/proc/{pid}/task"))) if tid != pid)
    assert ctypes.CDLL(None).tgkill(pid, other, int(number)) == 0
    assert process.process.wait(patience(20)) == 0


def test_the_hub_ends_when_its_parent_ends(tmp_path: Path) -> None:
    """A killed parent leaves no hub behind."""
    script = (
        "import os, subprocess, sys\n"
        "command = [sys.executable, '-P', '-m', 'agent.hub', '--data', sys.argv[1], '--port', '0']\n"
        "hub = subprocess.Popen([*command, '--parent-pid', str(os.getpid())], stdout=subprocess.PIPE, text=True)\n"
        "print(hub.stdout.readline(), end='', flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False)
    pid = orjson.loads(done.stdout)["pid"]
    assert done.returncode == -signal.SIGKILL
    assert eventually(lambda: not _alive(pid), 10)


def _alive(pid: int) -> bool:
    return bool(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)


def refusal(*arguments: str) -> str:
    """Return the message of a hub that does not start."""
    command = [sys.executable, "-P", "-m", "agent.hub", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=patience(30), check=False)
    assert (done.returncode, done.stdout) == (1, "")
    return done.stderr


def test_a_token_minted_beside_the_hub_is_good_there(process: Running) -> None:
    """The process that hosts the hub needs no code of the hub's; before the first start the secret is made."""
    command = [sys.executable, "-P", "-m", "agent.hub", "--data", str(process.data), "--mint", f"{WORKSPACE}:me"]
    minted = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    client = OverHttp(process.url, minted)
    assert client.ok("connectors/register", name="n", platform="p")["createdById"] == "me"
    client.http.close()


def test_a_hub_with_an_emptied_secret_does_not_start(tmp_path: Path) -> None:
    """It would accept what anybody signs."""
    (tmp_path / "secret").touch()
    assert "too short" in refusal("--data", str(tmp_path), "--port", "0")
    assert "too short" in refusal("--data", str(tmp_path), "--mint", "w:u")


def test_a_second_hub_for_the_same_folder_is_refused_by_name(on_sqlite: Running) -> None:
    """Two would not hear of each other's commits."""
    assert f"(process {on_sqlite.process.pid})" in refusal("--data", str(on_sqlite.data), "--port", "0")


def test_off_loopback_the_hub_speaks_tls_unless_told_otherwise(tmp_path: Path) -> None:
    """With a certificate of its own, or in plain HTTP behind a proxy; a certificate without its key is refused."""
    with running_hub(tmp_path / "own", "--host", "0.0.0.0", "--port", "0") as process:
        assert process.url.startswith("https://0.0.0.0:")
        own = ssl.create_default_context(cafile=str(next(tmp_path.rglob("certificate.pem"))))
        own.check_hostname = False
        url = process.url.replace("0.0.0.0", "127.0.0.1")
        assert httpx.get(f"{url}/healthz", verify=own).json() == {"status": "ok"}
    assert "certificate" in refusal("--data", str(tmp_path), "--tls-cert", "cert.pem", "--port", "0")
    with running_hub(tmp_path, "--host", "0.0.0.0", "--port", "0", "--behind-proxy") as process:
        assert httpx.get(f"{process.url}/healthz").json() == {"status": "ok"}


def test_with_a_certificate_the_hub_speaks_https(tmp_path: Path) -> None:
    """Off loopback too; the ready line says so."""
    made = self_signed(tmp_path)
    tls = ["--tls-cert", str(made.certificate), "--tls-key", str(made.key)]
    with running_hub(tmp_path / "data", "--host", "0.0.0.0", "--port", "0", *tls) as process:
        assert process.url.startswith("https://0.0.0.0:")
        trusting = ssl.create_default_context(cafile=str(made.certificate))
        url = process.url.replace("0.0.0.0", "127.0.0.1")
        assert httpx.get(f"{url}/healthz", verify=trusting).json() == {"status": "ok"}


def test_a_port_that_was_asked_for_and_is_taken_is_an_error(tmp_path: Path) -> None:
    """An explicit port is that one or none."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert "cannot listen" in refusal("--data", str(tmp_path), "--port", str(port))


def test_another_port_is_found_and_remembered_if_one_is_taken(tmp_path: Path) -> None:
    """Clients keep their URL over restarts."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        (tmp_path / "port").write_text(f"{taken.getsockname()[1]}\n")
        with running_hub(tmp_path) as process:
            first = process.url
    with running_hub(tmp_path) as process:
        assert process.url == first
    assert first.endswith(f":{int((tmp_path / 'port').read_text())}")


def test_everything_in_the_data_folder_is_for_its_owner_only(on_sqlite: Running) -> None:
    """Folder 0700; secret, database and its log 0600."""
    on_sqlite.client().source()
    assert stat.S_IMODE(on_sqlite.data.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in on_sqlite.data.iterdir()}
    assert {"secret", "hub.db", "hub.db-wal"} <= modes.keys()
    assert {mode for name, mode in modes.items() if name != "port"} == {0o600}


def test_the_secret_and_the_data_survive_a_restart(tmp_path: Path, database: tuple[str, ...]) -> None:
    """A token of before is good afterwards."""
    with running_hub(tmp_path, "--port", "0", *database) as process:
        client = process.client()
        source = client.source()
        client.push(source, upsert("a.md", "one"))
        bearer = token(secret=(tmp_path / "secret").read_bytes())
    with running_hub(tmp_path, "--port", "0", *database) as process:
        url = f"{process.url}/api/local-sync/sources/file"
        sent = headers(bearer)
        body = orjson.dumps({"sourceId": source, "relativePath": "a.md"})
        assert httpx.post(url, headers=sent, content=body).json()["data"]["content"] == "one"


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_over_the_limit_is_refused_before_anything_else(process: Running, declared: bool) -> None:
    """413 and the connection ends, without a token too, whether or not the length was declared."""
    url = f"{process.url}/api/local-sync/sources/push-batch"
    body = b" " * 1_048_577
    answer = httpx.post(url, content=body if declared else iter([body]))
    assert (answer.status_code, answer.json()["message"]) == (413, "Request body is too large")
    assert answer.headers["connection"] == "close"
    assert httpx.post(url, content=b" " * 1_048_576).status_code == 401


def test_the_body_limit_is_settable(tmp_path: Path, database: tuple[str, ...]) -> None:
    """A hub for larger files takes larger bodies."""
    with running_hub(tmp_path, "--port", "0", "--body-limit", "3000000", *database) as process:
        client = process.client()
        source = client.source()
        assert client.outcome(source, upsert("a.md", "x" * 2_000_000))["status"] == "applied"
