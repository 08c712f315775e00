"""``explain``: the answers to what people ask about a file or a folder, over every state that changes them."""

from __future__ import annotations

from typing import Any

import pytest

from agent.api.methods.facts import last_change, notices
from agent.cli.render.fact_views import file_answers, folder_answers
from agent.index.activity import ActivityEntry, ActivityKind
from agent.remotes.protocol import Capabilities
from cli.documents import source

THEN = "2026-01-02T03:04:05Z"
LAPTOP: dict[str, Any] = {"id": "l", "name": "laptop", "this_machine": True, "state": "up_to_date", "seen_at": THEN}
DESK: dict[str, Any] = {"id": "d", "name": "desk", "this_machine": False, "state": "up_to_date", "seen_at": THEN}


def of_folder(*machines: dict[str, Any], **changes: Any) -> dict[str, str]:
    """The answers about a folder, by their questions."""
    own = {name: changes.pop(name) for name in list(changes) if name not in (*_FACTS, "machines")}
    shown = source(**{"state": "up_to_date", "last_sync_at": THEN, "server": "local", "degraded": [], **own})
    facts = {"source": shown, "machines": {"known": True, "message": None, "machines": machines}, **_FACTS, **changes}
    lines = [line.text.strip() for line in folder_answers(facts, "~/notes")]
    return dict(line.partition("? ")[::2] for line in lines)


_FACTS: dict[str, Any] = {
    "agent_runs": True,
    "unsent": 0,
    "trash_files": 0,
    "trash_bytes": 0,
    "notices": "waiting",
    "calls_a_minute": None,
}


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({}, "yes, both sides agreed"),
        ({"pending_push": 2, "pending_pull": 1}, "not yet: 2 to send and 1 to fetch"),
        ({"last_sync_at": None}, "not yet: the first pass has not ended"),
        ({"conflicts": 1, "state": "conflict"}, "but for 1 conflict: both sides agreed"),
        ({"failed": 2, "state": "error"}, "but for 2 files that cannot be synced"),
        ({"state": "offline"}, "not known, as the server cannot be reached"),
        ({"state": "halted"}, "not known, as a safety brake stopped it"),
    ],
)
def test_up_to_date_is_said_only_when_it_is(changes: dict[str, Any], answer: str) -> None:
    """A state that hides the server's side is no yes."""
    assert of_folder(**changes)["is it up to date"].startswith(answer)


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({}, "yes, nothing waits to be sent"),
        ({"unsent": 1, "conflicts": 1}, "yes, nothing waits to be sent"),
        ({"unsent": 2}, "wait a moment for the other machines: 2 changes"),
        ({"unsent": 2, "agent_runs": False}, "nothing is lost, but 2 changes of this machine wait, and no agent runs"),
    ],
)
def test_the_lid_can_be_closed_when_nothing_waits(changes: dict[str, Any], answer: str) -> None:
    """A parked conflict waits for a person, not for the lid."""
    assert of_folder(**changes)["is it safe to close the lid"].startswith(answer)


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({}, "it is not"),
        ({"notices": "asking"}, "the server does not report changes"),
        ({"agent_runs": False}, "no agent runs"),
        ({"calls_a_minute": 1000}, "the server allows 1000 calls a minute"),
        ({"state": "paused"}, "it is paused: raven-agent status"),
        ({"degraded": ["too many folders are watched"]}, "too many folders are watched"),
        (
            {"progress": {"files_done": 1, "files_total": 4, "eta_seconds": 90.0}},
            "3 files are left, about 1 min",
        ),
    ],
)
def test_each_cause_of_slowness_is_named(changes: dict[str, Any], answer: str) -> None:
    """Each by itself, with what to do where there is something."""
    assert of_folder(**changes)["why is it slow"].startswith(answer)


