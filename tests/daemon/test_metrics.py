"""The metrics, read as a collector reads them."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from agent.api.metrics import CONTENT_TYPE, render
from agent.core.model import SourceState
from agent.engine.in_flight import SyncCounters
from support.eventually import eventually
from support.processes import Home

SOURCE: dict[str, Any] = {
    "id": "s-1", "name": 'a "name"\\ of\nlines', "root": "/home/ada/n", "server": "raven", "mode": "bidirectional",
    "state": "conflict", "files": 12, "bytes": 345, "pending_push": 1, "pending_pull": 2, "conflicts": 3, "skipped": 4,
    "failed": 1, "held_deletes": {"plan": "p", "count": 7}, "degraded": ["too few watches"],
    "last_sync_at": "2026-11-21T10:00:00.000Z",
}  # fmt: skip
STATUS: dict[str, Any] = {
    "version": "1.2.3",
    "checked_at": "2026-11-21T10:01:40.500Z",
    "daemon": {"since": "2026-11-21T09:00:00.000Z"},
    "servers": [
        {"name": "raven", "state": "offline", "token_expires_at": "2026-11-21T10:00:40.500Z"},
        {"name": "local", "state": "ok", "token_expires_at": None},
    ],
    "sources": [SOURCE],
}

Values = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def read(text: str) -> Values:
    """Every sample by its name and labels; the parser refuses what is not OpenMetrics."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(values: Values, name: str, /, **labels: str) -> float:
    """The one sample of that name that has these labels."""
    found = [v for (n, have), v in values.items() if n == name and labels.items() <= dict(have).items()]
    assert len(found) == 1, (name, labels, found)
    return found[0]


def test_every_count_of_the_status_is_a_sample() -> None:
    """With the source's id, whatever its name holds."""
    values = read(render(STATUS, {"s-1": SyncCounters(5, 6, 7, 8, 9)}))
    for name, expected in (
        ("files", 12), ("size_bytes", 345), ("pending_push", 1), ("pending_pull", 2), ("conflicts", 3), ("skipped", 4),
        ("failed", 1), ("held_deletes", 7), ("degraded", 1), ("last_sync_age_seconds", 100.5), ("pushed_total", 5),
        ("pulled_total", 6), ("deleted_remote_total", 7), ("deleted_local_total", 8), ("conflicts_opened_total", 9),
    ):  # fmt: skip
        assert value(values, f"raven_agent_source_{name}", source="s-1") == expected, name
    assert value(values, "raven_agent_source_info", source="s-1", name=SOURCE["name"], root="/home/ada/n") == 1
    assert value(values, "raven_agent_build_info", version="1.2.3") == 1


def test_calls_are_counted_by_server_method_and_problem() -> None:
    """An alert can ask for the share that failed, and for the kind of failure."""
    values = read(render(STATUS, {}, {"raven": {("pull", ""): 5, ("pull", "offline"): 2}, "local": {("push", ""): 1}}))
    name = "raven_agent_server_calls_total"
    assert value(values, name, server="raven", call="pull", problem="") == 5
    assert value(values, name, server="raven", call="pull", problem="offline") == 2
    assert value(values, name, server="local", call="push", problem="") == 1


@pytest.mark.parametrize("state", [state.value for state in SourceState])
def test_exactly_one_state_is_1(state: str) -> None:
    """Of each source and of each server."""
    status = copy.deepcopy(STATUS)
    status["sources"][0]["state"] = state
    values = read(render(status, {}))
    states = {labels: v for (name, labels), v in values.items() if name == "raven_agent_source_state"}
    assert len(states) == len(SourceState)
    assert [dict(labels)["raven_agent_source_state"] for labels, v in states.items() if v == 1] == [state]
    for server, there in (("raven", "offline"), ("local", "ok")):
        name = "raven_agent_server_state"
        assert value(values, name, server=server, raven_agent_server_state=there) == 1
        assert sum(v for (n, have), v in values.items() if n == name and ("server", server) in have) == 1


def test_a_token_that_has_ended_has_less_than_nothing_left() -> None:
    """And one without an end, as the embedded hub's, has no sample."""
    values = read(render(STATUS, {}))
    assert value(values, "raven_agent_token_lifetime_seconds", server="raven") == -60
    assert not [
        labels for (name, labels) in values if name.startswith("raven_agent_token") and ("server", "local") in labels
    ]


def test_a_source_that_was_never_in_sync_has_no_age() -> None:
    """No age is one an alert can ask for; a made-up one is not."""
    status = copy.deepcopy(STATUS)
    status["sources"][0]["last_sync_at"] = None
    assert not [name for (name, _) in read(render(status, {})) if "last_sync" in name]


def test_an_agent_without_folders_says_so_in_valid_text() -> None:
    """The text of nothing is not empty: it ends as every one does."""
    text = render({**STATUS, "sources": [], "servers": []}, {})
    assert text.endswith("# EOF\n")
    assert value(read(text), "raven_agent_start_time_seconds") > 0


def test_a_running_agent_answers_a_collector(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Over the control socket, with the type collectors ask for; the counts are those of the folder."""
    home = Home(tmp_path_factory.mktemp("m"))
    for number in range(3):
        home.write(f"n{number}.md", "text\n")
    assert home.run("up", home.folder, "--once", "--yes").code == 0
    with home.daemon() as daemon:
        home.write("n3.md", "text\n")
        eventually(lambda: daemon.source()["files"] == 4 and daemon.source()["state"] == "up_to_date", 20, "a push")
        transport = httpx.HTTPTransport(uds=str(home.path / "agent.sock"))
        with httpx.Client(transport=transport) as client:
            answer = client.get("http://agent/metrics")
            assert client.post("http://agent/metrics").status_code == 405
        source = daemon.source()["id"]
    assert answer.headers["content-type"] == CONTENT_TYPE
    values = read(answer.text)
    assert value(values, "raven_agent_source_files", source=source) == 4
    assert value(values, "raven_agent_source_pushed_total", source=source) == 1
    assert value(values, "raven_agent_server_calls_total", call="push", problem="") >= 1
    assert value(values, "raven_agent_source_state", source=source, raven_agent_source_state="up_to_date") == 1
    assert 0 <= value(values, "raven_agent_source_last_sync_age_seconds", source=source) < 60


def test_the_document_names_every_metric_and_no_other() -> None:
    """docs/operations.md and the text of an agent with everything."""
    document = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    rows = [line for line in document.splitlines() if line.startswith("| `raven_agent_")]
    documented = {name for row in rows for name in re.findall(r"`(raven_agent_\w+)`", row.split(" | ")[0])}
    assert documented == {name for (name, _) in read(render(STATUS, {}, {"raven": {("pull", ""): 1}}))}
