"""Conflicts in the engine: ours, another machine's, the server's own; and a person's decision carried out."""

from __future__ import annotations

from agent.core.model import OUT_OF_SCOPE, Choice, Landing, Result, Seen, Verb
from agent.core.stream import ConflictClosed, ConflictOpened
from agent.engine import effects as e
from agent.engine import messages as m
from agent.index.conflicts import Origin, State
from engine.pilot import Pilot, conflict, delete, drain, head, sha, started, upsert


def test_another_machine_s_conflict_is_listed_and_left_alone() -> None:
    """CF8: neither parked, nor closed, nor in the way."""
    pilot = started()
    drain(pilot, ConflictOpened("a.md", "k9", 20, sha("other"), sha("one")))
    (listed,) = pilot.conflicts()
    assert not listed.mine and not listed.parks
    pilot.saves("a.md", "two")
    assert pilot.take(e.Send).parcels[0].operation.hash == sha("two")
    drain(pilot, ConflictClosed("a.md", "k9", 21, sha("one")))
    assert not pilot.conflicts()


def test_an_edit_refused_on_the_server_parks_here() -> None:
    """A conflict opened by an edit on the server parks the path: the head is ours, the other side the refused edit."""
    pilot = started()
    pilot.listed = (conflict("k3", "a.md", "x", "one", "refused"),)
    drain(pilot, ConflictOpened("a.md", "k3", 20, sha("one"), sha("refused"), by_server_edit=True))
    (parked,) = pilot.conflicts()
    assert parked.origin is Origin.SERVER_EDIT and parked.remote_hash == sha("refused")
    assert pilot.index.conflicts.text(sha("refused")) == b"refused"


def test_an_edit_refused_on_the_server_where_nothing_is_selected_parks_nothing() -> None:
    """It is shown, and the list of conflicts is not asked for on its account again and again."""
    pilot = started()
    pilot.tell(m.FilesSeen((Seen("a.md", OUT_OF_SCOPE),)))
    pilot.effects.clear()
    pilot.listed = (conflict("k3", "a.md", "x", "one", "refused"),)
    drain(pilot, ConflictOpened("a.md", "k3", 20, sha("one"), sha("refused"), by_server_edit=True))
    (listed,) = pilot.conflicts()
    assert not listed.parks and not pilot.wants(e.AskConflicts)


def test_a_conflict_the_feed_skipped_is_met_in_the_list() -> None:
    """CF8: an edit refused on the server parks here, another machine's push is listed, both without any event."""
    pilot = started()
    pilot.listed = (conflict("k3", "a.md", "x", "one", "refused"), conflict("k4", "b.md", "x", "other", "y"))
    pilot.tell(m.SyncNow(1))
    pilot.take(e.Look)
    pilot.tell(m.LookEnded())
    pilot.rest()
    server_edit, foreign = pilot.conflicts()
    assert (server_edit.origin, server_edit.path, server_edit.parks) == (Origin.SERVER_EDIT, "a.md", True)
    assert (foreign.origin, foreign.path, foreign.parks) == (Origin.FOREIGN, "b.md", False)
    pilot.listed = ()
    pilot.tell(m.SyncNow(2))
    pilot.take(e.Look)
    pilot.tell(m.LookEnded())
    pilot.rest()
    assert [c.path for c in pilot.conflicts()] == []


def test_another_machines_refused_delete_of_a_file_not_known_yet_is_no_edit_of_the_server() -> None:
    """CF8: taken for one, it would be parked here, and closed over its owner's head."""
    pilot = started()
    pilot.listed = (conflict("k3", "b.md", "old", None, "theirs"),)
    pilot.tell(m.SyncNow(1))
    pilot.take(e.Look)
    pilot.tell(m.LookEnded())
    pilot.rest()
    (listed,) = pilot.conflicts()
    assert (listed.origin, listed.parks) == (Origin.FOREIGN, False)


def test_a_listed_conflict_is_judged_by_the_head_the_server_had_when_it_listed_it() -> None:
    """CF8: another machine's refused push of what was the head here looks, by that old head, like an edit refused on
    the server; it would be parked here, and closed over its owner's head.
    """
    pilot = started()
    pilot.engine._desk.out.conflicts_wanted = True
    pilot.tell(m.TimePassed())
    pilot.take(e.AskConflicts)
    pilot.tell(m.ConflictsArrived((conflict("k3", "a.md", None, "one", "two"),)))
    assert pilot.conflicts() == []
    pilot.feed(upsert("a.md", "two", 20))
    (listed,) = pilot.conflicts()
    assert (listed.origin, listed.parks) == (Origin.FOREIGN, False)


