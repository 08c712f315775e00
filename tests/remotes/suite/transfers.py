"""Promises about contents too large to travel inline: they are fetched and sent in pieces, and resumed."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from msgspec import structs

from agent.core.errors import ContentChanged, ProblemKind, RemoteError
from agent.core.events import Upsert
from agent.core.remote_records import Outcome, Result
from agent.core.supply import Transfer
from agent.remotes.protocol import Outgoing
from remotes.suite.world import World, needs, sha
from strict_raven.faults import drop_answer, drop_request

LARGE = bytes(range(256)) * 2
Pieces = list[tuple[int, bytes]]


@dataclass
class OpenedFile:
    """An opened file. It changes once ``changes_at`` has been read; ``reads`` are the offsets."""

    content: bytes
    changes_at: int | None = None
    reads: list[int] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes of the whole."""
        return len(self.content)

    def read(self, offset: int, length: int) -> bytes:
        """See ``Pieces``."""
        if self.changes_at is not None and offset >= self.changes_at:
            raise ContentChanged("the file changed")
        self.reads.append(offset)
        return self.content[offset : offset + length]


def large(world: World) -> bytes:
    """A content beyond the inline limit; any other content where everything travels inline."""
    return LARGE if world.can.inline_limit is not None else b"text " * 100


def opening(world: World, path: str, file: OpenedFile, base: bytes | None = None) -> Outgoing:
    """An upsert of an opened file."""
    return world.edit(path, file.content, base, body=file)


def transfer_of(world: World, path: str, content: bytes) -> Transfer:
    """The download of a path's head."""
    rev, identifier = world.identity(path)
    return Transfer("0" * 16, path, identifier, rev, sha(content), len(content))


def received(world: World, transfer: Transfer, offset: int = 0) -> Pieces:
    """The pieces of a download."""
    pieces: Pieces = []
    world.remote.fetch(world.source, transfer, offset, lambda at, piece: pieces.append((at, piece)))
    return pieces


def joined(pieces: Pieces) -> bytes:
    """The content of pieces; they follow each other without a gap."""
    content = bytearray()
    for at, piece in pieces:
        assert at == pieces[0][0] + len(content)
        content += piece
    return bytes(content)


class DownloadPromises:
    """See the module."""

    def test_a_large_content_is_announced_and_fetched(self, world: World) -> None:
        """The event has hash, size, revision and id; the content comes by ``fetch``, and is the announced one."""
        content = large(world)
        world.put("a.md", content)
        events, _ = world.drain()
        (event,) = (event for event in events if isinstance(event, Upsert))
        assert (event.hash, event.size) == (sha(content), len(content))
        if world.can.inline_limit is not None:
            assert event.content is None
        assert world.streamed("a.md", event.hash, len(content), event.rev, event.remote_id) == content

    @pytest.mark.parametrize("offset", [1, 100, 499])
    def test_a_download_goes_on_at_its_offset_or_begins_anew(self, world: World, offset: int) -> None:
        """The first piece says where; from there on every byte comes, once."""
        content = large(world)
        world.put("a.md", content)
        pieces = received(world, transfer_of(world, "a.md", content), offset)
        assert pieces[0][0] in (0, offset)
        assert joined(pieces) == content[pieces[0][0] :]

    def test_an_older_version_is_fetched_by_its_revision(self, world: World) -> None:
        """Also when the file was changed, moved or deleted meanwhile."""
        needs(world.can.history, "history")
        content = large(world)
        world.put("a.md", content)
        transfer = transfer_of(world, "a.md", content)
        moved = "b.md" if world.can.moves else "a.md"
        for change in ("edit", "move", "delete"):
            world.clock.now += 1
            if change == "edit":
                world.put("a.md", "newer")
            elif change == "delete":
                world.remove(moved)
            elif world.can.moves:
                world.move("a.md", moved)
            assert joined(received(world, transfer)) == content

    def test_a_version_that_never_was_is_not_found(self, world: World) -> None:
        """Neither at a path with a file, nor at one without."""
        world.put("a.md", "A")
        for path in ("a.md", "b.md"):
            with pytest.raises(RemoteError) as error:
                received(world, Transfer("0" * 16, path, None, "no-such-rev", sha("B"), 1))
            assert error.value.problem.kind in (ProblemKind.NOT_FOUND, ProblemKind.GONE)

    def test_a_receiver_that_fails_ends_the_download(self, world: World) -> None:
        """Its own exception passes, and the next call works."""

        def full(_: int, piece: bytes) -> None:
            raise OSError(28, "no space")

        content = large(world)
        world.put("a.md", content)
        with pytest.raises(OSError, match="no space"):
            world.remote.fetch(world.source, transfer_of(world, "a.md", content), 0, full)
        assert joined(received(world, transfer_of(world, "a.md", content))) == content


