"""What Raven's adapter does beyond the promises of the port, on both servers."""

from __future__ import annotations

import hashlib
from functools import partial

import pytest
from msgspec import structs

from agent.core.errors import ProblemKind, RemoteError
from agent.core.events import ConflictClosed, ConflictOpened, ControlEvent, ControlSignal, Upsert
from agent.core.model import Mode, Resolution
from agent.core.remote_records import Outcome, Result
from agent.core.supply import Transfer
from remotes.fixtures import World, edit, removal, sha
from remotes.suite.transfers import OpenedFile
from strict_raven.faults import too_large

UNKNOWN = "99999999-9999-4999-8999-999999999999"


def failure(error: pytest.ExceptionInfo[RemoteError]) -> ProblemKind:
    """The kind of problem a call ended with."""
    return error.value.problem.kind


def collect(pieces: list[tuple[int, bytes]], at: int, piece: bytes) -> None:
    """Take one piece of a download."""
    pieces.append((at, piece))


class TestAccount:
    def test_only_the_hub_states_capabilities_with_each_heartbeat(self, world: World) -> None:
        """A machine that has not spoken yet knows none; afterwards the server's word counts."""
        fresh = world.adapter()
        assert not fresh.capabilities.item_results
        told = fresh.heartbeat(world.connector)
        assert told.connector_id == world.connector
        can = fresh.capabilities
        flags = (can.long_poll, can.ordered_feed, can.item_results, can.expected_hash, can.keeps_history)
        assert {*flags, can.latest_only, can.connector_id, can.state_digest, can.poll_heartbeat} == {world.hub}
        assert can.machines == (fresh.machine_list is not None) == world.hub

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


class TestFeed:
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


class TestPush:
    def test_content_types_follow_the_ending(self, world: World) -> None:
        """Markdown or plain text."""
        world.results(edit("a.md", "A"), edit("b.txt", "B"), edit("C.MARKDOWN", "C"))
        types = {row["relativePath"]: row["contentType"] for row in world.raw("sources/files")}
        assert types == {"a.md": "text/markdown", "b.txt": "text/plain", "C.MARKDOWN": "text/markdown"}

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


class TestLooking:
    def test_the_listing_names_every_file_once(self, world: World) -> None:
        """Whether the server pages or not; also with exactly as many files as a page holds."""
        for count in (7, 1000, 1200):
            have = len(world.files())
            world.results(*(edit(f"{n:04}.md", str(n)) for n in range(have, count)))
            paths = [file.path for page in world.remote.listing(world.source) for file in page]
            assert sorted(paths) == [f"{n:04}.md" for n in range(count)]

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

    def test_a_merge_that_is_not_text_is_refused_before_it_is_sent(self, world: World) -> None:
        """The conflict stays open."""
        conflict = self.conflict(world)
        with pytest.raises(RemoteError) as error:
            world.remote.resolve(world.source, conflict, Resolution.MANUAL_MERGE, b"\xff", sha("theirs"))
        assert failure(error) is ProblemKind.BAD_REQUEST
        assert len(list(world.remote.conflicts(world.source))) == 1


class TestContents:
    def test_an_opened_file_beyond_every_limit_is_not_read(self, world: World) -> None:
        """A file that no request can hold costs no memory."""
        file = OpenedFile(b"x" * 1_100_000)
        (outcome,) = world.push(world.edit("a.md", file.content, body=file)).outcomes
        assert (outcome.result, outcome.limit, file.reads) == (Result.TOO_LARGE, 1_048_576, [])

    def test_a_version_is_fetched_whole_whatever_the_offset(self, world: World) -> None:
        """This server knows no ranges; an older version comes from the history."""
        world.results(edit("a.md", "first"))
        world.clock.now += 1
        world.results(edit("a.md", "second", "first"))
        for text, offset in (("second", 0), ("second", 3), ("first", 2)):
            pieces: list[tuple[int, bytes]] = []
            transfer = Transfer("0" * 16, "a.md", None, None, sha(text), len(text))
            world.remote.fetch(world.source, transfer, offset, partial(collect, pieces))
            assert pieces == [(0, text.encode())]

    def test_nothing_is_recalled_without_sending_again(self, world: World) -> None:
        """CR4: the outcome stays unknown; the engine sends again or looks."""
        ours = edit("a.md", "A")
        world.results(ours)
        assert world.remote.recall(world.source, ours.operation, None) == Outcome(ours.operation.id, Result.UNCERTAIN)
