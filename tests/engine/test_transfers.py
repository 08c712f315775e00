"""Downloads of contents over the inline limit: stored first, resumed, checked and given up."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from agent.core.errors import Problem, ProblemKind
from agent.core.events import Upsert
from agent.core.model import ApplyOutcome, Reason, Resolution
from agent.core.remote_records import RemoteConflict, RemoteFile, RemoteHead, Result
from agent.core.supply import Inline, Staged, Transfer
from agent.engine import effects as e
from agent.engine import messages as m
from agent.engine.config import RunMode
from engine.harness import SOURCE, EngineHarness, seen, sha, upsert

LIMIT = 16
LARGE = "a text of more than sixteen bytes"
_NO_DELAY = (m.FetchResult.COMPLETE, m.FetchResult.KEPT, m.FetchResult.CANCELLED)


def large_upsert(path: str, text: str, position: int, rev: str | None = None) -> Upsert:
    """The feed says a path holds this text, and sends no bytes."""
    return Upsert(path, sha(text), position, rev=rev, size=len(text))


def begun(*feed: Upsert, limit: int | None = LIMIT, run_mode: RunMode = RunMode.DAEMON) -> EngineHarness:
    """An empty folder, and a feed that was read to its end."""
    harness = EngineHarness(hub=True)
    harness.setup = replace(harness.setup, inline_limit=limit, run_mode=run_mode)
    harness.restart()
    harness.begin({}, *feed)
    return harness


def fetches(harness: EngineHarness) -> list[Transfer]:
    """The downloads that are asked for; they count as taken."""
    asked = [effect for effect in harness.effects if isinstance(effect, e.Fetch)]
    harness.effects = [effect for effect in harness.effects if not isinstance(effect, e.Fetch)]
    return [effect.transfer for effect in asked]


def stored(harness: EngineHarness) -> list[Transfer]:
    """The downloads in the index."""
    return harness.index.transfers.all(SOURCE)


def failed(transfer: Transfer, kind: ProblemKind) -> m.Fetched:
    """The server or the connection failed."""
    return m.Fetched(transfer.id, m.FetchResult.FAILED, Problem(kind, "it failed"))


def reason(harness: EngineHarness, path: str) -> Reason | None:
    """The reason for which a path is named as a problem."""
    return next((p.reason for p in harness.index.problems.all(SOURCE) if p.path == path), None)


def later(harness: EngineHarness, seconds: float) -> None:
    """Time passes."""
    harness.now += seconds
    harness.tell(m.TimePassed())
    harness.rest()


def test_a_large_content_is_fetched_and_installed() -> None:
    """Its row is in the index before the effect, and leaves it with the outcome of the install."""
    harness = begun(large_upsert("a.mp4", LARGE, 1, "rev-1"))
    (transfer,) = fetches(harness)
    assert (transfer.path, transfer.hash, transfer.rev, transfer.size) == ("a.mp4", sha(LARGE), "rev-1", len(LARGE))
    assert stored(harness) == [transfer]
    assert not harness.wants(e.ApplyChanges) and not harness.wants(e.FetchHead)
    harness.tell(m.Fetched(transfer.id))
    ((intent, supply),) = harness.effects[-1].jobs if isinstance(harness.effects[-1], e.ApplyChanges) else ()
    assert (intent.new, intent.expected, supply) == (sha(LARGE), None, Staged(transfer.id))
    assert stored(harness) == [transfer]
    harness.land(LARGE)
    assert harness.trees("a.mp4") == (sha(LARGE),) * 3
    assert not stored(harness) and not fetches(harness)


def test_a_small_content_comes_inline_as_before() -> None:
    """At the limit itself, nothing is transferred."""
    harness = begun(upsert("a.md", "x" * LIMIT, 1))
    ((_, supply),) = harness.take(e.ApplyChanges).jobs
    assert supply == Inline(b"x" * LIMIT)
    assert not stored(harness) and not harness.wants(e.Fetch)


def test_a_server_without_a_limit_has_no_transfers() -> None:
    """A large content without bytes is asked for with its head, as ever."""
    harness = begun(large_upsert("a.md", LARGE, 1), limit=None)
    assert not stored(harness) and not harness.wants(e.Fetch)
    harness.shows("a.md", RemoteHead("a.md", sha(LARGE), LARGE.encode()))
    ((_, supply),) = harness.take(e.ApplyChanges).jobs
    assert supply == Inline(LARGE.encode())


def test_a_head_without_its_content_is_fetched() -> None:
    """Whatever its size; an event without a size has its head asked for first."""
    harness = begun(Upsert("a.md", sha("tiny"), 1))
    assert not harness.wants(e.Fetch)
    harness.shows("a.md", RemoteHead("a.md", sha("tiny"), None, size=4))
    (transfer,) = fetches(harness)
    assert (transfer.path, transfer.size) == ("a.md", 4)
    harness.tell(m.Fetched(transfer.id))
    harness.land("tiny")
    assert harness.trees("a.md") == (sha("tiny"),) * 3 and not stored(harness)


def test_four_are_fetched_at_once_and_the_smallest_first() -> None:
    """The end of one begins the next."""
    sizes = {"a": 60, "b": 20, "c": 50, "d": 30, "e": 70, "f": 40}
    harness = begun(*(large_upsert(name, name * size, at) for at, (name, size) in enumerate(sizes.items(), start=1)))
    first = fetches(harness)
    assert [transfer.path for transfer in first] == ["b", "d", "f", "c"]
    harness.tell(m.Fetched(first[2].id))
    assert [transfer.path for transfer in fetches(harness)] == ["a"]


def test_a_head_that_moved_on_cancels_its_download() -> None:
    """The new version is fetched at once; the old file is removed once nothing writes to it any more."""
    harness = begun(large_upsert("a", LARGE, 1))
    (old,) = fetches(harness)
    harness.feed(large_upsert("a", LARGE + "!", 2))
    assert harness.take(e.CancelFetch).transfer_id == old.id
    (new,) = fetches(harness)
    assert new.hash == sha(LARGE + "!") and new.id != old.id
    assert not harness.wants(e.DiscardDownloads) and len(stored(harness)) == 2
    harness.tell(m.Fetched(old.id, m.FetchResult.CANCELLED))
    assert harness.take(e.DiscardDownloads).transfer_ids == (old.id,)
    assert stored(harness) == [new]


def test_a_download_that_ended_too_late_is_dropped() -> None:
    """Bytes of a version that is not wanted any more are never installed."""
    harness = begun(large_upsert("a", LARGE, 1))
    (old,) = fetches(harness)
    harness.feed(large_upsert("a", LARGE + "!", 2))
    fetches(harness)
    harness.tell(m.Fetched(old.id))
    assert not harness.wants(e.ApplyChanges)
    assert harness.take(e.DiscardDownloads).transfer_ids == (old.id,)


def test_an_edit_during_a_download_cancels_it() -> None:
    """Both sides differ then: a person decides."""
    harness = begun(large_upsert("a", LARGE, 1))
    (transfer,) = fetches(harness)
    harness.saves("a", "mine")
    assert harness.take(e.CancelFetch).transfer_id == transfer.id
    harness.tell(m.Fetched(transfer.id, m.FetchResult.CANCELLED))
    assert not stored(harness) and not harness.wants(e.Fetch)


def test_no_room_for_one_file_lets_the_others_go_on() -> None:
    """The file is named, and fetched again later."""
    harness = begun(*(large_upsert(name, name * 20, at) for at, name in enumerate("abcde", start=1)))
    first = fetches(harness)
    harness.tell(m.Fetched(first[0].id, m.FetchResult.NO_ROOM, text="no room"))
    assert reason(harness, "a") is Reason.DISK
    assert [transfer.path for transfer in fetches(harness)] == ["e"]
    for transfer in first[1:]:
        harness.tell(m.Fetched(transfer.id))
    assert not harness.wants(e.Fetch)
    later(harness, 61)
    assert [transfer.id for transfer in fetches(harness)] == [first[0].id]
    harness.tell(m.Fetched(first[0].id))
    assert first[0] in stored(harness)


def test_wrong_bytes_are_fetched_once_more() -> None:
    """Twice wrong, the file is set aside as garbled, and the server counts as well."""
    harness = begun(large_upsert("a", LARGE, 1))
    (transfer,) = fetches(harness)
    harness.tell(m.Fetched(transfer.id, m.FetchResult.GARBLED, text="wrong bytes"))
    assert fetches(harness) == [transfer] and reason(harness, "a") is None
    harness.tell(m.Fetched(transfer.id, m.FetchResult.GARBLED, text="wrong bytes"))
    assert reason(harness, "a") is Reason.GARBLED and not harness.wants(e.Fetch)
    assert harness.engine.trouble is None
    harness.feed(large_upsert("a", LARGE + "!", 2))
    assert [new.hash for new in fetches(harness)] == [sha(LARGE + "!")]
    assert reason(harness, "a") is None


def test_wrong_bytes_have_the_head_asked_for() -> None:
    """What the feed said of the path may be old. The head's version is fetched instead, and nothing is set aside."""
    harness = begun(large_upsert("a", LARGE, 1))
    (transfer,) = fetches(harness)
    harness.tell(m.Fetched(transfer.id, m.FetchResult.GARBLED, text="wrong bytes"))
    newer = LARGE + "!"
    harness.shows("a", RemoteHead("a", sha(newer), None, "rev-2", "f1", size=len(newer)))
    harness.tell(m.Fetched(transfer.id, m.FetchResult.CANCELLED))
    (first, second) = fetches(harness)
    assert (first, second.hash, second.rev, second.remote_id) == (transfer, sha(newer), "rev-2", "f1")
    assert reason(harness, "a") is None


