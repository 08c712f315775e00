"""The plainest whole programs that do one job of the agent's: what Python needs for it at the least.

``python prototypes.py JOB …``, each a process of its own: no rules, no conflicts, no second look, nothing durable that
need not be, and nobody else to be heard.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_READ: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOATIME
_BATCH: Final = 100
_SCHEMA: Final = (
    "CREATE TABLE files(path TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER, inode INTEGER, quick BLOB, sha256 BLOB,"
    " version INTEGER, state INTEGER) WITHOUT ROWID"
)

Stat = tuple[str, str, int, int, int]
"""(path below the root, path to open, size, mtime in ns, inode)"""


def walk(root: str) -> Iterator[Stat]:
    """Every file below a folder."""
    waiting = [(root, "")]
    while waiting:
        folder, prefix = waiting.pop()
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append((entry.path, f"{prefix}{entry.name}/"))
                else:
                    found = entry.stat(follow_symlinks=False)
                    yield prefix + entry.name, entry.path, found.st_size, found.st_mtime_ns, found.st_ino


def opened(database: str) -> sqlite3.Connection:
    """A database as an agent would have it."""
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    return connection


def _content(path: str, size: int) -> bytes:
    handle = os.open(path, _READ)
    try:
        return os.read(handle, size + 1)
    finally:
        os.close(handle)


def scan(root: str, database: str) -> None:
    """Read and hash every file, write all of them into a new table."""
    from xxhash import xxh3_128_digest

    rows = []
    for path, place, size, mtime, inode in walk(root):
        content = _content(place, size)
        rows.append((path, size, mtime, inode, xxh3_128_digest(content), hashlib.sha256(content).digest(), 0, 0))
    rows.sort()
    connection = opened(database)
    connection.execute(_SCHEMA)
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
    connection.execute("COMMIT")


def rescan(root: str, database: str) -> None:
    """Load the table, compare it with the stat of every file."""
    query = "SELECT path, size, mtime_ns, inode FROM files"
    known = {path: (size, mtime, inode) for path, size, mtime, inode in opened(database).execute(query)}
    changed = [path for path, _, size, mtime, inode in walk(root) if known.get(path) != (size, mtime, inode)]
    assert not changed, changed[:3]


def ready(root: str, database: str) -> None:
    """Import what an agent needs, watch every folder, compare the table with the disk, have a client at hand."""
    import httpx
    from watchdog.events import FileClosedEvent, FileMovedEvent, FileSystemEventHandler
    from watchdog.observers import Observer

    observer = Observer()
    heard = [FileClosedEvent, FileMovedEvent]
    observer.schedule(FileSystemEventHandler(), root, recursive=True, event_filter=heard)
    observer.start()
    rescan(root, database)
    httpx.Client()
    sys.stdout.flush()
    # A prototype that is ready has done its work; ending in good order is not part of it.
    os._exit(0)


def push(root: str, database: str, url: str, token: str, workspace: str, source: str) -> None:
    """Read and hash every file of the table, post full batches one after the other, write down what was sent."""
    import httpx
    import orjson

    connection = opened(database)
    paths = [path for (path,) in connection.execute("SELECT path FROM files ORDER BY path") if path.endswith(".md")]
    headers = {
        "authorization": f"Bearer {token}",
        "x-workspace-id": workspace,
        "content-type": "application/json",
    }
    sent = []
    with httpx.Client(base_url=url, headers=headers, verify=False, timeout=60) as client:
        for start in range(0, len(paths), _BATCH):
            items = []
            for number, path in enumerate(paths[start : start + _BATCH], start):
                content = _content(f"{root}/{path}", 1 << 20)
                digest = hashlib.sha256(content).hexdigest()
                sent.append((digest, path))
                items.append(
                    {
                        "operationId": f"plain-{number}",
                        "relativePath": path,
                        "content": content.decode(),
                        "contentHash": digest,
                        "baseHash": "0" * 64,
                    }
                )
            body = orjson.dumps({"sourceId": source, "items": items})
            client.post("/api/local-sync/sources/push-batch", content=body).raise_for_status()
    connection.execute("BEGIN")
    connection.executemany("UPDATE files SET version = version + 1, sha256 = ? WHERE path = ?", sent)
    connection.execute("COMMIT")


def pull(folder: str, url: str, token: str, workspace: str, source: str) -> None:
    """Read the feed page by page; write, rename, and one sync for each page before and after the renames."""
    import httpx
    import orjson

    headers = {
        "authorization": f"Bearer {token}",
        "x-workspace-id": workspace,
        "content-type": "application/json",
    }
    cursor = 0
    made: set[str] = set()
    with httpx.Client(base_url=url, headers=headers, verify=False, timeout=60) as client:
        while True:
            body = orjson.dumps({"sourceId": source, "cursor": cursor, "limit": 500})
            answer = client.post("/api/local-sync/sources/deltas", content=body).raise_for_status()
            events = orjson.loads(answer.content)["data"]["events"]
            if not events:
                return
            cursor = events[-1]["cursor"]
            _install(Path(folder), [event for event in events if event["type"] == "file.upsert"], made)


def idle(folder: str, url: str, token: str, workspace: str, source: str, connector: str, seconds: str) -> None:
    """Hear the folder and the server's feed, and tell the server now and then that one lives, for so long."""
    import threading

    import httpx
    import orjson
    from watchdog.events import FileSystemEventHandler
    from watchdog.observers import Observer

    headers = {"authorization": f"Bearer {token}", "x-workspace-id": workspace, "content-type": "application/json"}
    observer = Observer()
    observer.schedule(FileSystemEventHandler(), folder, recursive=True)
    observer.start()
    client = httpx.Client(base_url=f"{url}/api/local-sync/", headers=headers, verify=False, timeout=60)

    def ask(endpoint: str, **body: object) -> httpx.Response:
        return client.post(endpoint, content=orjson.dumps(body)).raise_for_status()

    def beat() -> None:
        while not threading.Event().wait(30):
            ask("connectors/heartbeat", connectorId=connector)

    cursor = orjson.loads(ask("sources/push-batch", sourceId=source, items=[]).content)["data"]["eventCursor"]
    threading.Thread(target=beat, daemon=True).start()

    def hear() -> None:
        while True:
            ask("sources/deltas", sourceId=source, cursor=cursor, waitMs=25_000)

    threading.Thread(target=hear, daemon=True).start()
    before = time.process_time()
    threading.Event().wait(float(seconds))
    print(time.process_time() - before)
    sys.stdout.flush()
    os._exit(0)


def _install(folder: Path, events: list[dict[str, object]], made: set[str]) -> None:
    placed = []
    for event in events:
        target = f"{folder}/{event['relativePath']}"
        parent = target.rpartition("/")[0]
        if parent not in made:
            os.makedirs(parent, exist_ok=True)
            made.add(parent)
        payload = event["payload"]
        assert isinstance(payload, dict)
        with open(f"{target}.fresh", "wb") as file:
            file.write(payload["content"].encode())
        placed.append(target)
    _durable(folder)
    for target in placed:
        os.rename(f"{target}.fresh", target)
    _durable(folder)


def _durable(folder: Path) -> None:
    """One sync for everything that was written."""
    import ctypes

    handle = os.open(folder, os.O_RDONLY)
    try:
        assert ctypes.CDLL(None, use_errno=True).syncfs(handle) == 0
    finally:
        os.close(handle)


JOBS: Final = {job.__name__: job for job in (scan, rescan, ready, push, pull, idle)}

if __name__ == "__main__":
    JOBS[sys.argv[1]](*sys.argv[2:])