def test_a_listed_conflict_that_may_answer_our_own_push_is_not_asked_about_again_and_again() -> None:
    """Its settling is waited for; the server is not asked for its conflicts without end meanwhile."""
    pilot = started()
    pilot.saves("a.md", "mine")
    pilot.answer(Result.UNCERTAIN)
    pilot.engine._desk.out.conflicts_wanted = True
    pilot.tell(m.TimePassed())
    pilot.take(e.AskConflicts)
    pilot.tell(m.ConflictsArrived((conflict("k3", "a.md", "one", "mine", "theirs"),)))
    assert not pilot.wants(e.AskConflicts)
    assert pilot.conflicts() == []


def test_a_conflict_closed_since_the_list_was_asked_for_is_not_met_again() -> None:
    """The list is older than what was heard meanwhile."""
    pilot = started()
    pilot.engine._desk.out.conflicts_wanted = True
    pilot.tell(m.TimePassed())
    pilot.take(e.AskConflicts)
    drain(
        pilot, ConflictOpened("a.md", "k9", 20, sha("other"), sha("one")), ConflictClosed("a.md", "k9", 21, sha("one"))
    )
    pilot.tell(m.ConflictsArrived((conflict("k9", "a.md", "x", "other", "one"),)))
    assert not pilot.conflicts()


def test_when_the_head_moves_on_a_dispute_beside_it_shows_the_new_head() -> None:
    """What a person decides replaces the head, so it is the head that is shown; the disputed text is kept."""
    pilot = started()
    pilot.listed = (conflict("k3", "a.md", "x", "one", "refused"),)
    drain(pilot, ConflictOpened("a.md", "k3", 20, sha("one"), sha("refused"), by_server_edit=True))
    drain(pilot, upsert("a.md", "decided elsewhere", 30))
    (shown,) = pilot.conflicts()
    assert (shown.origin, shown.remote_hash) == (Origin.OVERTAKEN_EDIT, sha("decided elsewhere"))
    assert pilot.take(e.Stash).content == b"refused"


def test_a_delete_that_overtook_a_refused_edit_can_be_kept() -> None:
    """Its two sides are swapped on the server: closing it must not make the refused edit the head."""
    pilot = started(hub=True)
    refused = conflict("k3", "a.md", "zero", "one", "refused")
    pilot.listed = (refused,)
    drain(pilot, ConflictOpened("a.md", "k3", 20, sha("one"), sha("refused"), by_server_edit=True))
    drain(pilot, delete("a.md", 30))
    (shown,) = pilot.conflicts()
    assert shown.remote_hash is None
    pilot.tell(m.Resolve(shown.id, shown.generation, Choice.KEEP_RAVEN, None))
    pilot.shows("a.md", None, refused)
    assert pilot.take(e.CloseConflict).choice is Choice.KEEP_LOCAL


def parked_pair(**setup: object) -> Pilot:
    """a.md parked: base one, here mine, there theirs, the conflict k1 on the server."""
    pilot = started(**setup)
    pilot.saves("a.md", "mine")
    pilot.answer(Result.CONFLICT, found=conflict("k1", "a.md", "one", "mine", "theirs"))
    assert [c.server_ids for c in pilot.conflicts()] == [("k1",)]
    pilot.effects.clear()
    return pilot


def decide(pilot: Pilot, choice: Choice, text: str | None) -> None:
    """A person decides the one conflict."""
    (parked,) = pilot.conflicts()
    pilot.tell(m.Resolve(parked.id, parked.generation, choice, None if text is None else text.encode()))


def test_a_resolution_reads_the_head_first() -> None:
    """If the head moved since the person looked, the resolution is refused and the conflict shown anew."""
    pilot = parked_pair()
    generation = pilot.conflicts()[0].generation
    decide(pilot, Choice.KEEP_LOCAL, "mine")
    assert not pilot.wants(e.CloseConflict)
    pilot.shows("a.md", head("a.md", "newer", "theirs"), conflict("k1", "a.md", "one", "mine", "theirs"))
    (shown,) = pilot.conflicts()
    assert shown.state is State.OPEN and shown.generation > generation and shown.remote_hash == sha("newer")
    assert not pilot.wants(e.CloseConflict)


