"""What the port promises, held by the adapter on every server."""

from __future__ import annotations

import hashlib

import pytest
from msgspec import structs

from agent.core.errors import ProblemKind, RemoteError
from agent.core.events import ConflictClosed, ConflictOpened, ControlEvent, ControlSignal, Delete, Upsert
from agent.core.model import EMPTY_HASH, SENTINEL_BASE, Mode, Resolution
from agent.core.remote_records import Result
from remotes.fixtures import World, edit, removal, sha
from strict_raven.faults import too_large

UNKNOWN = "99999999-9999-4999-8999-999999999999"


def failure(error: pytest.ExceptionInfo[RemoteError]) -> ProblemKind:
    """The kind of problem a call ended with."""
    return error.value.problem.kind


class TestAccount:
    def test_only_the_hub_states_capabilities_with_each_heartbeat(self, world: World) -> None:
        """A machine that has not spoken yet knows none; afterwards the server's word counts."""
        fresh = world.adapter()
        assert not fresh.capabilities.item_results
        told = fresh.heartbeat(world.connector)
        assert told.connector_id == world.connector
        can = fresh.capabilities
        flags = (can.long_poll, can.ordered_feed, can.item_results, can.expected_hash, can.keeps_history)
        assert {*flags, can.latest_only, can.connector_id} == {world.hub}

    def test_a_forgotten_connector_is_not_found(self, world: World) -> None:
        """So that the agent registers again."""
        with pytest.raises(RemoteError) as error:
            world.remote.heartbeat(UNKNOWN)
        assert failure(error) is ProblemKind.NOT_FOUND

    def test_sources_are_listed_newest_first_with_their_patterns(self, world: World) -> None:
        """Name, mode and patterns come back as they were given."""
        world.clock.now += 1
        made = world.remote.create_source("work", Mode.IMPORT_ONLY, world.connector, ["**/*.txt"], ["tmp/**"])
        newest, first = world.remote.sources()
        assert newest == made
        assert (made.name, made.mode, made.include, made.exclude) == (
            "work",
            Mode.IMPORT_ONLY,
            ("**/*.txt",),
            ("tmp/**",),
        )
        assert (first.id, first.connector_id, first.paused) == (world.source, world.connector, False)

    def test_an_unknown_connector_cannot_own_a_source(self, world: World) -> None:
        """The server's refusal is a bad request with its own words."""
        with pytest.raises(RemoteError, match="Invalid connectorId") as error:
            world.remote.create_source("x", Mode.BIDIRECTIONAL, UNKNOWN, [], [])
        assert failure(error) is ProblemKind.BAD_REQUEST

    def test_a_paused_source_takes_no_push_but_its_feed_is_read(self, world: World) -> None:
        """Pausing and resuming are told in the feed; the refused operation was not sent."""
        world.remote.pause(world.source)
        answer = world.push(edit("a.md", "A"))
        assert [outcome.result for outcome in answer.outcomes] == [Result.NOT_SENT]
        assert answer.problem is not None
        assert answer.problem.kind is ProblemKind.PAUSED
        assert world.remote.sources()[0].paused
        world.remote.resume(world.source)
        events, _ = world.drain()
        assert [event.signal for event in events if isinstance(event, ControlEvent)] == [
            ControlSignal.PAUSED,
            ControlSignal.RESUMED,
        ]
        assert world.results(edit("a.md", "A")) == [Result.APPLIED]

    def test_an_unknown_source_is_not_found_everywhere(self, world: World) -> None:
        """No call takes an unknown source for an empty one."""
        calls = [
            lambda: world.remote.pause(UNKNOWN),
            lambda: world.remote.pull(UNKNOWN, None, 0, world.clock.now),
            lambda: list(world.remote.listing(UNKNOWN)),
            lambda: world.remote.head(UNKNOWN, "a.md"),
            lambda: world.remote.history(UNKNOWN, "a.md"),
            lambda: list(world.remote.conflicts(UNKNOWN)),
            lambda: world.remote.resolve(UNKNOWN, UNKNOWN, Resolution.KEEP_RAVEN, None, None),
        ]
        for call in calls:
            with pytest.raises(RemoteError) as error:
                call()
            assert failure(error) is ProblemKind.NOT_FOUND
        answer = world.remote.push(UNKNOWN, world.connector, [edit("a.md", "A")])
        assert answer.outcomes[0].result is Result.NOT_SENT
        assert answer.problem is not None
        assert answer.problem.kind is ProblemKind.NOT_FOUND