@pytest.mark.parametrize(
    ("machines", "answer"),
    [
        ((LAPTOP, DESK), "yes: every change is on desk"),
        ((LAPTOP, {**DESK, "state": "behind", "behind": 3}), "no: desk has all but 3 changes (last seen"),
        ((LAPTOP, {**DESK, "state": "unknown"}), "no: of desk nothing is known (last seen"),
        ((LAPTOP,), "no other machine syncs this folder yet: raven-agent hub invite"),
    ],
)
def test_other_machines_are_named_with_what_they_lack(machines: tuple[dict[str, Any], ...], answer: str) -> None:
    """Nothing known is never a yes."""
    assert of_folder(*machines)["is it up to date on my other machines"].startswith(answer)


def test_a_silent_server_is_no_yes() -> None:
    """It has a sentence of its own; of another server's folder the second machine links the source."""
    silent = {"known": False, "message": "this server does not tell", "machines": []}
    assert of_folder(machines=silent)["is it up to date on my other machines"] == "this server does not tell"
    told = of_folder(LAPTOP, server="work", name="notes")["is it up to date on my other machines"]
    assert told.endswith("raven-agent link FOLDER --source notes, typed there")


def test_space_and_unlink_are_stated_with_numbers() -> None:
    """What stays, what would be lost, and where it can be looked at."""
    said = of_folder(trash_files=2, trash_bytes=2048, unsent=1)
    assert said["how much space does it take"].endswith("its trash holds 2 texts, 2.0 KiB: raven-agent trash ~/notes")
    assert "1 change would never be sent: raven-agent unlink ~/notes --dry-run" in said["what happens if I unlink it"]
    assert "would never be sent" not in of_folder()["what happens if I unlink it"]


def of_file(**changes: Any) -> str:
    """The answers about a file, as one text."""
    facts: dict[str, Any] = {"last_change": None, "server_versions": 1, "server_message": None, "trash_versions": 0}
    return "\n".join(line.text for line in file_answers({**facts, "conflict": None, **changes}, "~/notes/a.md"))


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({}, "there is none yet: this is the only version"),
        ({"server_versions": 3}, "2 earlier versions on the server: raven-agent history ~/notes/a.md"),
        ({"server_versions": 0, "trash_versions": 1}, "1 text in the trash of this machine: raven-agent history"),
        ({"server_versions": 2, "trash_versions": 2}, "1 earlier version on the server and 2 texts in the trash"),
        ({"server_versions": None, "server_message": "cannot reach home"}, "none in the trash of this machine; cannot"),
        ({"server_versions": None, "server_message": "x", "trash_versions": 1}, "1 text in the trash of this machine:"),
    ],
)
def test_old_texts_are_found_where_they_are(changes: dict[str, Any], answer: str) -> None:
    """A server that was not reached is named: its versions may be there."""
    assert f"where is the old text? {answer}" in of_file(**changes)


def test_every_kind_of_conflict_has_a_reason_and_a_way_on() -> None:
    """In words, with the two commands that end it."""
    for kind in ("edit_edit", "edit_delete", "delete_edit", "no_base"):
        said = of_file(conflict={"id": "7.2", "kind": kind, "opened_at": THEN})
        assert kind not in said
        assert "raven-agent diff 7, then raven-agent resolve 7" in said


@pytest.mark.parametrize("kind", ["pushed", "deleted_remote", "restored", "pulled", "deleted_local"])
def test_a_change_is_this_machines_or_not(kind: str) -> None:
    """What was sent was edited here; what was fetched was not."""
    change = last_change(ActivityEntry(1, 1, 0.0, "a.md", ActivityKind(kind), None, None))
    assert change.by == ("elsewhere" if kind in ("pulled", "deleted_local") else "this_machine")
    said = of_file(last_change={"at": THEN, "what": kind, "by": change.by})
    assert ("this machine" in said.splitlines()[0]) is (change.by == "this_machine")


def test_the_way_in_which_changes_are_noticed() -> None:
    """Reported by the server, waited for, or asked for."""
    assert notices(Capabilities(), listening=True) == "pushed"
    assert notices(Capabilities(long_poll=True), listening=False) == "waiting"
    assert notices(Capabilities(), listening=False) == "asking"
