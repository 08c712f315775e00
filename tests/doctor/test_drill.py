"""The drill: every promise tried on a real server, and nothing left of it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.doctor import drill
from agent.doctor.drill import Keeper, run_drill
from agent.settings.links import ServerEntry
from agent.settings.settings import Settings
from support.servers import HubServer, StrictServer


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
