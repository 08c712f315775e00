"""Conflicts in the engine: ours, another machine's, the server's own; and a person's decision carried out."""

from __future__ import annotations

from agent.core.conflict import ConflictOrigin, ConflictState
from agent.core.events import ConflictClosed, ConflictOpened
from agent.core.model import OUT_OF_SCOPE, ApplyOutcome, Mode, Observation, Resolution
from agent.core.remote_records import Result, Verb
from agent.engine import effects as e
from agent.engine import messages as m
from engine.harness import EngineHarness, conflict, delete, drain, head, seen, sha, started, text_of, upsert


def test_another_machine_s_conflict_is_listed_and_left_alone() -> None:
    """CF8: neither parked, nor closed, nor in the way."""
    harness = started()
    drain(harness, ConflictOpened("a.md", "k9", 20, sha("other"), sha("one")))
    (listed,) = harness.conflicts()
    assert not listed.mine and not listed.parks
    harness.saves("a.md", "two")
    assert harness.take(e.Send).parcels[0].operation.hash == sha("two")
    drain(harness, ConflictClosed("a.md", "k9", 21, sha("one")))
    assert not harness.conflicts()


def test_an_edit_refused_on_the_server_parks_here() -> None:
    """A conflict opened by an edit on the server parks the path: the head is ours, the other side the refused edit."""
    harness = started()
    harness.listed = (conflict("k3", "a.md", "x", "one", "refused"),)
    drain(harness, ConflictOpened("a.md", "k3", 20, sha("one"), sha("refused"), by_server_edit=True))
    (parked,) = harness.conflicts()
    assert parked.origin is ConflictOrigin.SERVER_EDIT and parked.remote_hash == sha("refused")
    assert harness.index.texts.get(sha("refused")) == b"refused"


def test_a_conflict_on_an_unselected_path_parks_nothing() -> None:
    """It is shown, and the list of conflicts is not asked for on its account again and again."""
    harness = started()
    harness.tell(m.ScanResults((Observation("a.md", OUT_OF_SCOPE),)))
    harness.effects.clear()
    harness.listed = (conflict("k3", "a.md", "x", "one", "refused"),)
    drain(harness, ConflictOpened("a.md", "k3", 20, sha("one"), sha("refused"), by_server_edit=True))
    (listed,) = harness.conflicts()
    assert not listed.parks and not harness.wants(e.FetchConflicts)


def test_a_conflict_the_feed_skipped_is_met_in_the_list() -> None:
    """CF8: an edit refused on the server parks here, another machine's push is listed, both without any event."""
    harness = started()
    harness.listed = (conflict("k3", "a.md", "x", "one", "refused"), conflict("k4", "b.md", "x", "other", "y"))
    harness.tell(m.SyncNow(1))
    harness.take(e.ScanFolder)
    harness.tell(m.ScanFinished())
    harness.rest()
    server_edit, foreign = harness.conflicts()
    assert (server_edit.origin, server_edit.path, server_edit.parks) == (ConflictOrigin.SERVER_EDIT, "a.md", True)
    assert (foreign.origin, foreign.path, foreign.parks) == (ConflictOrigin.FOREIGN, "b.md", False)
    harness.listed = ()
    harness.tell(m.SyncNow(2))
    harness.take(e.ScanFolder)
    harness.tell(m.ScanFinished())
    harness.rest()
    assert [c.path for c in harness.conflicts()] == []


def test_another_machines_refused_delete_is_no_server_edit() -> None:
    """CF8: taken for one, it would be parked here, and closed over its owner's head."""
    harness = started()
    harness.listed = (conflict("k3", "b.md", "old", None, "theirs"),)
    harness.tell(m.SyncNow(1))
    harness.take(e.ScanFolder)
    harness.tell(m.ScanFinished())
    harness.rest()
    (listed,) = harness.conflicts()
    assert (listed.origin, listed.parks) == (ConflictOrigin.FOREIGN, False)


