"""Documents as JSON and as words, and errors in their two forms."""

from __future__ import annotations

import datetime as dt
import io
import json
from collections.abc import Callable
from typing import Any

import pytest

from agent.cli import confirmations, render
from agent.cli.live import changed_documents, picture
from agent.cli.output import Grid, TextLine, View, console_for, draw
from cli.conftest import Ran
from cli.documents import conflict, passed, plan, resolved, source, status
from cli.fake_agent import FakeAgent, Refusal

FILES = [{"path": "a.md", "state": "ok", "size": 12, "hash": "a" * 64, "base_hash": "a" * 64, "remote_hash": None}]
TRASH = [{"id": "t1", "path": "a", "hash": "a" * 64, "size": 1, "reason": "pull", "moved_at": "x", "on_server": True}]
HISTORY = [{"hash": "a" * 64, "size": 3, "recorded_at": None, "origin": "local", "where": "trash"}]
CHECKS = {"ok": True, "checks": [{"check": "clock", "ok": True, "detail": "0 s off", "remedy": None}]}
SOURCES = [{"id": "s-1", "name": "n", "mode": "bidirectional", "status": "active", "connector_id": None, "root": None}]

VERBATIM: list[tuple[tuple[str, ...], str, Any]] = [
    (("status",), "status", status(source())),
    (("servers",), "servers", status()["servers"]),
    (("sources",), "sources", SOURCES),
    (("link", "d", "--yes"), "link", plan(upload=2)),
    (("unlink", "d"), "unlink", {"changed": True, "root": "/d"}),
    (("move", "a", "b"), "move", {"changed": True}),
    (("rules", "d"), "rules", {"include": ["*.md"], "exclude": []}),
    (("sync",), "sync", passed()),
    (("files",), "files", FILES),
    (("explain", "a.md"), "explain", {"path": "a.md", "synced": False, "rule": ".git/", "origin": "built in"}),
    (("retry",), "retry", {"retried": 2}),
    (("conflicts",), "conflicts", [conflict()]),
    (("diff", "7"), "diff", conflict()),
    (("resolve", "7", "keep_local"), "resolve", resolved()),
    (("history", "a.md"), "history", HISTORY),
    (("restore", "a.md", "--version", "aaa"), "restore", {"restored": "a.md"}),
    (("trash",), "trash", TRASH),
    (("trash", "prune"), "trash_prune", {"pruned": 3}),
    (("pause",), "pause", {"paused_until": None}),
    (("resume",), "resume", {"changed": True}),
    (("activity",), "activity", [{"at": "t", "what": "pushed", "path": "a.md"}]),
    (("logout",), "logout", {"changed": True}),
]


@pytest.mark.parametrize(("arguments", "method", "document"), VERBATIM, ids=[" ".join(row[0]) for row in VERBATIM])
def test_json_is_the_agents_document_and_nothing_else(
    raven: Callable[..., Ran], fake: FakeAgent, arguments: tuple[str, ...], method: str, document: Any
) -> None:
    fake.answers[method] = document
    ran = raven(*arguments, "--json")
    assert json.loads(ran.out) == document
    assert (ran.code, ran.err) == (0, "")


@pytest.mark.parametrize(("arguments", "method", "document"), VERBATIM, ids=[" ".join(row[0]) for row in VERBATIM])
def test_every_document_can_be_read_by_a_person(
    raven: Callable[..., Ran], fake: FakeAgent, arguments: tuple[str, ...], method: str, document: Any
) -> None:
    fake.answers[method] = document
    ran = raven(*arguments)
    assert ran.code == 0
    assert ran.out.strip()
    assert "\x1b" not in ran.out


@pytest.mark.parametrize("method", ["sources", "files", "conflicts", "history", "trash", "activity"])
def test_an_empty_list_says_so(raven: Callable[..., Ran], fake: FakeAgent, method: str) -> None:
    fake.answers[method] = []
    arguments = (method, "a.md") if method == "history" else (method,)
    assert raven(*arguments).out.strip()
    assert json.loads(raven(*arguments, "--json").out) == []


def test_an_error_goes_to_stderr_in_words(raven: Callable[..., Ran], fake: FakeAgent) -> None:
    fake.answers["sync"] = Refusal("offline", "r.example cannot be reached", "check the network")
    ran = raven("sync")
    assert (ran.code, ran.out) == (5, "")
    assert ran.err == "error: r.example cannot be reached\nhint: check the network\n"