def test_a_lost_connection_is_tried_with_one_download() -> None:
    """The backoff of the calls holds for all of them; the first that is complete ends it."""
    harness = begun(*(large_upsert(name, name * 20, at) for at, name in enumerate("abc", start=1)))
    first = fetches(harness)
    for transfer in first:
        harness.tell(failed(transfer, ProblemKind.OFFLINE))
    assert not harness.wants(e.Fetch) and harness.engine.trouble is not None
    later(harness, 5)
    (tried,) = fetches(harness)
    assert tried == first[0]
    harness.tell(m.Fetched(tried.id))
    assert fetches(harness) == first[1:] and harness.engine.trouble is None


def test_a_failure_of_one_file_delays_that_file_only() -> None:
    """A cut answer is no failure of the server. Repeated, it is named; bytes that arrive between begin anew."""
    harness = begun(large_upsert("a", LARGE, 1), large_upsert("b", LARGE * 2, 2))
    first, second = fetches(harness)
    harness.tell(failed(first, ProblemKind.GARBLED))
    assert reason(harness, "a") is None and harness.engine.trouble is None
    later(harness, 5)
    assert fetches(harness) == [first]
    harness.tell(m.Advanced(first.id, 10), failed(first, ProblemKind.GARBLED))
    assert reason(harness, "a") is None
    later(harness, 5)
    assert fetches(harness) == [first]
    harness.tell(failed(first, ProblemKind.GARBLED))
    assert reason(harness, "a") is Reason.REFUSED
    harness.tell(m.Fetched(second.id))
    harness.land(LARGE * 2)
    assert harness.trees("b") == (sha(LARGE * 2),) * 3


