"""The drill: every promise tried on a real server, and nothing left of it."""

from __future__ import annotations

import contextlib
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.doctor import drill
from agent.doctor.drill import Keeper, run_drill
from agent.settings.links import ServerEntry
from agent.settings.settings import Settings
from hub.fixtures import token
from strict_raven.faults import Fault, Strikes
from strict_raven.wire import Response
from support.processes import Home
from support.servers import HubServer, StrictServer

BY_AGENT = {"an operation that is sent twice is applied once", "two edits of one file are both kept"}
"""Kept by the agent where a server compares before an upload and knows no ids of operations."""
WITHOUT_HISTORY = {
    "a version that an edit replaced stays restorable",
    "a deleted file's text stays restorable",
}


def secret_of(hub: HubServer) -> bytes:
    """The secret that signs a hub's tokens."""
    return (hub.running.data / "secret").read_bytes()


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder for temporary files; empty afterwards."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield tmp_path
    assert list(tmp_path.iterdir()) == []


def test_a_drill_on_the_hub_is_kept_by_the_server(shared_hub: HubServer, scratch: Path) -> None:
    """Every promise, and the server keeps each by itself."""
    entry = ServerEntry("office", shared_hub.url, shared_hub.workspace)
    report = run_drill(entry, shared_hub.token, Settings())
    assert {row.promise: row.detail for row in report.rows if row.kept_by is not Keeper.SERVER} == {}
    assert report.ok and report.left_behind == () and report.server == "office"
    assert scratch.exists()


@pytest.mark.parametrize(("dialect", "base"), [("scaidrive", ""), ("pinakes", "/pinakes")])
def test_a_drill_names_what_other_dialects_keep(shared_hub: HubServer, scratch: Path, dialect: str, base: str) -> None:
    """Every promise is kept. Without a history, the trash of an agent has the texts that were replaced."""
    entry = ServerEntry("office", shared_hub.url + base, "", dialect=dialect)
    bearer = token(str(uuid.uuid4()), secret=secret_of(shared_hub))
    for _ in range(2):
        report = run_drill(entry, bearer, Settings())
        assert [row for row in report.rows if not row.ok] == []
        by_agent = {row.promise for row in report.rows if row.kept_by is Keeper.AGENT}
        assert by_agent == BY_AGENT | (WITHOUT_HISTORY if dialect == "pinakes" else set())
        assert report.left_behind == ()
    assert scratch.exists()


def test_a_drill_on_the_strict_server_names_the_agents_part(strict: StrictServer, scratch: Path) -> None:
    """Every promise is kept; those of which the released server knows nothing, by the agent. A second drill finds the
    source of the first one, empty.
    """
    entry = ServerEntry("office", strict.url, strict.workspace)
    for _ in range(2):
        report = run_drill(entry, strict.token, Settings())
        assert [row for row in report.rows if not row.ok] == []
        assert {row.promise for row in report.rows if row.kept_by is Keeper.AGENT} == {
            "an operation that is sent twice is applied once",
            "a new file never replaces an unknown one",
            "a resolution never replaces a version that was not shown",
            "two writers on one version never both win",
            "no event is left out of the feed",
        }
        assert report.left_behind == ()
    assert scratch.exists()


def test_a_promise_that_is_broken_is_a_row_that_fails(
    strict: StrictServer, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are still tried, and what the drill made is removed."""
    monkeypatch.setattr(drill, "_ODD_TEXTS", ("a lone \x00 byte",))
    report = run_drill(ServerEntry("office", strict.url, strict.workspace), strict.token, Settings())
    assert {row.promise for row in report.rows if not row.ok} == {"any text arrives byte for byte"}
    assert not report.ok and report.left_behind == ()
    assert scratch.exists()


@pytest.mark.parametrize("daemon", [False, True])
def test_the_drill_is_a_command(tmp_path: Path, strict: StrictServer, daemon: bool) -> None:
    """With a running agent and without one; the person's own folder takes no part in it."""
    home = Home(tmp_path)
    home.login(strict)
    home.write("a.md", "one\n")
    source = home.link()
    with home.daemon() if daemon else contextlib.nullcontext():
        ran = home.run("doctor", "--json", "--drill", seconds=60)
        shown = home.run("doctor", "--drill", "raven", seconds=60)
    found = ran.document["drill"]
    assert (ran.code, found["ok"], found["server"], found["left_behind"]) == (0, True, "raven", [])
    assert {row["kept_by"] for row in found["promises"]} == {"server", "agent"}
    assert "13 of 13 promises kept" in shown.out
    assert list(strict.hashes(source)) == ["a.md"]


def test_fs3_the_known_fault_is_found_before_the_first_link(tmp_path: Path, strict: StrictServer) -> None:
    """FS3: in an empty workspace only the registration shows it. A sound server's registration is kept and used."""
    home = Home(tmp_path)
    home.login(strict)
    body = b'{"statusCode": 500, "message": "undefined (reading \'toISOString\')"}'
    broken = Fault("upstream", Strikes.BEFORE, lambda _: Response(500, {"content-type": "application/json"}, body))
    strict.faulty.inject(broken, requests=100, on="connectors/register")
    rows = {row["check"]: row for row in home.run("doctor", "--json").document["checks"]}
    assert "known upstream fault" in rows["server raven"]["detail"]
    assert rows["server raven"]["remedy"]
    strict.faulty.clear()
    for _ in range(2):
        assert home.run("doctor").code == 0
    home.write("a.md", "one\n")
    home.link()
    assert len(strict.raven.snapshot().connectors) == 1