def test_an_error_goes_to_stderr_as_json(raven: Callable[..., Ran], fake: FakeAgent) -> None:
    fake.answers["sync"] = Refusal("signed_out", "token refused")
    ran = raven("sync", "--json")
    assert (ran.code, ran.out) == (4, "")
    assert json.loads(ran.err) == {"error": {"code": "signed_out", "message": "token refused", "hint": None}}


@pytest.mark.parametrize("arguments", [("nonsense",), ("link",), ("sync", "--nonsense"), ("files", "--limit", "0")])
def test_what_cannot_be_parsed_is_a_usage_error_in_both_forms(
    raven: Callable[..., Ran], arguments: tuple[str, ...]
) -> None:
    ran = raven(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: ")
    ran = raven(*arguments, "--json")
    assert ran.code == 2
    assert json.loads(ran.err)["error"]["code"] == "usage"


def test_work_that_began_leaves_its_document_whatever_the_code(raven: Callable[..., Ran], fake: FakeAgent) -> None:
    for state, code in (("conflict", 3), ("signed_out", 4), ("offline", 5), ("halted", 6)):
        fake.answers["sync"] = passed(state=state)
        ran = raven("sync", "--json")
        assert (ran.code, ran.err) == (code, "")
        assert json.loads(ran.out)["sources"][0]["state"] == state


def test_quiet_drops_what_only_confirms(raven: Callable[..., Ran], fake: FakeAgent) -> None:
    fake.answers |= {"sync": passed(), "files": FILES}
    assert raven("sync", "-q").out == ""
    assert "a.md" in raven("files", "-q").out
    assert json.loads(raven("sync", "-q", "--json").out) == passed()


def test_a_bug_is_one_line_and_its_details_come_on_demand(raven: Callable[..., Ran], fake: FakeAgent) -> None:
    fake.answers["files"] = [{"unexpected": True}]
    ran = raven("files")
    assert ran.code == 1
    assert "Traceback" not in ran.err
    assert "Traceback" in raven("files", "-v").err


def texts(view: View) -> str:
    return "\n".join(block.text for block in view if isinstance(block, TextLine))


def test_held_deletes_come_with_both_ways_out() -> None:
    shown = texts(render.status(status(source(state="halted", held_deletes={"plan": "p7", "count": 20}))))
    assert "20 deletes held back" in shown
    assert "raven-agent sync /notes --approve-deletes p7" in shown
    assert "raven-agent sync /notes --undo-deletes" in shown


def test_held_deletes_are_told_once_and_beside_another_halt() -> None:
    """The error that names the plan says the same as the two commands; any other halt is still shown."""
    held = {"plan": "p7", "count": 20}
    for error, lines in (("20 deletes are held; sync --approve-deletes p7", 0), ("another folder is at /notes", 1)):
        row = source(state="halted", held_deletes=held, error={"code": "halted", "message": error})
        assert texts(render.status(status(row))).count(error) == lines
    row = {"path": "", "code": "halted", "message": "another folder is at /notes"}
    shown = texts(render.sync(passed(state="halted", held_deletes=held, errors=[row])))
    assert "another folder is at /notes" in shown and "--undo-deletes" in shown


@pytest.mark.parametrize(
    ("changed", "starts", "words"),
    [(True, 1, "1 file starts"), (True, 2, "2 files start"), (False, 1, "1 file would start")],
)
def test_rules_say_in_a_sentence_what_changes(changed: bool, starts: int, words: str) -> None:
    document = {"root": "/n", "changed": changed, "starts": starts, "started": ["a.md"], "stops": 0}
    assert f"{words} being synced" in texts(confirmations.rules(document))


def test_a_retry_of_a_whole_folder_names_the_folder() -> None:
    document = {"changed": True, "path": ".", "sources": [passed()["sources"][0]], "errors": []}
    assert "tried again: /notes" in texts(confirmations.retry(document))


@pytest.mark.parametrize(
    ("sentence", "document", "words"),
    [
        (confirmations.hub_backup, {"file": "/b", "bytes": 2048, "with_secret": True}, "backup written: /b (2.0 KiB)"),
        (confirmations.hub_backup, {"file": "/b", "bytes": 1, "with_secret": False}, "without the secret"),
        (confirmations.hub_restore, {"file": "/b", "restored": "/hub"}, "/b is restored into /hub"),
        (confirmations.hub_migrate, {"changed": True, "before": 1, "schema": 2}, "from schema 1 to 2"),
        (confirmations.hub_migrate, {"changed": False, "before": 2, "schema": 2}, "already (2)"),
        (confirmations.hub_revoke, {"id": "ab12", "user": "ada"}, "ab12 of ada is refused"),
    ],
)
def test_hub_commands_confirm_in_sentences(
    sentence: confirmations.Sentence, document: dict[str, object], words: str
) -> None:
    assert words in texts(sentence(document))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ({"code": "too_large", "message": "big.md: larger than the server takes"}, "up to date but for 1 file"),
        ({"code": "offline", "message": "r.example cannot be reached"}, "error"),
        (None, "up to date but for 1 file"),
    ],
)
def test_only_errors_of_files_leave_a_folder_up_to_date(error: dict[str, str] | None, words: str) -> None:
    assert render.state_words(source(state="error", failed=1, error=error)) == words