@pytest.mark.parametrize("kind", [ProblemKind.NOT_FOUND, ProblemKind.GONE])
def test_a_version_that_is_gone_has_the_feed_read(kind: ProblemKind) -> None:
    """The same bytes are then read from their newest revision, behind those that are there."""
    harness = begun(large_upsert("a", LARGE, 1, "rev-1"))
    (transfer,) = fetches(harness)
    harness.tell(failed(transfer, kind))
    assert harness.wants(e.Poll) and not harness.wants(e.Fetch)
    harness.feed(large_upsert("a", LARGE, 2, "rev-2"))
    later(harness, 5)
    (again,) = fetches(harness)
    harness.tell(failed(again, kind))
    harness.rest()
    later(harness, 5)
    assert fetches(harness) == [replace(transfer, rev="rev-2")]
    assert stored(harness) == [replace(transfer, rev="rev-2")]


@pytest.mark.parametrize("result", [r for r in m.FetchResult if r not in _NO_DELAY])
def test_a_listed_version_is_taken_while_an_old_one_waits(result: m.FetchResult) -> None:
    """A restored server shows the new version in no event. The delay was that of the old one."""
    harness = begun(large_upsert("a", LARGE, 1, "old"))
    for _ in range(2):
        for transfer in fetches(harness):
            problem = Problem(ProblemKind.GONE, "it has another version") if result is m.FetchResult.FAILED else None
            harness.tell(m.Fetched(transfer.id, result, problem))
            harness.rest()
        if harness.wants(e.FetchHead):
            harness.shows("a", RemoteHead("a", sha(LARGE), None, rev="old", size=len(LARGE)))
    newer = LARGE + "!"
    harness.listing = (RemoteFile("a", sha(newer), "new", size=len(newer)),)
    harness.tell(m.SyncNow(1))
    for transfer in fetches(harness):
        harness.tell(m.Fetched(transfer.id, result, Problem(ProblemKind.GONE, "it has another version")))
    harness.tell(m.ScanFinished())
    harness.rest()
    harness.shows("a", RemoteHead("a", sha(newer), None, rev="new", size=len(newer)))
    assert [(each.rev, each.hash) for each in fetches(harness)] == [("new", sha(newer))]


