"""A move on the server is one rename in the folder. In doubt the file is pulled and removed, as two changes."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from agent.core.conflict import ConflictState
from agent.core.events import Delete, FeedEvent, Move, Upsert
from agent.core.model import ApplyOutcome, ApplyResult, Intent, Purpose
from agent.core.remote_records import Verb
from agent.core.supply import FromFolder, Inline, Supply
from agent.engine import effects as e
from agent.engine import messages as m
from agent.engine.config import RunMode
from engine.harness import SOURCE, EngineHarness, seen, sha

LIMIT = 16


def at(path: str, text: str, position: int, identifier: str) -> Upsert:
    """The feed: a file with an id of its own."""
    content = text.encode() if len(text) <= LIMIT else None
    return Upsert(path, sha(text), position, content, None, f"v{position}", identifier, False, len(text))


def moved(old: str, new: str, text: str, position: int, identifier: str) -> Move:
    """The feed: a file has another path."""
    return Move(old, new, sha(text), position, None, f"v{position}", identifier, len(text))


def begun(files: dict[str, str], *, moves: bool = True) -> EngineHarness:
    """These files on both sides, at rest; the id of each is its path in capitals."""
    harness = EngineHarness(hub=True)
    harness.setup = replace(harness.setup, inline_limit=LIMIT, moves=moves, run_mode=RunMode.DAEMON, item_results=False)
    harness.restart()
    harness.begin(dict(files), *(at(p, text, n, p.upper()) for n, (p, text) in enumerate(files.items(), start=1)))
    assert not harness.conflicts() and not harness.wants(e.Send) and not harness.wants(e.ApplyChanges)
    harness.effects.clear()
    return harness


def told(harness: EngineHarness, *events: FeedEvent) -> None:
    """The feed is read to its end and holds these events."""
    harness.feed(*events)


def jobs(harness: EngineHarness) -> list[tuple[Intent, Supply]]:
    """The changes of the folder that are asked for; they stay asked for."""
    return [job for effect in harness.effects if isinstance(effect, e.ApplyChanges) for job in effect.jobs]


def done(harness: EngineHarness, *outcomes: tuple[ApplyOutcome, str | None]) -> None:
    """Answer the changes: an outcome each, and the text at the new path afterwards."""
    asked = harness.take(e.ApplyChanges).jobs
    results = [
        ApplyResult(intent.id, outcome, seen(intent.path, text))
        for (intent, _), (outcome, text) in zip(asked, outcomes, strict=True)
    ]
    harness.tell(m.ChangesApplied(tuple(results)))


def scanned(harness: EngineHarness, path: str, text: str | None) -> None:
    """A path becomes quiet and is scanned."""
    harness.now += 1
    harness.tell(m.TimePassed())
    assert path in harness.take(e.ScanPaths).paths
    harness.tell(m.ScanResults((seen(path, text),)), m.PathScanFinished((path,)))


def test_a_server_move_is_one_rename() -> None:
    """One change with its old path and no bytes. Both sides agree afterwards, and nothing is sent."""
    harness = begun({"a.md": "one"})
    told(harness, moved("a.md", "dir/b.md", "one", 10, "A.MD"))
    [(intent, supply)] = jobs(harness)
    assert (intent.origin, intent.path, intent.new, intent.expected) == ("a.md", "dir/b.md", sha("one"), None)
    assert (intent.purpose, supply, intent.rev) == (Purpose.PULL, FromFolder("a.md"), "v10")
    assert not harness.wants(e.FetchHead) and not harness.wants(e.Fetch)
    done(harness, (ApplyOutcome.DONE, "one"))
    scanned(harness, "a.md", None)
    assert harness.trees("dir/b.md") == (sha("one"),) * 3 and harness.trees("a.md") == (None,) * 3
    assert harness.row("dir/b.md").base.rev == "v10"
    assert not jobs(harness) and not harness.wants(e.Send) and harness.engine.held is None


def test_a_large_file_moves_without_a_download() -> None:
    """Its content is neither fetched nor asked for."""
    text = "a text of more than sixteen bytes"
    harness = begun({"a.mp4": text})
    told(harness, moved("a.mp4", "b.mp4", text, 10, "A.MP4"))
    [(intent, _)] = jobs(harness)
    assert intent.origin == "a.mp4" and not harness.wants(e.Fetch)


def test_moves_are_used_only_where_the_server_has_them() -> None:
    """Without the capability an id means nothing: the file is pulled and removed."""
    harness = begun({"a.md": "one"}, moves=False)
    told(harness, Delete("a.md", 10, None, "A.MD"), at("b.md", "one", 11, "A.MD"))
    assert {intent.path: intent.origin for intent, _ in jobs(harness)} == {"a.md": None, "b.md": None}


@pytest.mark.parametrize(
    ("what", "events"),
    [
        ("another_id", (Delete("a.md", 10, None, "A.MD"), at("b.md", "one", 11, "NEW"))),
        ("edited_too", (Delete("a.md", 10, None, "A.MD"), at("b.md", "two", 11, "A.MD"))),
        ("only_case", (moved("a.md", "A.md", "one", 10, "A.MD"),)),
    ],
)
def test_in_doubt_a_file_is_pulled_and_removed(what: str, events: tuple[FeedEvent, ...]) -> None:
    """Equal bytes are no proof here: only the id is. A move with an edit, or of the case alone, is none either."""
    harness = begun({"a.md": "one", "z.md": "z"})
    told(harness, *events)
    assert all(intent.origin is None for intent, _ in jobs(harness)), what
    assert harness.row("a.md").step.name == "PULL_DELETE" and not harness.conflicts()


def test_an_unsent_edit_moves_with_its_file() -> None:
    """The edit is pushed at the new path, on the version that the server moved; no conflict is opened."""
    harness = begun({"a.md": "one"})
    harness.engine._ctx.in_flight.paused_until = float("inf")
    harness.saves("a.md", "edit")
    told(harness, moved("a.md", "b.md", "one", 10, "A.MD"))
    assert not harness.conflicts()
    harness.engine._ctx.in_flight.paused_until = 0.0
    harness.tell(m.TimePassed())
    [(intent, _)] = jobs(harness)
    assert (intent.origin, intent.new) == ("a.md", sha("edit"))
    done(harness, (ApplyOutcome.DONE, "edit"))
    [parcel] = harness.take(e.Send).parcels
    operation = parcel.operation
    assert (operation.path, operation.verb, operation.hash) == ("b.md", Verb.UPSERT, sha("edit"))
    assert (operation.base, operation.base_rev, operation.remote_id) == (sha("one"), "v10", "A.MD")
    scanned(harness, "a.md", None)
    assert harness.trees("a.md") == (None,) * 3 and not harness.conflicts()


def test_an_edit_against_an_edited_move_is_a_conflict() -> None:
    """The server changed the moved file too, so a person decides at the old path."""
    harness = begun({"a.md": "one"})
    harness.engine._ctx.in_flight.paused_until = float("inf")
    harness.saves("a.md", "edit")
    told(harness, Delete("a.md", 10, None, "A.MD"), at("b.md", "two", 11, "A.MD"))
    assert [conflict.path for conflict in harness.conflicts()] == ["a.md"]


@pytest.mark.parametrize("outcome", [o for o in ApplyOutcome if o is not ApplyOutcome.DONE])
def test_a_move_that_was_not_made_is_a_copy(outcome: ApplyOutcome) -> None:
    """The bytes come from the folder, then the old path is removed. The old path is scanned first."""
    harness = begun({"a.md": "one", "z.md": "z"})
    told(harness, moved("a.md", "b.md", "one", 10, "A.MD"))
    done(harness, (outcome, None))
    assert not jobs(harness)
    scanned(harness, "a.md", "one")
    found = jobs(harness)
    assert [(i.path, i.origin, s) for i, s in found if i.new] == [("b.md", None, FromFolder("a.md"))]
    outcomes = [(ApplyOutcome.DONE, "one" if intent.new else None) for intent, _ in found]
    done(harness, *outcomes)
    while jobs(harness):
        done(harness, (ApplyOutcome.DONE, None))
    assert harness.trees("b.md") == (sha("one"),) * 3 and harness.trees("a.md") == (None,) * 3


def test_an_edit_found_by_the_move_goes_with_the_next_try() -> None:
    """The user saved before the move began: the file was left, the edit is seen, and the file moves with it."""
    harness = begun({"a.md": "one"})
    told(harness, moved("a.md", "b.md", "one", 10, "A.MD"))
    done(harness, (ApplyOutcome.CHANGED, None))
    scanned(harness, "a.md", "edit")
    [(intent, _)] = jobs(harness)
    assert (intent.origin, intent.path, intent.new) == ("a.md", "b.md", sha("edit"))


def test_a_new_file_at_the_old_path_is_seen_and_sent() -> None:
    """It was saved right behind the rename."""
    harness = begun({"a.md": "one"})
    told(harness, moved("a.md", "b.md", "one", 10, "A.MD"))
    done(harness, (ApplyOutcome.DONE, "one"))
    scanned(harness, "a.md", "new")
    [parcel] = harness.take(e.Send).parcels
    assert (parcel.operation.path, parcel.operation.base, parcel.operation.remote_id) == ("a.md", None, None)


def test_a_chain_is_renamed_from_its_free_end() -> None:
    """b moves away first, then a takes its path; no content travels."""
    harness = begun({"a.md": "one", "b.md": "two"})
    told(harness, moved("b.md", "c.md", "two", 10, "B.MD"), moved("a.md", "b.md", "one", 11, "A.MD"))
    assert [(i.origin, i.path) for i, _ in jobs(harness)] == [("b.md", "c.md")]
    done(harness, (ApplyOutcome.DONE, "two"))
    scanned(harness, "b.md", None)
    assert [(i.origin, i.path) for i, _ in jobs(harness)] == [("a.md", "b.md")]
    done(harness, (ApplyOutcome.DONE, "one"))
    scanned(harness, "a.md", None)
    assert harness.trees("b.md") == (sha("one"),) * 3 and harness.trees("c.md") == (sha("two"),) * 3


def test_a_swap_is_two_copies() -> None:
    """Neither path is free, so each file is replaced by a copy of the other."""
    harness = begun({"a.md": "one", "b.md": "two"})
    told(
        harness,
        moved("a.md", "t.md", "one", 10, "A.MD"),
        moved("b.md", "a.md", "two", 11, "B.MD"),
        moved("t.md", "b.md", "one", 12, "A.MD"),
    )
    found = {i.path: (i.origin, i.expected, i.new, s) for i, s in jobs(harness)}
    assert found == {
        "a.md": (None, sha("one"), sha("two"), FromFolder("b.md")),
        "b.md": (None, sha("two"), sha("one"), FromFolder("a.md")),
    }


def test_a_target_in_use_is_not_renamed_over() -> None:
    """A file that the server does not know stands at the new path: a person decides there."""
    harness = begun({"a.md": "one"})
    harness.engine._ctx.in_flight.paused_until = float("inf")
    harness.saves("b.md", "mine")
    told(harness, moved("a.md", "b.md", "one", 10, "A.MD"))
    assert [conflict.path for conflict in harness.conflicts()] == ["b.md"]
    harness.engine._ctx.in_flight.paused_until = 0.0
    harness.tell(m.TimePassed())
    assert all(intent.origin is None for intent, _ in jobs(harness))


def test_a_crash_finds_the_move_in_the_journal() -> None:
    """The next process takes its outcome as if nothing had happened."""
    harness = begun({"a.md": "one"})
    told(harness, moved("a.md", "b.md", "one", 10, "A.MD"))
    [(intent, _)] = jobs(harness)
    harness.engine = type(harness.engine)(harness.index, harness.setup, harness.rng)
    harness.effects = []
    harness.tell(m.Started())
    assert harness.take(e.Recover).intents == (intent,)
    harness.tell(m.ChangesApplied((ApplyResult(intent.id, ApplyOutcome.DONE, seen("b.md", "one")),)))
    assert harness.trees("b.md") == (sha("one"),) * 3 and harness.trees("a.md") == (None,) * 3


def test_a_move_due_before_a_crash_is_made_after_it() -> None:
    """It is found again from the trees."""
    harness = begun({"a.md": "one"})
    harness.engine._ctx.in_flight.paused_until = float("inf")
    told(harness, moved("a.md", "b.md", "one", 10, "A.MD"))
    assert not jobs(harness)
    harness.restart()
    harness.begin({"a.md": "one"})
    assert [(i.origin, i.path) for i, _ in jobs(harness)] == [("a.md", "b.md")]


def test_the_server_goes_on_while_a_move_is_made() -> None:
    """What the folder received is the base; the newer head is pulled."""
    harness = begun({"a.md": "one"})
    told(harness, moved("a.md", "b.md", "one", 10, "A.MD"))
    told(harness, at("b.md", "two", 11, "A.MD"))
    done(harness, (ApplyOutcome.DONE, "one"))
    row = harness.row("b.md")
    assert (row.base.hash, row.base.rev, row.base.remote_id) == (sha("one"), "v10", "A.MD")
    [(intent, supply)] = jobs(harness)
    assert (intent.path, intent.expected, intent.new) == ("b.md", sha("one"), sha("two"))
    assert supply == Inline(b"two")


def test_two_hundred_moved_files_are_no_deletes() -> None:
    """The delete guard counts neither half of a move, and nothing waits for a person."""
    files = {f"d/{number}.md": f"text {number}" for number in range(200)}
    harness = begun(files)
    harness.feed(*(moved(p, f"e/{p[2:]}", t, 300 + n, p.upper()) for n, (p, t) in enumerate(files.items())))
    assert len(jobs(harness)) == 200 and all(intent.origin for intent, _ in jobs(harness))
    assert harness.engine.held is None
    done(harness, *((ApplyOutcome.DONE, text) for text in sorted(files.values(), key=lambda t: f"d/{t[5:]}.md")))
    assert harness.index.recent_deletes.count(SOURCE, harness.row("d/0.md").step, 0.0) == 0
    assert harness.trees("e/7.md") == (sha("text 7"),) * 3


def test_a_path_with_an_open_conflict_is_not_moved() -> None:
    """A person was shown the old path; the decision concerns it, so it stays."""
    harness = begun({"a.md": "one"})
    harness.engine._ctx.in_flight.paused_until = float("inf")
    harness.saves("a.md", "edit")
    told(harness, at("a.md", "two", 10, "A.MD"))
    [conflict] = harness.conflicts()
    assert conflict.state is ConflictState.OPEN
    told(harness, moved("a.md", "b.md", "one", 11, "A.MD"))
    harness.engine._ctx.in_flight.paused_until = 0.0
    harness.tell(m.TimePassed())
    assert all(intent.origin is None for intent, _ in jobs(harness))
