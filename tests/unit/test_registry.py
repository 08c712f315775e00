"""The registry of accounts and links."""

from __future__ import annotations

import json
import math
import os
import signal
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from agent.core.errors import UsageError
from agent.core.model import Mode
from agent.core.scope import PreferredFolder, SyncPreference
from agent.settings.errors import RegistryError
from agent.settings.home import Home
from agent.settings.links import (
    Registry,
    ServerEntry,
    SourceEntry,
    with_server,
    with_source,
    without_server,
    without_source,
)
from agent.settings.machine_id import machine_id
from agent.settings.registry_file import load_registry, save_registry
from agent.settings.server_url import clean_url, origin_of

SERVER = ServerEntry("work", "https://r.example", "w-1")


def source(key: int, root: str = "/notes", paused_until: float | None = None) -> SourceEntry:
    return SourceEntry(
        key, "work", f"s-{key}", "notes", Path(root), Mode.BIDIRECTIONAL, ("**/*.md",), (), 12.5, paused_until, 1, 2
    )


@pytest.mark.parametrize("until", [None, 99.5, math.inf])
def test_what_is_saved_is_what_is_loaded(tmp_path: Path, until: float | None) -> None:
    registry = with_source(with_server(Registry(), SERVER), source(1, paused_until=until))
    save_registry(tmp_path / "h" / "registry.json", registry)
    assert load_registry(tmp_path / "h" / "registry.json") == registry


def test_a_preference_is_kept_with_its_link(tmp_path: Path) -> None:
    chosen = SyncPreference(enabled=False, selected=(PreferredFolder("f-1", ("a", "b")),))
    registry = with_source(with_source(Registry(), source(1)), replace(source(2), preference=chosen))
    save_registry(tmp_path / "registry.json", registry)
    assert load_registry(tmp_path / "registry.json") == registry
    assert registry.sources[1].pause_until == math.inf
    rows = json.loads((tmp_path / "registry.json").read_text())["sources"]
    assert ["preference" in row for row in rows] == [False, True]


def test_a_root_that_is_not_utf8_survives(tmp_path: Path) -> None:
    registry = with_source(Registry(), source(1, root=os.fsdecode(b"/a\xff/b")))
    save_registry(tmp_path / "registry.json", registry)
    assert load_registry(tmp_path / "registry.json").sources[0].root == Path(os.fsdecode(b"/a\xff/b"))


def test_the_file_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    save_registry(tmp_path / "h" / "registry.json", Registry())
    assert stat.S_IMODE((tmp_path / "h" / "registry.json").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "h").stat().st_mode) == 0o700


def test_no_file_is_an_empty_registry(tmp_path: Path) -> None:
    assert load_registry(tmp_path / "registry.json") == Registry()


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"schema": 1}', '{"schema": 1, "servers": [{}]}'])
def test_a_damaged_file_is_never_taken_for_an_empty_one(tmp_path: Path, text: str) -> None:
    (tmp_path / "registry.json").write_text(text)
    with pytest.raises(RegistryError, match="damaged"):
        load_registry(tmp_path / "registry.json")


def test_a_newer_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "registry.json").write_text('{"schema": 2}')
    with pytest.raises(RegistryError, match="newer release"):
        load_registry(tmp_path / "registry.json")


def test_a_key_is_never_used_again() -> None:
    registry = with_source(with_source(Registry(), source(1)), source(2))
    assert without_source(registry, 2, 0.0).next_key == 3
    assert without_source(without_source(registry, 2, 0.0), 1, 0.0).next_key == 3


def test_the_same_name_replaces_the_account_and_keeps_the_links() -> None:
    registry = with_source(with_server(Registry(), SERVER), source(1))
    changed = with_server(registry, ServerEntry("work", "https://other.example", "w-2"))
    assert [s.workspace for s in changed.servers] == ["w-2"]
    assert changed.sources == registry.sources
    assert without_server(changed, "work").sources == registry.sources


def test_a_path_inside_a_root_finds_its_link() -> None:
    registry = with_source(Registry(), source(1, "/notes"))
    assert registry.source_over(Path("/notes/a/b.md")) == source(1)
    assert registry.source_over(Path("/notes-b/a.md")) is None


KILLED_WRITER = """
import sys
from pathlib import Path
from agent.settings.links import *
from agent.settings.registry_file import save_registry
path = Path(sys.argv[1])
print("ready", flush=True)
size = 0
while True:
    size = (size + 37) % 400
    save_registry(path, Registry(tuple(ServerEntry(f"s{i}", "https://r.example", "w") for i in range(size))))
"""


def test_a_writer_killed_at_any_moment_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "registry.json"
    save_registry(path, Registry((SERVER,)))
    for _ in range(5):
        with subprocess.Popen([sys.executable, "-c", KILLED_WRITER, str(path)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            before = path.stat().st_ino
            while path.stat().st_ino == before:
                os.sched_yield()
            writer.send_signal(signal.SIGKILL)
        assert len(load_registry(path).servers) < 400


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://R.Example", "https://r.example:443"),
        ("https://r.example:443/x", "https://r.example:443"),
        ("http://127.0.0.1:8674", "http://127.0.0.1:8674"),
        ("http://[::1]/", "http://[::1]:80"),
    ],
)
def test_equal_origins_are_equal_strings(url: str, origin: str) -> None:
    assert origin_of(url) == origin


@pytest.mark.parametrize("url", ["ftp://r.example", "r.example", "https://", "https://r:99999999", ""])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="not an http or https address"):
        origin_of(url)


def test_an_address_is_kept_in_one_form() -> None:
    assert clean_url("https://R.example/raven/?q#f") == "https://r.example/raven"
    assert clean_url("https://r.example/api/") == "https://r.example"


def test_plain_http_is_for_loopback_or_by_leave() -> None:
    assert clean_url("http://localhost:8674/") == "http://localhost:8674"
    with pytest.raises(UsageError, match="unencrypted"):
        clean_url("http://r.example")
    assert clean_url("http://r.example", insecure_http=True) == "http://r.example"


def test_a_password_in_an_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(UsageError) as refused:
        clean_url("https://u:hush@r.example")
    assert "hush" not in refused.value.message


def test_the_machine_id_is_stable_and_tells_nothing(tmp_path: Path) -> None:
    home = Home.from_environment({"RAVEN_AGENT_HOME": str(tmp_path)})
    assert machine_id(home) == machine_id(home)
    assert len(machine_id(home)) == 32


def test_later_keys_of_an_account_are_left_out_if_empty(tmp_path: Path) -> None:
    """A release that does not know them reads no registry that has them."""
    file = tmp_path / "h" / "registry.json"
    for entry, later in ((SERVER, set()), (replace(SERVER, pin="ab", machine_name="attic"), {"pin", "machine_name"})):
        save_registry(file, with_server(Registry(), entry))
        (row,) = json.loads(file.read_text())["servers"]
        assert {"pin", "machine_name"} & set(row) == later
        assert load_registry(file).servers == (entry,)