@pytest.mark.parametrize("kind", sorted(m.OF_ONE_FILE))
def test_a_verification_asks_once_for_a_head_that_is_refused(kind: ProblemKind) -> None:
    """Its file waits for the next verification; the server is not listed again and again."""
    harness = begun(large_upsert("a", LARGE, 1, "old"))
    fetches(harness)
    newer = LARGE + "!"
    harness.listing = (RemoteFile("a", sha(newer), "new", size=len(newer)),)
    before = harness.listings
    for number in (1, 2):
        harness.tell(m.SyncNow(number))
        harness.tell(m.ScanFinished())
        harness.rest()
        harness.take(e.FetchHead)
        harness.tell(m.CallFailed(m.Call.HEAD, Problem(kind, "refused"), "a"))
        later(harness, 10.0)
        assert harness.listings == before + number and not harness.wants(e.FetchHead)


def test_a_restart_continues_a_download() -> None:
    """The recovery is given every download that is wanted, so that it removes the files of others."""
    harness = begun(large_upsert("a", LARGE, 1))
    (transfer,) = fetches(harness)
    harness.engine = type(harness.engine)(harness.index, harness.setup, harness.rng)
    harness.effects = []
    harness.tell(m.Started())
    assert harness.take(e.Recover).transfers == (transfer,)
    harness.begin({})
    assert fetches(harness) == [transfer] and stored(harness) == [transfer]


def test_a_restart_drops_a_download_of_an_old_version() -> None:
    """Its file is removed before its row is forgotten."""
    harness = begun(large_upsert("a", LARGE, 1))
    (transfer,) = fetches(harness)
    harness.restart()
    harness.begin({"a": "mine"})
    assert harness.take(e.DiscardDownloads).transfer_ids == (transfer.id,)
    assert not stored(harness)


def test_an_install_found_done_by_the_recovery_ends_its_download() -> None:
    """A crash came between the install and its outcome."""
    harness = begun(large_upsert("a", LARGE, 1))
    (transfer,) = fetches(harness)
    harness.tell(m.Fetched(transfer.id))
    intent, _ = harness.take(e.ApplyChanges).jobs[0]
    harness.restart()
    harness.effects.append(e.ApplyChanges(((intent, Staged(transfer.id)),)))
    harness.land(LARGE)
    assert not stored(harness) and harness.trees("a") == (sha(LARGE),) * 3


def test_a_blocked_install_keeps_the_download() -> None:
    """The bytes are installed later and not fetched again, unless they turn out to be damaged."""
    harness = begun(large_upsert("a", LARGE, 1))
    (transfer,) = fetches(harness)
    harness.tell(m.Fetched(transfer.id))
    harness.land(None, landing=ApplyOutcome.BLOCKED)
    assert stored(harness) == [transfer] and not harness.wants(e.Fetch)
    later(harness, 6)
    assert harness.take(e.ApplyChanges).jobs[0][1] == Staged(transfer.id)