def test_keep_local_puts_our_text_there_and_leaves_the_folder() -> None:
    """keep_local: the server's head becomes our text, the folder is not touched, the conflict is closed."""
    pilot = parked_pair()
    decide(pilot, Choice.KEEP_LOCAL, "mine")
    assert pilot.take(e.Stash).content == b"theirs"
    pilot.shows("a.md", head("a.md", "theirs", "one"), conflict("k1", "a.md", "one", "mine", "theirs"))
    assert pilot.take(e.CloseConflict).choice is Choice.KEEP_LOCAL
    pilot.tell(m.CloseAnswered(pilot.conflicts()[0].id))
    pilot.shows("a.md", head("a.md", "mine", "theirs"))
    assert not pilot.conflicts() and pilot.trees("a.md") == (sha("mine"),) * 3 and not pilot.wants(e.Carry)


def test_keep_raven_installs_their_text_expecting_ours() -> None:
    """keep_raven: the folder gets the server's text, the local one goes to the trash with the swap."""
    pilot = parked_pair()
    decide(pilot, Choice.KEEP_RAVEN, None)
    pilot.shows("a.md", head("a.md", "theirs", "one"), conflict("k1", "a.md", "one", "mine", "theirs"))
    assert pilot.take(e.CloseConflict).choice is Choice.KEEP_RAVEN
    pilot.tell(m.CloseAnswered(pilot.conflicts()[0].id))
    pilot.shows("a.md", head("a.md", "theirs", "one"))
    intent, content = next(effect for effect in pilot.effects if isinstance(effect, e.Carry)).jobs[0]
    assert (intent.expected, content) == (sha("mine"), b"theirs")
    pilot.land("theirs")
    assert not pilot.conflicts() and pilot.trees("a.md") == (sha("theirs"),) * 3


def test_an_edit_during_a_resolution_is_parked_again() -> None:
    """The file changed while the decided text was installed: nothing is pushed over what was decided."""
    pilot = parked_pair()
    decide(pilot, Choice.KEEP_RAVEN, None)
    pilot.shows("a.md", head("a.md", "theirs", "one"))
    pilot.land("edited meanwhile", landing=Landing.CHANGED)
    (shown,) = pilot.conflicts()
    assert shown.state is State.OPEN and shown.local_hash == sha("edited meanwhile")
    assert not pilot.wants(e.Send)


def test_a_delete_is_put_where_conflicts_are_wiped_by_it() -> None:
    """Wanted is a delete on a server that forgets: a delete on the current head, which closes the conflicts."""
    pilot = started()
    pilot.saves("a.md", None)
    pilot.tell(m.ApproveDeletes(pilot.engine.held.plan if pilot.engine.held else ""))
    pilot.answer(Result.CONFLICT, found=conflict("k1", "a.md", "one", None, "theirs"))
    pilot.effects.clear()
    decide(pilot, Choice.KEEP_LOCAL, None)
    pilot.shows("a.md", head("a.md", "theirs", "one"), conflict("k1", "a.md", "one", None, "theirs"))
    parcel = pilot.take(e.Send).parcels[0]
    assert parcel.operation.verb is Verb.DELETE and parcel.operation.base == sha("theirs") and parcel.given == b""


def test_an_older_generation_is_refused() -> None:
    """A decision made on texts that have moved changes nothing."""
    pilot = parked_pair()
    (before,) = pilot.conflicts()
    pilot.saves("a.md", "mine, again")
    (after,) = pilot.conflicts()
    assert after.generation == before.generation + 1
    pilot.tell(m.Resolve(before.id, before.generation, Choice.KEEP_LOCAL, b"mine"))
    assert pilot.conflicts()[0].state is State.OPEN and not pilot.wants(e.AskHead)


def test_further_edits_of_a_parked_file_are_sent_nowhere() -> None:
    """A parked path is kept still; everything else goes on."""
    pilot = parked_pair()
    pilot.saves("a.md", "mine, again")
    assert not pilot.wants(e.Send)
    pilot.saves("b.md", "other file")
    assert [p.operation.path for p in pilot.take(e.Send).parcels] == ["b.md"]


def test_a_conflict_whose_sides_became_equal_is_closed_at_once() -> None:
    """The user makes the file equal to the server's: there is nothing left to decide."""
    pilot = parked_pair()
    pilot.saves("a.md", "theirs")
    assert pilot.conflicts()[0].state is State.RESOLVING
    pilot.shows("a.md", head("a.md", "theirs", "one"))
    assert not pilot.conflicts()


def test_a_conflict_resolved_on_the_server_decides_the_text_it_showed() -> None:
    """Somebody resolves ours with the server's text while the folder still holds the text that was judged."""
    pilot = parked_pair()
    drain(pilot, ConflictClosed("a.md", "k1", 30, sha("theirs")), upsert("a.md", "theirs", 31, "resolve-k1"))
    assert not pilot.conflicts()
    pilot.land("theirs")
    assert pilot.trees("a.md") == (sha("theirs"),) * 3