class TestFeed:
    def test_own_pushes_come_back_with_their_ids_and_texts(self, world: World) -> None:
        """An echo is known by its operation id."""
        created, deleted = edit("a.md", "A ü"), removal("a.md", "A ü")
        world.results(created)
        (upsert,), state = world.drain()
        world.results(deleted)
        (delete,), _ = world.drain(state)
        assert isinstance(upsert, Upsert)
        assert (upsert.path, upsert.hash, upsert.content) == ("a.md", sha("A ü"), "A ü".encode())
        assert upsert.operation_id == created.operation.id
        assert isinstance(delete, Delete)
        assert (delete.path, delete.operation_id) == ("a.md", deleted.operation.id)
        assert delete.position > upsert.position

    def test_reading_goes_on_where_the_state_says(self, world: World) -> None:
        """Nothing is told twice in order, and a kept state still works in another process."""
        world.results(edit("a.md", "A"))
        _, state = world.drain()
        world.results(edit("b.md", "B"))
        events, _ = world.drain(state, world.adapter())
        assert [event.path for event in events if isinstance(event, Upsert)] == ["b.md"]

    def test_a_page_asked_for_twice_is_told_twice(self, world: World) -> None:
        """PR1: the state moves only when the caller keeps the new one."""
        world.results(edit("a.md", "A"))
        first = world.remote.pull(world.source, None, 0, world.clock.now)
        again = world.remote.pull(world.source, None, 0, world.clock.now)
        assert first == again

    def test_a_long_feed_comes_in_pages_until_there_is_no_more(self, world: World) -> None:
        """1,200 events, each once and in order."""
        for start in range(0, 1200, 100):
            assert set(world.results(*(edit(f"{n:04}.md", str(n)) for n in range(start, start + 100)))) == {
                Result.APPLIED
            }
        events, _ = world.drain()
        assert [event.path for event in events if isinstance(event, Upsert)] == [f"{n:04}.md" for n in range(1200)]
        assert len({event.position for event in events}) == 1200

    def test_a_refused_edit_on_the_server_is_told_as_such(self, world: World) -> None:
        """Its roles are swapped: local is the server's head."""
        world.results(edit("a.md", "A1"))
        world.results(edit("a.md", "A2", "A1"))
        world.edit_on_server("a.md", "A3", "A1")
        opened = [event for event in world.drain()[0] if isinstance(event, ConflictOpened)]
        assert [(event.by_server_edit, event.local_hash, event.remote_hash) for event in opened] == [
            (True, sha("A2"), sha("A3"))
        ]

    def test_a_refused_delete_is_told_without_a_local_text(self, world: World) -> None:
        """A delete is not an edit to empty text."""
        world.results(edit("a.md", "A1"))
        world.results(edit("a.md", "A2", "A1"))
        world.results(removal("a.md", "A1"))
        opened = [event for event in world.drain()[0] if isinstance(event, ConflictOpened)]
        assert [(event.by_server_edit, event.local_hash, event.remote_hash) for event in opened] == [
            (False, None, sha("A2"))
        ]

    def test_edits_made_on_the_server_are_told(self, world: World) -> None:
        """They are upserts by a foreign operation."""
        world.results(edit("a.md", "A1"))
        world.edit_on_server("a.md", "A2", "A1")
        last = world.drain()[0][-1]
        assert isinstance(last, Upsert)
        assert (last.content, (last.operation_id or "")[:6]) == (b"A2", "raven-")

    def test_a_state_that_cannot_be_read_starts_over(self, world: World) -> None:
        """Telling an event twice is harmless; leaving one out is not."""
        world.results(edit("a.md", "A"))
        assert len(world.drain("not a state")[0]) == 1
        assert len(world.drain('{"cursor": "x"}')[0]) == 1


