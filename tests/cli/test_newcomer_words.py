"""Words that a newcomer reads first: each says what is so, and the next step."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import click
import pytest

from agent.cli import confirmations, render
from agent.cli.live import picture, sources_in
from agent.cli.log_reader import in_local_time
from agent.cli.output import Grid, TextLine, View
from agent.cli.param_types import RESOLUTION
from agent.settings.home import Home
from cli.conftest import Ran
from cli.documents import passed, source, status


def lines(view: View) -> str:
    """The lines of a view, without its tables."""
    return "\n".join(block.text for block in view if isinstance(block, TextLine))


@pytest.mark.parametrize(
    ("changes", "word", "says"),
    [
        ({"on_server": True}, "this text", False),
        ({"on_server": False}, "not this text", True),
        ({"on_server": False, "unlinked": True}, "-", False),
    ],
)
def test_the_trash_speaks_of_the_servers_present_version(changes: dict[str, Any], word: str, says: bool) -> None:
    """FRICTION 12: a text can be an earlier version on the server; of an unlinked folder nothing is known."""
    row = {"id": "50fd", "path": "a.md", "hash": "a" * 64, "size": 1, "reason": "pull", "moved_at": "x", **changes}
    view = render.trash([row])
    (grid,) = [block for block in view if isinstance(block, Grid)]
    assert dict(zip(grid.headings, grid.rows[0], strict=True))["SERVER NOW"] == word
    assert ("raven-agent history FILE" in lines(view)) is says


@pytest.mark.parametrize(
    ("daemon", "words"),
    [
        ({"running": False, "pid": None, "since": None}, "notes: waiting, no agent runs"),
        ({"running": True, "pid": 3, "since": None}, "notes: syncing"),
    ],
)
def test_without_an_agent_no_source_is_syncing(daemon: dict[str, Any], words: str) -> None:
    """What is not sent yet waits; the state in the document stays."""
    document = {**status(source(state="syncing", pending_push=1)), "daemon": daemon}
    assert lines(render.status(document)).startswith(words)
    assert render.change_line(sources_in(document)[0]).startswith(words)
    assert picture(document, 200)
    assert document["sources"][0]["state"] == "syncing"


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ((), "start with: raven-agent up FOLDER"),
        (("local",), "start with: raven-agent up FOLDER"),
        (("desk",), "next: raven-agent link FOLDER --source NAME (raven-agent sources lists the names)"),
        (("desk", "local"), "link FOLDER --server desk --source NAME (raven-agent sources --server desk lists"),
        (("desk", "work"), "link FOLDER --server NAME --source NAME (raven-agent sources --server NAME lists"),
    ],
)
def test_without_a_folder_the_next_step_is_that_of_the_account(names: tuple[str, ...], words: str) -> None:
    """After a join the hub of another machine is there: its sources are the next step."""
    document = {**status(), "servers": [{"name": name, "state": "ok"} for name in names]}
    assert words in lines(render.status(document))
    assert picture(document, 200)


def test_the_forgotten_hub_is_named_with_its_way_back() -> None:
    """What it holds stays on the disk; the sentence says where, and the next one how it comes back."""
    said = lines(confirmations.logout({"changed": True, "name": "local", "linked": [], "data": "/srv/agent/hub"}))
    assert "stays in /srv/agent/hub" in said and "raven-agent up FOLDER --server local" in said


def test_a_pass_that_ended_is_not_syncing() -> None:
    """Of a dry run, and of a pass that left something undone."""
    for changes in ({"dry_run": True, "pushed": 1}, {"pending": 1}):
        assert "not up to date" in lines(render.sync(passed(state="syncing", **changes)))


@pytest.mark.parametrize(
    ("typed", "word"), [("our", "keep_local"), ("their", "keep_raven"), ("keep-locl", "keep_local")]
)
def test_a_suggestion_is_a_word_of_the_list(typed: str, word: str) -> None:
    """An alias is taken, and never suggested: no list names it."""
    with pytest.raises(click.BadParameter) as caught:
        RESOLUTION.convert(typed, None, None)
    assert caught.value.message.endswith(f"did you mean {word}?")


def test_paths_in_answers_begin_with_the_home_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    """Details and remedies of checks, services, declarations, resolutions and files; a quoted path stays whole."""
    monkeypatch.setenv("HOME", "/home/ada")
    path = "/home/ada/notes"
    row = {"check": "folder", "ok": False, "detail": f"{path} cannot be read", "remedy": f"ls -ld {path} '{path}'"}
    assert lines(render.doctor({"checks": [row]})).count("~/notes") == 2
    assert f"'{path}'" in lines(render.doctor({"checks": [row]}))
    declared = {"kind": "source", "name": path, "file": f"{path}.toml", "state": "refused", "error": {"message": path}}
    resolution = {"path": "a.md", "state": "refused", "choice": "keep_local", "message": f"{path} is gone"}
    views: list[View] = [
        render.declarations([declared]),
        render.resolve({"resolved": [resolution]}),
        render.status(status(source(root=path, degraded=[f"{path} is not watched"]))),
        render.explain({"path": "a.md", "synced": False, "root": path, "reason": f"{path} is away"}),
        confirmations.resume({"roots": [path], "halted": [{"root": path, "message": f"{path} is gone"}]}),
    ]
    for view in views:
        assert "~/notes" in lines(view) and path not in lines(view)


def test_the_log_shows_local_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of the other commands; a record in JSON, and a line that begins none, stay as they are."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        assert in_local_time("2026-01-28T23:49:53.216+00:00 INFO agent: a 2026-01-28T23:49:53.216+00:00") == (
            "2026-01-29 00:49:53.216 INFO agent: a 2026-01-28T23:49:53.216+00:00"
        )
        for line in ('{"at": "2026-01-28T23:49:53.216+00:00", "level": "info"}', "Traceback", "", "2026 files"):
            assert in_local_time(line) == line
    finally:
        monkeypatch.undo()
        time.tzset()


def test_logs_in_json_keep_utc(raven: Callable[..., Ran], home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 3339 UTC is public there; people get the time of their clock."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        record = "2026-01-28T23:49:53.216+00:00 INFO agent: started"
        home.create()
        home.log_file.parent.mkdir(parents=True, exist_ok=True)
        home.log_file.write_text(f"{record}\n")
        assert json.loads(raven("logs", "--json").out)["lines"] == [record]
        assert raven("logs").out == "2026-01-29 00:49:53.216 INFO agent: started\n"
    finally:
        monkeypatch.undo()
        time.tzset()