def test_a_failed_install_has_the_download_checked_again() -> None:
    """It may be gone or damaged."""
    harness = begun(large_upsert("a", LARGE, 1))
    (transfer,) = fetches(harness)
    harness.tell(m.Fetched(transfer.id))
    harness.land(None, landing=ApplyOutcome.FAILED)
    later(harness, 31)
    assert fetches(harness) == [transfer] and not harness.wants(e.ApplyChanges)


def test_progress_is_kept_in_memory_only() -> None:
    """An advance writes nothing, and a pass does not end while bytes arrive."""
    harness = begun(large_upsert("a", LARGE, 1), run_mode=RunMode.ONE_SHOT)
    (transfer,) = fetches(harness)
    before = harness.index.connection.total_changes
    harness.tell(m.Advanced(transfer.id, 20))
    assert harness.engine.bytes_downloaded == 20
    assert harness.index.connection.total_changes == before
    assert not harness.engine._planner.at_rest()
    harness.tell(m.Advanced("another", 5))
    assert harness.engine.bytes_downloaded == 20


def test_a_pause_stops_a_download_and_keeps_its_bytes() -> None:
    """It continues with the same id after the pause."""
    harness = begun(large_upsert("a", LARGE, 1))
    (transfer,) = fetches(harness)
    harness.tell(m.Pause(float("inf")))
    assert harness.take(e.CancelFetch).transfer_id == transfer.id
    harness.tell(m.Fetched(transfer.id, m.FetchResult.CANCELLED))
    assert stored(harness) == [transfer] and not harness.wants(e.Fetch)
    harness.tell(m.Resume())
    assert not harness.wants(e.DiscardDownloads)
    assert fetches(harness) == [transfer]


def test_a_limit_learned_later_has_the_rows_read_again() -> None:
    """The capabilities may become known after the feed was read."""
    harness = begun(large_upsert("a", LARGE, 1), limit=None)
    assert not harness.wants(e.Fetch)
    harness.effects += harness.engine.configure(harness.now, replace(harness.setup, inline_limit=LIMIT))
    (transfer,) = fetches(harness)
    harness.shows("a", RemoteHead("a", sha(LARGE), None, size=len(LARGE)))
    assert not fetches(harness) and stored(harness) == [transfer]


def test_a_large_local_file_is_no_download() -> None:
    """Only what comes down is fetched."""
    harness = begun()
    harness.tell(m.ScanResults((seen("mine", LARGE),)))
    assert not harness.wants(e.Fetch) and not stored(harness)


def keeps_local(harness: EngineHarness, text: str) -> None:
    """A person decides for the folder's text in the conflict that is shown."""
    (conflict,) = harness.conflicts()
    assert conflict.local_hash == sha(text)
    harness.tell(m.Resolve(conflict.id, conflict.generation, Resolution.KEEP_LOCAL, text.encode()))


def test_a_refusal_without_the_size_does_not_take_it_away() -> None:
    """The head that a decision replaces is downloaded once it is known what the server can do."""
    harness = EngineHarness()
    known = replace(harness.setup, inline_limit=LIMIT, history=False, blind_resolve=True)
    harness.setup = replace(known, inline_limit=None, run_mode=RunMode.DAEMON)
    harness.restart()
    harness.begin({"a.md": "mine"}, large_upsert("a.md", LARGE, 1, "rev-1"))
    keeps_local(harness, "mine")
    harness.answer(Result.CHANGED)
    harness.shows("a.md", RemoteHead("a.md", sha(LARGE), None, rev="rev-1", size=len(LARGE)))
    later(harness, 1.0)
    harness.saves("a.md", "mine too")
    harness.tell(m.PathScanFinished(harness.take(e.ScanPaths).paths))
    send = harness.take(e.Send)
    keeps_local(harness, "mine too")
    found = RemoteConflict("k1", "a.md", None, sha("mine too"), sha(LARGE), remote_rev="rev-1")
    harness.answers(send, Result.CONFLICT, found=found)
    harness.effects += harness.engine.configure(harness.now, known)
    assert [(transfer.path, transfer.size) for transfer in fetches(harness)] == [("a.md", len(LARGE))]