class UploadPromises:
    """Uploads from opened files."""

    def test_an_opened_file_is_pushed_like_its_bytes(self, world: World) -> None:
        """Small and large, new and changed."""
        content = large(world)
        small = OpenedFile(b"small")
        batch = [opening(world, "a.md", OpenedFile(content)), opening(world, "b.md", small)]
        assert world.results(*batch) == [Result.APPLIED] * 2
        assert world.results(opening(world, "b.md", OpenedFile(content), b"small")) == [Result.APPLIED]
        assert world.held() == {"a.md": content, "b.md": content}

    def test_a_large_new_file_never_overwrites(self, world: World) -> None:
        """The promise does not depend on the size."""
        world.put("a.md", "theirs")
        outcome = world.only(opening(world, "a.md", OpenedFile(large(world))))
        assert outcome.result is Result.CONFLICT
        assert world.held() == {"a.md": b"theirs"}

    @pytest.mark.parametrize("changes_at", [0, 100])
    def test_a_file_that_changes_meanwhile_is_not_committed(self, world: World, changes_at: int) -> None:
        """The outcome is CHANGED, whether it changed before the first byte or later; the others are sent."""
        changes = changes_at if world.can.resumable_uploads else 0
        batch = [opening(world, "a.md", OpenedFile(large(world), changes)), world.edit("b.md", "B")]
        assert world.results(*batch) == [Result.CHANGED, Result.APPLIED]
        assert world.held() == {"b.md": b"B"}

    def test_other_bytes_than_promised_are_never_committed(self, world: World) -> None:
        """The file was replaced before it was opened, and nothing in it changes any more."""
        outgoing = structs.replace(world.edit("a.md", large(world)), body=OpenedFile(b"x" * len(large(world))))
        assert world.only(outgoing).result in (Result.CHANGED, Result.REJECTED)
        assert world.held() == {}