NOW = dt.datetime(2026, 3, 1, 12, 1, tzinfo=dt.UTC)
TWO = [source(), source(name="a longer name", state="conflict", conflicts=2, root="/n", files=1200)]


def test_several_sources_stand_in_columns() -> None:
    one, two = (lines[0].text for lines in render.sources_in_lines(TWO, NOW))
    assert one == "notes: up to date        3 files, 4.0 KiB                  synced 1 min ago  /notes"
    assert two == "a longer name: conflict  1200 files, 4.0 KiB  2 conflicts  synced 1 min ago  /n"


def test_a_source_alone_has_no_padding() -> None:
    [[line]] = render.sources_in_lines([source()], NOW)
    assert line.text == "notes: up to date  3 files, 4.0 KiB  synced 1 min ago  /notes"
    assert render.sources_in_lines([], NOW) == []


def test_a_narrow_terminal_gets_short_lines() -> None:
    """Columns that do not fit would be broken anywhere; here each part is on a line of its own."""
    shown = render.sources_in_lines(TWO, NOW, 40)
    assert [line.text for line in shown[0]] == [
        "notes: up to date", "  3 files, 4.0 KiB", "  synced 1 min ago", "  /notes"
    ]  # fmt: skip
    assert all(len(line.text) <= 40 for lines in shown for line in lines)
    assert len(render.sources_in_lines(TWO, NOW, 200)[0]) == 1


def test_the_live_view_shows_the_last_event_and_an_empty_home() -> None:
    """After the last folder was unlinked the view is not an empty screen."""
    event = {"at": "2026-03-01T12:00:58Z", "root": "/n", "path": "a.md", "what": "pushed"}

    def shown(document: dict[str, Any]) -> str:
        out = io.StringIO()
        console_for(out).print(picture(document, 80))
        return out.getvalue()

    assert "pushed  /n/a.md" in shown({**status(source()), "last_event": event})
    assert "no folder is linked" in shown({**status(), "last_event": None})