def test_a_listed_conflict_is_judged_by_the_head_of_its_listing() -> None:
    """CF8: another machine's refused push of what was the head here looks, by that old head, like an edit refused on
    the server; it would be parked here, and closed over its owner's head.
    """
    harness = started()
    harness.engine._ctx.in_flight.conflicts_wanted = True
    harness.tell(m.TimePassed())
    harness.take(e.FetchConflicts)
    harness.tell(m.ConflictsArrived((conflict("k3", "a.md", None, "one", "two"),)))
    assert harness.conflicts() == []
    harness.feed(upsert("a.md", "two", 20))
    (listed,) = harness.conflicts()
    assert (listed.origin, listed.parks) == (ConflictOrigin.FOREIGN, False)


def test_a_listed_conflict_of_our_own_push_is_asked_about_once() -> None:
    """Its settling is waited for; the server is not asked for its conflicts without end meanwhile."""
    harness = started()
    harness.saves("a.md", "mine")
    harness.answer(Result.UNCERTAIN)
    harness.engine._ctx.in_flight.conflicts_wanted = True
    harness.tell(m.TimePassed())
    harness.take(e.FetchConflicts)
    harness.tell(m.ConflictsArrived((conflict("k3", "a.md", "one", "mine", "theirs"),)))
    assert not harness.wants(e.FetchConflicts)
    assert harness.conflicts() == []


def test_a_conflict_closed_since_the_listing_is_not_reopened() -> None:
    """The list is older than what was heard meanwhile."""
    harness = started()
    harness.engine._ctx.in_flight.conflicts_wanted = True
    harness.tell(m.TimePassed())
    harness.take(e.FetchConflicts)
    drain(
        harness,
        ConflictOpened("a.md", "k9", 20, sha("other"), sha("one")),
        ConflictClosed("a.md", "k9", 21, sha("one")),
    )
    harness.tell(m.ConflictsArrived((conflict("k9", "a.md", "x", "other", "one"),)))
    assert not harness.conflicts()


def test_a_moved_head_is_received_before_it_is_shown() -> None:
    """FC1: the folder receives the new head first; then it is shown beside the refused edit, on the edit's own base."""
    harness = started()
    harness.listed = (conflict("k3", "a.md", "zero", "one", "refused"),)
    drain(harness, ConflictOpened("a.md", "k3", 20, sha("one"), sha("refused"), by_server_edit=True))
    drain(harness, upsert("a.md", "newer", 30))
    (waiting,) = harness.conflicts()
    assert not waiting.parks and waiting.is_waiting
    harness.land("newer")
    (shown,) = harness.conflicts()
    assert shown.parks and shown.generation == 2
    sides = (shown.base_hash, shown.local_hash, shown.remote_hash, shown.head_hash)
    assert sides == (sha("zero"), sha("newer"), sha("refused"), sha("newer"))


def test_a_head_never_seen_is_not_replaced() -> None:
    """FC1: another machine pushed v2 while we held v1, and a page edit on v1 was refused. v2 comes down first."""
    harness = started()
    harness.listed = (conflict("k3", "a.md", "one", "two", "page"),)
    drain(
        harness,
        upsert("a.md", "two", 20),
        ConflictOpened("a.md", "k3", 21, sha("two"), sha("page"), by_server_edit=True),
    )
    (waiting,) = harness.conflicts()
    assert not waiting.parks
    harness.tell(m.Resolve(waiting.id, waiting.generation, Resolution.KEEP_LOCAL, b"one"))
    assert harness.conflicts()[0].state is ConflictState.OPEN
    harness.land("two")
    (shown,) = harness.conflicts()
    assert (shown.base_hash, shown.local_hash, shown.remote_hash) == (sha("one"), sha("two"), sha("page"))
    decide(harness, Resolution.KEEP_RAVEN, None)
    harness.shows("a.md", head("a.md", "two", "one"), conflict("k3", "a.md", "one", "two", "page"))
    assert harness.take(e.CloseConflict).choice is Resolution.KEEP_RAVEN


def test_an_own_edit_against_the_head_comes_first() -> None:
    """FC1: local edit, unseen head and refused page edit: the head is shown first, the page edit afterwards."""
    harness = started()
    harness.tell(m.Pause(float("inf")))
    harness.saves("a.md", "mine")
    harness.listed = (conflict("k3", "a.md", "one", "two", "page"),)
    drain(
        harness,
        upsert("a.md", "two", 20),
        ConflictOpened("a.md", "k3", 21, sha("two"), sha("page"), by_server_edit=True),
    )
    waiting, shown = harness.conflicts()
    assert not waiting.parks and waiting.remote_hash == sha("page")
    assert shown.parks and (shown.local_hash, shown.remote_hash) == (sha("mine"), sha("two"))


