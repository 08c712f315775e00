"""The main job: one command on a folder of a thousand real files, with nothing set up beforehand."""

from __future__ import annotations

import hashlib
import os
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hub.fixtures import OverHttp, running_hub
from scenarios.conftest import Machines
from support.processes import Home

FILES = 1000
LARGEST = 200_000
ENDINGS = (".md", ".txt", ".rst")


def _files_below(top: Path) -> Iterator[Path]:
    """Files with one of the endings, in an order that is always the same; no folder is read before it is needed."""
    for folder, below, names in os.walk(top):
        below.sort()
        yield from (Path(folder, name) for name in sorted(names) if name.endswith(ENDINGS))


def _documentation() -> Iterator[bytes]:
    """Texts that installed packages bring along, each once."""
    seen = set()
    for folder in {sysconfig.get_path("purelib"), sysconfig.get_path("stdlib")}:
        for file in _files_below(Path(folder)):
            if not file.is_file() or not 0 < file.stat().st_size <= LARGEST:
                continue
            content = file.read_bytes()
            try:
                content.decode("utf-8")
            except UnicodeDecodeError:
                continue
            if b"\0" not in content and content not in seen:
                seen.add(content)
                yield content


def _fill(home: Home) -> dict[str, str]:
    """A thousand files in folders of fifty; path to sha256."""
    found = {}
    contents = _documentation()
    for number in range(FILES):
        content = next(contents, None) or f"# Note {number}\n\nWritten for want of documentation.\n".encode()
        path = f"docs/{number // 50:02}/note-{number:04}.md"
        home.write(path, content)
        found[path] = hashlib.sha256(content).hexdigest()
    return found


@contextmanager
def _hub_of(home: Home) -> Iterator[tuple[OverHttp, str]]:
    """The embedded hub's data served again, with a token of its own making; a client and the id of its only source."""
    bearer = home.run("hub", "token", "--workspace", "local", "--user", "auditor").out.strip()
    with running_hub(home.path / "hub", "--port", "0") as running:
        client = OverHttp(running.url, bearer, "local")
        [source] = client.ok("sources/list")
        yield client, source["id"]
        client.http.close()


def _listed(client: OverHttp, source: str) -> dict[str, str]:
    return {row["relativePath"]: row["lastSyncedHash"] for row in client.ok("sources/files", sourceId=source)}


def test_a_thousand_real_files_go_up_whole_and_only_once(machine: Machines) -> None:
    """``up FOLDER --once`` ends in sync; every sha256 on the hub is the disk's; a second run sends nothing."""
    home = machine()
    expected = _fill(home)
    first = home.json("up", home.folder, "--once")["sources"][0]
    assert (first["state"], first["pushed"], first["skipped"], first["errors"]) == ("up_to_date", FILES, [], [])
    with _hub_of(home) as (client, source):
        assert _listed(client, source) == expected
        texts = {path: client.text(source, path) for path in list(expected)[::100]}
        assert {path: hashlib.sha256((text or "").encode()).hexdigest() for path, text in texts.items()} == {
            path: expected[path] for path in texts
        }
        events = len(client.events(source))
    second = home.json("up", home.folder, "--once")["sources"][0]
    assert (second["state"], second["pushed"], second["pulled"]) == ("up_to_date", 0, 0)
    with _hub_of(home) as (client, source):
        assert len(client.events(source)) == events
        assert _listed(client, source) == expected
    assert {path: hashlib.sha256(content).hexdigest() for path, content in home.files().items()} == expected