class TestPush:
    def test_create_change_and_delete_are_applied(self, world: World) -> None:
        """The three ordinary outcomes."""
        assert world.results(edit("a.md", "A1"), edit("b.txt", "B")) == [Result.APPLIED] * 2
        assert world.results(edit("a.md", "A2", "A1"), removal("b.txt", "B")) == [Result.APPLIED] * 2
        assert world.files() == {"a.md": sha("A2")}

    def test_nothing_to_send_sends_nothing(self, world: World) -> None:
        """An empty batch has no outcomes and no problem."""
        assert world.push().outcomes == ()

    def test_content_types_follow_the_ending(self, world: World) -> None:
        """Markdown or plain text."""
        world.results(edit("a.md", "A"), edit("b.txt", "B"), edit("C.MARKDOWN", "C"))
        types = {row["relativePath"]: row["contentType"] for row in world.raw("sources/files")}
        assert types == {"a.md": "text/markdown", "b.txt": "text/plain", "C.MARKDOWN": "text/markdown"}

    def test_a_new_file_never_overwrites_one_the_server_has(self, world: World) -> None:
        """A missing base means "must not exist": the outcome is a conflict without a base, with both texts."""
        world.results(edit("a.md", "theirs"))
        outcome = world.only(edit("a.md", "ours"))
        assert outcome.result is Result.CONFLICT
        found = outcome.conflict
        assert found is not None
        assert (found.path, found.base_hash) == ("a.md", None)
        assert (found.local_text, found.remote_text) == (b"ours", b"theirs")
        assert (found.local_hash, found.remote_hash) == (sha("ours"), sha("theirs"))
        assert world.text("a.md") == "theirs"

    def test_a_stale_edit_is_a_conflict_and_the_others_apply(self, world: World) -> None:
        """One listing tells which of a mixed batch was refused."""
        world.results(edit("a.md", "A1"), edit("b.md", "B1"))
        world.results(edit("a.md", "A2", "A1"))
        batch = [edit("a.md", "A3", "A1"), edit("b.md", "B2", "B1"), edit("c.md", "C")]
        assert world.results(*batch) == [Result.CONFLICT, Result.APPLIED, Result.APPLIED]
        assert [(conflict.path, conflict.base_hash) for conflict in list(world.remote.conflicts(world.source))] == [
            ("a.md", sha("A1"))
        ]

    def test_a_stale_delete_is_a_conflict_that_wants_no_file(self, world: World) -> None:
        """Its local side is "no such file", not empty text."""
        world.results(edit("a.md", "A1"))
        world.results(edit("a.md", "A2", "A1"))
        outcome = world.only(removal("a.md", "A1"))
        assert outcome.result is Result.CONFLICT
        assert outcome.conflict is not None
        assert (outcome.conflict.local_hash, outcome.conflict.remote_text) == (None, b"A2")
        assert world.text("a.md") == "A2"

    def test_a_refused_delete_is_listed_without_a_local_text(self, world: World) -> None:
        """So that a lost answer can be settled by it: a delete's own hash is "no such file"."""
        world.results(edit("a.md", "A1"))
        world.results(edit("a.md", "A2", "A1"))
        world.results(removal("a.md", "A1"))
        assert [(c.local_hash, c.local_text) for c in list(world.remote.conflicts(world.source))] == [(None, None)]

    def test_a_refused_edit_to_empty_text_keeps_its_empty_text(self, world: World) -> None:
        """The outcome knows what the listing cannot tell."""
        world.results(edit("a.md", "A1"))
        world.results(edit("a.md", "A2", "A1"))
        found = world.only(edit("a.md", "", "A1")).conflict
        assert found is not None
        assert (found.local_hash, found.local_text) == (EMPTY_HASH, b"")

    def test_two_operations_on_one_path_never_share_a_request(self, world: World) -> None:
        """The second is sent when the first has been answered."""
        batch = [edit("a.md", "A1"), edit("b.md", "B"), edit("a.md", "A2", "A1")]
        assert world.results(*batch) == [Result.APPLIED] * 3
        assert world.text("a.md") == "A2"
        assert [body.count(b'"a.md"') for body in world.batches] == [1, 1]

    def test_more_than_a_hundred_items_are_sent_in_several_requests(self, world: World) -> None:
        """101 items in one request would be refused as a whole."""
        assert world.results(*(edit(f"{n}.md", str(n)) for n in range(250))) == [Result.APPLIED] * 250

    def test_many_large_files_are_split_below_the_body_limit(self, world: World) -> None:
        """PR7: forty files of 60 kB go in several requests."""
        assert world.results(*(edit(f"{n}.md", "x" * 60_000) for n in range(40))) == [Result.APPLIED] * 40

    def test_a_file_too_large_alone_is_set_aside_with_the_limit(self, world: World) -> None:
        """PR7: the others go through, and a file of exactly the limit is taken."""
        outcome = world.only(edit("big.md", "x" * 1_100_000))
        assert (outcome.result, outcome.limit is not None) == (Result.TOO_LARGE, True)
        assert outcome.limit is not None
        assert world.results(edit("big.md", "x" * outcome.limit)) == [Result.APPLIED]
        assert world.results(edit("bag.md", "x" * (outcome.limit + 10)), edit("b.md", "B")) == [
            Result.TOO_LARGE,
            Result.APPLIED,
        ]

    def test_escapes_count_towards_the_limit(self, world: World) -> None:
        """600,000 line ends are 1.2 MB on the wire."""
        assert world.only(edit("lines.md", "\n" * 600_000)).result is Result.TOO_LARGE

    def test_a_gateway_with_a_smaller_limit_is_learned(self, world: World) -> None:
        """PR7: a 413 splits, and the next requests are smaller from the start."""
        world.faults.inject(too_large(), on="push-batch")
        assert world.results(*(edit(f"{n}.md", "x" * 10_000) for n in range(90))) == [Result.APPLIED] * 90
        refused = len(world.batches.pop(0))
        assert world.results(*(edit(f"b{n}.md", "x" * 10_000) for n in range(90))) == [Result.APPLIED] * 90
        assert max(len(body) for body in world.batches) <= refused // 2

    def test_a_file_refused_for_size_is_sent_when_given_again(self, world: World) -> None:
        """PR7: what is set aside can be retried."""
        world.faults.inject(too_large(), on="push-batch")
        refused = world.only(edit("a.md", "abc"))
        assert (refused.result, refused.limit) == (Result.TOO_LARGE, 2)
        assert world.only(edit("a.md", "abc")).result is Result.APPLIED

    def test_one_bad_item_of_a_hundred_is_refused_alone(self, world: World) -> None:
        """PR9: 99 are on the server, one is rejected with the server's reason."""
        batch = [edit(f"{n:02}.md", f"text {n}") for n in range(100)]
        batch[37] = edit("37.md", "a\0b")
        answer = world.push(*batch)
        outcomes = {outcome.operation_id: outcome for outcome in answer.outcomes}
        assert len(outcomes) == 100
        poison = outcomes.pop(batch[37].operation.id)
        assert poison.result is Result.REJECTED
        assert poison.detail
        assert {outcome.result for outcome in outcomes.values()} <= {Result.APPLIED, Result.UNCERTAIN}
        assert answer.problem is None
        assert len(world.files()) == 99

    def test_what_no_server_could_take_is_never_sent(self, world: World) -> None:
        """Bytes that are not UTF-8, and bytes that are not what their hash says."""
        good = edit("a.md", "A")
        binary = edit("b.md", "B")
        wrong = type(good)(good.operation, b"something else")
        assert world.only(wrong).result is Result.REJECTED
        raw = b"\xff\xfe"
        hashed = structs.replace(binary.operation, hash=hashlib.sha256(raw).hexdigest())
        assert world.only(type(good)(hashed, raw)).result is Result.REJECTED
        assert world.files() == {}

    def test_a_repeated_operation_is_not_taken_for_applied_twice(self, world: World) -> None:
        """PR1, CR4: the same id again has its first outcome, or none that is proven; nothing changes."""
        again = edit("a.md", "A")
        world.results(again)
        repeated = world.results(again)
        assert repeated == [Result.APPLIED if world.hub else Result.UNCERTAIN]
        assert len(world.remote.history(world.source, "a.md")) == 1

    def test_a_repeated_conflicting_operation_is_the_same_conflict(self, world: World) -> None:
        """Counts of 0 and 0 are looked up among the open conflicts."""
        world.results(edit("a.md", "theirs"))
        ours = edit("a.md", "ours")
        first, again = world.only(ours), world.only(ours)
        assert first.result is again.result is Result.CONFLICT
        assert first.conflict == again.conflict

    def test_an_empty_file_is_a_file(self, world: World) -> None:
        """Empty text and no file are different things."""
        assert world.results(edit("a.md", "")) == [Result.APPLIED]
        assert world.files() == {"a.md": EMPTY_HASH}
        assert world.text("a.md") == ""