def test_a_delete_that_overtook_a_refused_edit_can_be_kept() -> None:
    """Its two sides are swapped on the server: closing it must not make the refused edit the head."""
    harness = started(hub=True)
    refused = conflict("k3", "a.md", "zero", "one", "refused")
    harness.listed = (refused,)
    drain(harness, ConflictOpened("a.md", "k3", 20, sha("one"), sha("refused"), by_server_edit=True))
    drain(harness, delete("a.md", 30))
    harness.land(None)
    (shown,) = harness.conflicts()
    assert shown.parks and (shown.local_hash, shown.remote_hash) == (None, sha("refused"))
    harness.tell(m.Resolve(shown.id, shown.generation, Resolution.KEEP_LOCAL, None))
    harness.shows("a.md", None, refused)
    assert harness.take(e.CloseConflict).choice is Resolution.KEEP_LOCAL


def parked_pair(**setup: object) -> EngineHarness:
    """a.md parked: base one, here mine, there theirs, the conflict k1 on the server."""
    harness = started(**setup)
    harness.saves("a.md", "mine")
    harness.answer(Result.CONFLICT, found=conflict("k1", "a.md", "one", "mine", "theirs"))
    assert [c.server_ids for c in harness.conflicts()] == [("k1",)]
    harness.effects.clear()
    return harness


def decide(harness: EngineHarness, choice: Resolution, text: str | None) -> None:
    """A person decides the one conflict."""
    (parked,) = harness.conflicts()
    harness.tell(m.Resolve(parked.id, parked.generation, choice, None if text is None else text.encode()))


def test_a_resolution_reads_the_head_first() -> None:
    """If the head moved since the person looked, the resolution is refused and the conflict shown anew."""
    harness = parked_pair()
    generation = harness.conflicts()[0].generation
    decide(harness, Resolution.KEEP_LOCAL, "mine")
    assert not harness.wants(e.CloseConflict)
    harness.shows("a.md", head("a.md", "newer", "theirs"), conflict("k1", "a.md", "one", "mine", "theirs"))
    (shown,) = harness.conflicts()
    assert shown.state is ConflictState.OPEN and shown.generation > generation and shown.remote_hash == sha("newer")
    assert not harness.wants(e.CloseConflict)


def test_keep_local_puts_our_text_there_and_leaves_the_folder() -> None:
    """keep_local: the server's head becomes our text, the folder is not touched, the conflict is closed."""
    harness = parked_pair()
    decide(harness, Resolution.KEEP_LOCAL, "mine")
    assert harness.take(e.TextForTrash).content == b"theirs"
    harness.shows("a.md", head("a.md", "theirs", "one"), conflict("k1", "a.md", "one", "mine", "theirs"))
    assert harness.take(e.CloseConflict).choice is Resolution.KEEP_LOCAL
    harness.closes(harness.conflicts()[0].id)
    harness.shows("a.md", head("a.md", "mine", "theirs"))
    assert not harness.conflicts() and harness.trees("a.md") == (sha("mine"),) * 3 and not harness.wants(e.ApplyChanges)


def test_keep_raven_installs_their_text_expecting_ours() -> None:
    """keep_raven: the folder gets the server's text, the local one goes to the trash with the swap."""
    harness = parked_pair()
    decide(harness, Resolution.KEEP_RAVEN, None)
    harness.shows("a.md", head("a.md", "theirs", "one"), conflict("k1", "a.md", "one", "mine", "theirs"))
    assert harness.take(e.CloseConflict).choice is Resolution.KEEP_RAVEN
    harness.closes(harness.conflicts()[0].id)
    harness.shows("a.md", head("a.md", "theirs", "one"))
    intent, supply = next(effect for effect in harness.effects if isinstance(effect, e.ApplyChanges)).jobs[0]
    assert (intent.expected, text_of(supply)) == (sha("mine"), b"theirs")
    harness.land("theirs")
    assert not harness.conflicts() and harness.trees("a.md") == (sha("theirs"),) * 3