class ResumePromises:
    """Uploads that go on in another process."""

    def interrupted(self, world: World, after: int) -> tuple[Outgoing, str, int]:
        """An upload whose connection broke after some chunks: the operation, its state, and the chunks sent."""
        needs(world.can.resumable_uploads, "resumable uploads")
        outgoing = opening(world, "a.md", OpenedFile(LARGE))
        states: list[str] = []

        def on_resumable(operation_id: str, state: str) -> None:
            assert operation_id == outgoing.operation.id
            assert self.chunks(world) == 0
            states.append(state)

        world.interrupt_chunks(after)
        answer = world.push(outgoing, on_resumable=on_resumable)
        assert answer.problem is not None
        assert answer.problem.kind is ProblemKind.OFFLINE
        state = states[-1]
        world.faults.clear()
        return outgoing, state, self.chunks(world)

    def chunks(self, world: World) -> int:
        """Chunks that reached the server so far."""
        return sum(request.method == "PUT" for request in world.requests)

    def resumed(self, world: World, outgoing: Outgoing, state: str) -> Outcome:
        """The outcome of the same operation in another process."""
        again = structs.replace(outgoing, body=OpenedFile(LARGE), resume=state)
        (outcome,) = world.push(again).outcomes
        return outcome

    def test_only_missing_chunks_are_sent_after_an_interruption(self, world: World) -> None:
        """The state is reported before the first chunk; afterwards no chunk goes twice."""
        outgoing, state, _ = self.interrupted(world, 20)
        world.requests.clear()
        assert self.resumed(world, outgoing, state).result is Result.APPLIED
        sent = [request for request in world.requests if request.method == "PUT"]
        assert sum(request.size for request in sent) == len(LARGE) - 20 * sent[0].size
        assert world.held() == {"a.md": LARGE}

    def test_a_state_is_not_used_for_other_bytes(self, world: World) -> None:
        """The chunks of another content would make a file that nobody wrote."""
        _, state, _ = self.interrupted(world, 20)
        other = LARGE[::-1]
        outgoing = structs.replace(opening(world, "b.md", OpenedFile(other)), resume=state)
        assert world.results(outgoing) == [Result.APPLIED]
        assert world.held() == {"b.md": other}

    @pytest.mark.parametrize("state", ["", "not a state", "{}", '{"upload": 5}'])
    def test_a_state_that_cannot_be_read_begins_anew(self, world: World, state: str) -> None:
        """And costs no more than the chunks."""
        needs(world.can.resumable_uploads, "resumable uploads")
        outgoing = structs.replace(opening(world, "a.md", OpenedFile(LARGE)), resume=state)
        assert world.results(outgoing) == [Result.APPLIED]

    def test_an_upload_that_the_server_forgot_begins_anew_once(self, world: World) -> None:
        """A day later; the new state is reported."""
        outgoing, state, _ = self.interrupted(world, 20)
        world.clock.now += 2 * 86_400
        world.requests.clear()
        states: list[str] = []
        again = structs.replace(outgoing, body=OpenedFile(LARGE), resume=state)
        (outcome,) = world.push(again, on_resumable=lambda _, new: states.append(new)).outcomes
        assert outcome.result is Result.APPLIED
        assert states[-1] != state
        assert sum(request.size for request in world.requests if request.method == "PUT") == len(LARGE)

    def test_a_failing_report_sends_no_chunk(self, world: World) -> None:
        """A state that could not be stored must not be needed later."""
        needs(world.can.resumable_uploads, "resumable uploads")

        def failing(operation_id: str, state: str) -> None:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            world.push(opening(world, "a.md", OpenedFile(LARGE)), on_resumable=failing)
        assert self.chunks(world) == 0
        assert world.held() == {}

    def test_a_cancelled_upload_stops_and_is_changed(self, world: World) -> None:
        """Before its next chunk; what the server has of it is discarded, and nothing is committed."""
        needs(world.can.resumable_uploads, "resumable uploads")

        class Cancelling(OpenedFile):
            def read(self, offset: int, length: int) -> bytes:
                if offset >= 100:
                    world.remote.cancel(outgoing.operation.id)
                return super().read(offset, length)

        file = Cancelling(LARGE)
        outgoing = opening(world, "a.md", file)
        assert world.results(outgoing) == [Result.CHANGED]
        assert max(file.reads) < 120
        assert world.requests[-1].method == "DELETE"
        assert world.held() == {}
        world.remote.cancel("op-of-nobody")

    def test_a_commit_whose_answer_was_lost_is_recalled(self, world: World) -> None:
        """CR4: after a restart the version itself is the proof; the upload is not made again."""
        needs(world.can.resumable_uploads, "resumable uploads")
        outgoing = opening(world, "a.md", OpenedFile(LARGE))
        states: list[str] = []
        world.faults.inject(drop_answer(), on=world.commits)
        answer = world.push(outgoing, on_resumable=lambda _, state: states.append(state))
        assert [outcome.result for outcome in answer.outcomes] == [Result.UNCERTAIN]
        world.requests.clear()
        outcome = world.remote.recall(world.source, outgoing.operation, states[-1])
        assert (outcome.result, (outcome.rev, outcome.remote_id)) == (Result.APPLIED, world.identity("a.md"))
        assert not any(request.method in ("PUT", "DELETE") for request in world.requests)

    def test_a_commit_that_never_arrived_is_not_recalled(self, world: World) -> None:
        """It may still be on its way: nothing is proven, and sending again sends no chunk."""
        needs(world.can.resumable_uploads, "resumable uploads")
        outgoing = opening(world, "a.md", OpenedFile(LARGE))
        states: list[str] = []
        world.faults.inject(drop_request(), on=world.commits)
        world.push(outgoing, on_resumable=lambda _, state: states.append(state))
        assert world.remote.recall(world.source, outgoing.operation, states[-1]).result is Result.UNCERTAIN
        world.requests.clear()
        assert self.resumed(world, outgoing, states[-1]).result is Result.APPLIED
        assert not any(request.method == "PUT" for request in world.requests)