class TestLooking:
    def test_the_listing_names_every_file_once(self, world: World) -> None:
        """Whether the server pages or not; also with exactly as many files as a page holds."""
        for count in (7, 1000, 1200):
            have = len(world.files())
            world.results(*(edit(f"{n:04}.md", str(n)) for n in range(have, count)))
            paths = [file.path for page in world.remote.listing(world.source) for file in page]
            assert sorted(paths) == [f"{n:04}.md" for n in range(count)]

    def test_a_head_has_its_text_and_the_hashes_before_it(self, world: World) -> None:
        """Newest first; None where there is nothing."""
        world.results(edit("a.md", "A1"))
        world.clock.now += 1
        world.results(edit("a.md", "A2", "A1"))
        head = world.remote.head(world.source, "a.md")
        assert head is not None
        assert (head.hash, head.content) == (sha("A2"), b"A2")
        assert [version.hash for version in head.versions] == [sha("A2"), sha("A1")]
        assert world.remote.head(world.source, "b.md") is None

    def test_history_has_the_texts_newest_first(self, world: World) -> None:
        """More than one page of versions, all of them."""
        text = ""
        for n in range(25):
            world.clock.now += 1
            world.results(edit("a.md", f"A{n}", text) if text else edit("a.md", "A0"))
            text = f"A{n}"
        texts = [version.content for version in world.remote.history(world.source, "a.md")]
        assert texts == [f"A{n}".encode() for n in reversed(range(25))]

    def test_history_outlives_a_delete(self, world: World) -> None:
        """Where the server forgets it, the texts are found in the feed."""
        world.results(edit("a.md", "A1"))
        world.clock.now += 1
        world.results(edit("a.md", "A2", "A1"))
        world.results(removal("a.md", "A2"))
        assert world.remote.head(world.source, "a.md") is None
        versions = world.remote.history(world.source, "a.md")
        assert [version.content for version in versions] == [b"A2", b"A1"]
        assert {version.origin for version in versions} == {"connector"}
        assert world.remote.history(world.source, "never.md") == []

    def test_the_last_cursor_tells_a_restored_server(self, world: World) -> None:
        """It is the position of the newest event, and refused while the source is paused."""
        assert world.remote.last_cursor(world.source) == 0
        world.results(edit("a.md", "A"))
        assert world.remote.last_cursor(world.source) == world.drain()[0][-1].position
        world.remote.pause(world.source)
        with pytest.raises(RemoteError) as error:
            world.remote.last_cursor(world.source)
        assert failure(error) is ProblemKind.PAUSED


