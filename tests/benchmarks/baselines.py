"""The plainest programs that do the same work: no index, no watching, no conflicts, no second look."""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, ParamSpec

from hub.rig import Client, upsert

P = ParamSpec("P")

BATCH: Final = 100
PAGE: Final = 500


def timed(work: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> float:
    """Seconds the work took."""
    began = time.perf_counter()
    work(*args, **kwargs)
    return time.perf_counter() - began


def sha_of(file: Path) -> str:
    """The sha256 of a file."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def copy_and_hash(folder: Path, copy: Path) -> None:
    """Copy a folder and take the sha256 of every file: what has to be done where nothing is remembered."""
    subprocess.run(["cp", "-r", str(folder), str(copy)], check=True)
    for where, _, names in os.walk(folder):
        for name in names:
            sha_of(Path(where) / name)


def push_files(client: Client, source: str, folder: Path, paths: list[str]) -> None:
    """Read these files and push them in full batches, one after the other."""
    for start in range(0, len(paths), BATCH):
        batch = paths[start : start + BATCH]
        client.push(source, *(upsert(path, (folder / path).read_text(encoding="utf-8"), None) for path in batch))


def pull_files(client: Client, source: str, cursor: int, folder: Path) -> int:
    """Read the feed behind a cursor page by page, put each text durably in its place; the cursor at the end."""
    while page := client.ok("sources/deltas", sourceId=source, cursor=cursor, limit=PAGE)["events"]:
        for event in page:
            _put(folder / event["relativePath"], event["payload"]["content"].encode())
        cursor = page[-1]["cursor"]
    return cursor


def _put(target: Path, content: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(target.name + ".fresh")
    with fresh.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(target)