def test_a_table_too_wide_for_the_terminal_keeps_its_cells_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """An id that is folded over eight lines can be neither read nor copied."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    number = "01a220e1-ea95-7f74-a744-2a5c389d82d9"
    rows = render.sources([{"id": number, "name": "notes", "mode": "bidirectional", "status": "active", "root": "/n"}])
    for columns in ("40", "200"):
        monkeypatch.setenv("COLUMNS", columns)
        out = io.StringIO()
        draw(rows, out)
        assert number in out.getvalue() and "bidirectional" in out.getvalue()


def test_progress_tells_files_bytes_and_time_left() -> None:
    progress = {"files_done": 4, "files_total": 10, "bytes_done": 1024, "bytes_total": 4096, "eta_seconds": 65}
    shown = texts(render.status(status(source(state="syncing", progress=progress))))
    assert "4/10 files, 1.0 KiB of 4.0 KiB, 1 min left" in shown


def test_a_signed_out_server_comes_with_the_way_in() -> None:
    document = status(source(state="signed_out"))
    document["servers"][0] |= {"state": "signed_out", "remedy": "raven-agent login https://r.example --name work"}
    assert "signed out of work: raven-agent login https://r.example --name work" in texts(render.status(document))


def test_a_source_says_what_is_wrong_with_it() -> None:
    row = source(
        state="error", error={"code": "disk", "message": "disk full"}, degraded=["too few watches"], conflicts=1
    )
    shown = texts(render.status(status(row)))
    assert "disk full" in shown
    assert "too few watches" in shown
    assert "1 conflict" in shown


def test_an_accounts_trouble_is_said_once() -> None:
    """Each folder of a server that cannot be reached has the same cause; the state stands beside each of them."""
    down = {"state": "offline", "error": {"code": "offline", "message": "home cannot be reached"}}
    rows = [source(root=root, name=root[1:], **down) for root in ("/a", "/b")]
    shown = texts(render.status(status(*rows)))
    assert shown.count("offline") == 2
    assert shown.count("home cannot be reached") == shown.count("nothing is lost") == 1
    errors = [{"path": "", "code": "offline", "message": "home cannot be reached"}]
    both = [passed(state="offline", root=root, errors=errors)["sources"][0] for root in ("/a", "/b")]
    shown = texts(render.sync({"sources": both}))
    assert shown.count("/a: offline") == shown.count("/b: offline") == shown.count("home cannot be reached") == 1


def test_a_pass_names_every_file_it_left_out() -> None:
    document = passed(
        errors=[{"path": "b.md", "code": "unreadable", "message": "permission denied"}],
        skipped=[{"path": "c.bin", "reason": "binary"}],
        conflicts=2,
    )
    shown = texts(render.sync(document))
    assert "b.md: permission denied" in shown
    assert "c.bin: skipped, binary" in shown
    assert "2 conflicts parked" in shown


def test_a_diff_shows_both_sides_and_the_merge() -> None:
    shown = texts(render.diff(conflict()))
    assert "-remote" in shown
    assert "+local" in shown
    assert "--proposed" in shown
    assert "--edit" in texts(render.diff(conflict(merge_clean=False, merged="<<<<<<< local\n")))
    assert "no such file" in texts(render.diff(conflict(local=None, merged=None)))


def test_columns_line_up_when_piped(raven: Callable[..., Ran], fake: FakeAgent) -> None:
    fake.answers["files"] = [{**FILES[0], "path": p, "state": s} for p, s in (("a", "ok"), ("b", "pending_push"))]
    lines = raven("files").out.splitlines()
    assert {line.index(column) for line, column in zip(lines, ("SIZE", "12 B", "12 B"), strict=True)} == {14}


def test_a_grid_never_has_a_row_of_another_width() -> None:
    for view in (render.files(FILES), render.trash(TRASH), render.history(HISTORY), render.conflicts([conflict()])):
        for block in view:
            if isinstance(block, Grid):
                assert {len(row) for row in block.rows} == {len(block.headings)}


def test_a_dry_run_of_a_decision_says_what_becomes_of_the_file() -> None:
    """An edit of a file that was deleted on the server is removed here; its text stays in the trash."""
    row = {"id": "7.2", "path": "a.md", "choice": "keep_raven", "state": "would_resolve", "message": None}
    (line,) = render.resolve({"resolved": [{**row, "here": "removed"}]})
    assert isinstance(line, TextLine)
    words = "a.md: would be resolved (keep_raven): the file is removed here, and its text goes to the trash"
    assert line.text == words
    (line,) = render.resolve({"resolved": [row]})
    assert isinstance(line, TextLine)
    assert line.text == "a.md: would be resolved (keep_raven)"


def test_a_watch_shows_a_status_only_when_it_changes() -> None:
    """The time of the look, and that both sides agreed once more, are no change; progress and trouble are."""
    first = status(source(files=1))
    later = {**status(source(files=1, last_sync_at="2026-03-01T12:05:00Z")), "checked_at": "2026-03-01T12:05:01Z"}
    more = status(source(files=2))
    stopped = {**more, "servers": []}
    assert list(changed_documents([first, later, later, more, more, stopped, more])) == [first, more, stopped, more]


def test_an_undo_of_deletes_names_the_files_that_come_back() -> None:
    """Those whose delete was not held, but carried out shortly before, are named apart; a long list is cut."""
    files = [{"root": "/notes", "path": f"{n:02}.md", "before": False} for n in range(30)]
    files.append({"root": "/notes", "path": "alone.md", "before": True})
    document = {**passed(), "undone": 30, "undone_before": 1, "undone_files": files}
    shown = [line.text for line in render.sync(document) if isinstance(line, TextLine)][1:]
    assert shown[:2] == ["30 held deletes undone:", "  00.md"]
    assert shown[20:] == [
        "  19.md",
        "  and 10 more: raven-agent activity",
        "1 earlier delete undone:",
        "  alone.md",
    ]