def test_an_edit_during_a_resolution_is_parked_again() -> None:
    """The file changed while the decided text was installed: nothing is pushed over what was decided."""
    harness = parked_pair()
    decide(harness, Resolution.KEEP_RAVEN, None)
    harness.shows("a.md", head("a.md", "theirs", "one"))
    harness.land("edited meanwhile", landing=ApplyOutcome.CHANGED)
    (shown,) = harness.conflicts()
    assert shown.state is ConflictState.OPEN and shown.local_hash == sha("edited meanwhile")
    assert not harness.wants(e.Send)


def test_an_edit_of_the_text_that_is_kept_is_an_edit_of_the_head() -> None:
    """keep_local, and the edit is met together with the end: nothing is installed, and the edit is sent."""
    harness = parked_pair()
    decide(harness, Resolution.KEEP_LOCAL, "mine")
    harness.shows("a.md", head("a.md", "theirs", "one"), conflict("k1", "a.md", "one", "mine", "theirs"))
    harness.take(e.CloseConflict)
    harness.closes(harness.conflicts()[0].id)
    harness.take(e.FetchHeadsAndConflicts)
    edited = m.ScanResults((seen("a.md", "mine and more"),))
    harness.tell(edited, m.HeadArrived("a.md", head("a.md", "mine", "theirs"), ()))
    assert not harness.conflicts() and not harness.wants(e.ApplyChanges)
    (parcel,) = harness.take(e.Send).parcels
    assert (parcel.operation.hash, parcel.operation.base) == (sha("mine and more"), sha("mine"))


def test_a_delete_is_put_where_conflicts_are_wiped_by_it() -> None:
    """Wanted is a delete on a server that forgets: a delete on the current head, which closes the conflicts."""
    harness = started()
    harness.saves("a.md", None)
    harness.tell(m.ApproveDeletes(harness.engine.held.plan if harness.engine.held else ""))
    harness.answer(Result.CONFLICT, found=conflict("k1", "a.md", "one", None, "theirs"))
    harness.effects.clear()
    decide(harness, Resolution.KEEP_LOCAL, None)
    harness.shows("a.md", head("a.md", "theirs", "one"), conflict("k1", "a.md", "one", None, "theirs"))
    parcel = harness.take(e.Send).parcels[0]
    assert (
        parcel.operation.verb is Verb.DELETE
        and parcel.operation.base == sha("theirs")
        and parcel.content_override == b""
    )


def test_an_older_generation_is_refused() -> None:
    """A decision made on texts that have moved changes nothing."""
    harness = parked_pair()
    (before,) = harness.conflicts()
    harness.saves("a.md", "mine, again")
    (after,) = harness.conflicts()
    assert after.generation == before.generation + 1
    harness.tell(m.Resolve(before.id, before.generation, Resolution.KEEP_LOCAL, b"mine"))
    assert harness.conflicts()[0].state is ConflictState.OPEN and not harness.wants(e.FetchHead)


def test_further_edits_of_a_parked_file_are_sent_nowhere() -> None:
    """A parked path is kept still; everything else goes on."""
    harness = parked_pair()
    harness.saves("a.md", "mine, again")
    assert not harness.wants(e.Send)
    harness.saves("b.md", "other file")
    assert [p.operation.path for p in harness.take(e.Send).parcels] == ["b.md"]


def test_a_conflict_whose_sides_became_equal_is_closed_at_once() -> None:
    """The user makes the file equal to the server's: there is nothing left to decide."""
    harness = parked_pair()
    harness.saves("a.md", "theirs")
    assert harness.conflicts()[0].state is ConflictState.RESOLVING
    harness.shows("a.md", head("a.md", "theirs", "one"))
    assert not harness.conflicts()


def test_a_resolution_on_the_server_covers_the_text_it_showed() -> None:
    """Somebody resolves ours with the server's text while the folder still holds the text that was judged."""
    harness = parked_pair()
    drain(harness, ConflictClosed("a.md", "k1", 30, sha("theirs")), upsert("a.md", "theirs", 31, "resolve-k1"))
    assert not harness.conflicts()
    harness.land("theirs")
    assert harness.trees("a.md") == (sha("theirs"),) * 3