class TestResolve:
    def conflict(self, world: World) -> str:
        """The id of an open conflict over a.md: ours against theirs."""
        world.results(edit("a.md", "theirs"))
        found = world.only(edit("a.md", "ours")).conflict
        assert found is not None
        return found.id

    @pytest.mark.parametrize(
        ("choice", "content", "stands"),
        [
            (Resolution.KEEP_LOCAL, None, "ours"),
            (Resolution.KEEP_RAVEN, None, "theirs"),
            (Resolution.MANUAL_MERGE, b"both", "both"),
        ],
    )
    def test_each_verb_closes_the_conflict_and_leaves_its_text(
        self, world: World, choice: Resolution, content: bytes | None, stands: str
    ) -> None:
        """And the feed tells of it, then of the text."""
        conflict = self.conflict(world)
        world.remote.resolve(world.source, conflict, choice, content, sha("theirs"))
        assert world.text("a.md") == stands
        assert list(world.remote.conflicts(world.source)) == []
        events, _ = world.drain()
        closed, upsert = events[-2:]
        assert isinstance(closed, ConflictClosed)
        assert (closed.conflict_id, closed.hash) == (conflict, sha(stands))
        assert isinstance(upsert, Upsert)
        assert (upsert.operation_id, upsert.content) == (f"resolve-{conflict}", stands.encode())

    def test_a_conflict_resolved_already_is_stale(self, world: World) -> None:
        """The second one is told to look again."""
        conflict = self.conflict(world)
        world.remote.resolve(world.source, conflict, Resolution.KEEP_RAVEN, None, sha("theirs"))
        with pytest.raises(RemoteError) as error:
            world.remote.resolve(world.source, conflict, Resolution.KEEP_LOCAL, None, sha("theirs"))
        assert failure(error) is ProblemKind.STALE
        assert world.text("a.md") == "theirs"

    def test_a_merge_that_is_not_text_is_refused_before_it_is_sent(self, world: World) -> None:
        """The conflict stays open."""
        conflict = self.conflict(world)
        with pytest.raises(RemoteError) as error:
            world.remote.resolve(world.source, conflict, Resolution.MANUAL_MERGE, b"\xff", sha("theirs"))
        assert failure(error) is ProblemKind.BAD_REQUEST
        assert len(list(world.remote.conflicts(world.source))) == 1

    def test_every_machines_conflicts_are_listed_with_both_texts(self, world: World) -> None:
        """Also those of other connectors."""
        self.conflict(world)
        other = world.adapter()
        connector = other.register("desktop", "linux", "1.0").connector_id
        other.push(world.source, connector, [edit("a.md", "third")])
        listed = list(world.remote.conflicts(world.source))
        assert {(c.local_text, c.remote_text, c.base_hash) for c in listed} == {
            (b"ours", b"theirs", None),
            (b"third", b"theirs", None),
        }
        assert all(c.opened_at and c.base_hash != SENTINEL_BASE for c in listed)