def lost_update() -> EngineHarness:
    """Our push "mine" replaced "theirs" unseen; no conflict of the server holds "theirs"."""
    harness = started()
    harness.saves("a.md", "mine")
    ids = harness.answer(Result.APPLIED)
    drain(harness, upsert("a.md", "mine", 22, ids[0]))
    drain(harness, upsert("a.md", "theirs", 21))
    return harness


def test_a_refused_resolution_stays_the_person_s_decision() -> None:
    """Another machine writes the decided text first: the folder still receives it, and its own text is not sent."""
    harness = lost_update()
    (parked,) = harness.conflicts()
    decide(harness, Resolution.KEEP_RAVEN, None)
    harness.shows("a.md", head("a.md", "mine", "theirs"))
    refused = conflict("k7", "a.md", "mine", "theirs", "theirs")
    harness.answer(Result.CONFLICT, found=refused)
    (kept,) = harness.conflicts()
    assert (kept.id, kept.state, kept.server_ids) == (parked.id, ConflictState.RESOLVING, ("k7",))
    assert harness.trees("a.md") == (sha("mine"), sha("mine"), sha("theirs"))
    harness.shows("a.md", head("a.md", "theirs", "mine"), refused)
    assert harness.take(e.CloseConflict).choice is Resolution.KEEP_RAVEN
    harness.closes(kept.id)
    harness.shows("a.md", head("a.md", "theirs", "mine"))
    harness.land("theirs")
    assert not harness.conflicts() and harness.trees("a.md") == (sha("theirs"),) * 3


def test_a_refused_resolution_is_shown_with_the_new_head() -> None:
    """Another text became the head while the decision was sent: the same record is shown again, none beside it."""
    harness = lost_update()
    (parked,) = harness.conflicts()
    decide(harness, Resolution.KEEP_RAVEN, None)
    harness.shows("a.md", head("a.md", "mine", "theirs"))
    refused = conflict("k7", "a.md", "mine", "theirs", "newer")
    harness.answer(Result.CONFLICT, found=refused)
    (kept,) = harness.conflicts()
    assert (kept.id, kept.server_ids) == (parked.id, ("k7",)) and not harness.wants(e.CloseConflict)
    assert kept.state is ConflictState.OPEN and kept.is_waiting
    harness.land("newer")
    (shown,) = harness.conflicts()
    assert shown.parks and (shown.local_hash, shown.remote_hash) == (sha("newer"), sha("theirs"))


def test_a_one_way_folder_shows_a_refused_server_edit() -> None:
    """The folder never receives the head, so it is shown beside the edit; the decision leaves the folder alone."""
    harness = started(mode=Mode.LOCAL_TO_CLOUD)
    refused = conflict("k3", "a.md", "one", "two", "page")
    harness.listed = (refused,)
    drain(
        harness,
        upsert("a.md", "two", 20),
        ConflictOpened("a.md", "k3", 21, sha("two"), sha("page"), by_server_edit=True),
    )
    (shown,) = harness.conflicts()
    assert shown.parks
    assert (shown.local_hash, shown.remote_hash, shown.head_hash) == (sha("two"), sha("page"), sha("two"))
    decide(harness, Resolution.KEEP_RAVEN, None)
    harness.shows("a.md", head("a.md", "two", "one"), refused)
    assert harness.take(e.CloseConflict).choice is Resolution.KEEP_RAVEN
    harness.closes(shown.id)
    harness.shows("a.md", head("a.md", "page", "two"))
    assert not harness.conflicts() and not harness.wants(e.ApplyChanges) and not harness.wants(e.Send)
    assert harness.trees("a.md") == (sha("one"), sha("one"), sha("page"))


def test_a_refused_close_is_tried_again_after_a_delay() -> None:
    """A server that refuses every close is not asked in a loop."""
    harness = parked_pair()
    decide(harness, Resolution.KEEP_LOCAL, "mine")
    harness.shows("a.md", head("a.md", "theirs", "one"), conflict("k1", "a.md", "one", "mine", "theirs"))
    harness.take(e.CloseConflict)
    harness.tell(m.ConflictCloseAnswered(harness.conflicts()[0].id, stale=True))
    harness.rest()
    assert not harness.wants(e.FetchHeadsAndConflicts)
    harness.now += 10
    harness.tell(m.TimePassed())
    assert harness.wants(e.FetchHeadsAndConflicts)
