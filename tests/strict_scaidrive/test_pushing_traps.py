"""What a server may do to a machine that sends: heads that move meanwhile, quotas, roles, missing words."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import pytest
from msgspec import structs

from agent.core.errors import ProblemKind
from agent.core.remote_records import Result
from agent.core.supply import Transfer
from agent.core.version import Version
from remotes.suite.transfers import LARGE, OpenedFile, joined, opening, received
from remotes.suite.world import sha
from strict_raven.wire import Response
from strict_scaidrive.api import hide
from strict_scaidrive.state import DriveTraps
from strict_scaidrive.world import LIMITS, ScaiDriveWorld

Make = Callable[[DriveTraps], ScaiDriveWorld]


@pytest.fixture
def trapped() -> Iterator[Make]:
    made: list[ScaiDriveWorld] = []

    def make(traps: DriveTraps) -> ScaiDriveWorld:
        made.append(ScaiDriveWorld(traps))
        return made[-1]

    yield make
    for world in made:
        world.close()


def between(world: ScaiDriveWorld, ending: str, act: Callable[[], None]) -> None:
    """Do something once, right before the next request with this ending is answered."""
    handle = world.api.handle
    waiting = [act]

    def handling(method: str, path: str, headers: Mapping[str, str], body: bytes) -> Response:
        if waiting and method == "POST" and path.endswith(ending):
            waiting.pop()()
        return handle(method, path, headers, body)

    world.faults._handler = handling


@pytest.mark.parametrize("size", [5, 200])
def test_a_head_that_moves_during_an_upload_is_a_conflict(trapped: Make, size: int) -> None:
    """The server compares the base, the unseen version stays, and ours is in the conflict."""
    world = trapped(DriveTraps())
    world.results(world.edit("a.md", "A1"))
    between(world, "/complete", lambda: world.put("a.md", "unseen"))
    outcome = world.only(opening(world, "a.md", OpenedFile(b"x" * size), b"A1"))
    assert outcome.result is Result.CONFLICT
    assert outcome.conflict is not None
    assert (outcome.conflict.base_hash, outcome.conflict.local_hash) == (sha("A1"), sha(b"x" * size))
    assert outcome.conflict.remote_text == b"unseen"
    assert world.held() == {"a.md": b"unseen"}


@pytest.mark.parametrize("answers", [{}, {"counts_only": True}, {"bare_409": True}])
def test_a_head_replaced_unseen_is_reported(trapped: Make, answers: dict[str, bool]) -> None:
    """A server that publishes an upload at once has put it over a version that nobody here has seen."""
    world = trapped(DriveTraps(publishes=True, **answers))
    world.results(world.edit("a.md", "A1"))
    between(world, "/complete", lambda: world.put("a.md", "unseen"))
    ours = world.edit("a.md", "A2", "A1")
    outcome = world.only(ours)
    assert outcome.result is Result.APPLIED
    rev = next(v.id for v in world.file("a.md").versions if v.hash == sha("unseen"))
    assert outcome.replaced == Version(sha("unseen"), 6, rev, world.file("a.md").id)
    assert (
        joined(received(world, Transfer("0" * 16, "a.md", world.file("a.md").id, rev, sha("unseen"), 6))) == b"unseen"
    )
    assert list(world.remote.conflicts(world.source)) == []


@pytest.mark.parametrize("publishes", [False, True])
def test_a_head_known_to_have_moved_is_never_uploaded_over(trapped: Make, publishes: bool) -> None:
    """The head is read before any content is sent, so that no server can put it over the unseen version."""
    world = trapped(DriveTraps(publishes=publishes))
    world.results(world.edit("a.md", "A1"))
    world.put("a.md", "unseen")
    world.requests.clear()
    assert world.results(world.edit("a.md", "ours", "A1")) == [Result.CONFLICT]
    assert not any("/uploads" in request.path for request in world.requests)
    assert world.held() == {"a.md": b"unseen"}


def test_every_change_is_applied_as_manual(trapped: Make) -> None:
    """Any other word lets the server decide about a version that nobody here has seen."""
    world = trapped(DriveTraps())
    words: set[str] = set()
    handle = world.api.handle

    def handling(method: str, path: str, headers: Mapping[str, str], body: bytes) -> Response:
        if path.endswith("/sync/apply"):
            words.add(json.loads(body)["conflict_resolution"])
        if "/resolve" in path:
            assert path.endswith("resolution=SERVER_WINS")
        return handle(method, path, headers, body)

    world.faults._handler = handling
    world.results(world.edit("a.md", "A1"), world.edit("b.md", "B"))
    world.put("a.md", "A2")
    found = world.only(world.edit("a.md", "A3", "A1")).conflict
    assert found is not None
    world.results(world.removal("b.md", "B"))
    assert words == {"MANUAL"}


def test_deletes_go_on_while_there_is_no_space(trapped: Make) -> None:
    """507: contents wait, and the problem says why; a delete may free the space."""
    world = trapped(DriveTraps())
    world.results(world.edit("a.md", "A"), world.edit("b.md", "B"))
    world.server.traps.no_space = True
    batch = [opening(world, "c.md", OpenedFile(LARGE)), world.removal("a.md", "A"), world.edit("d.md", "D")]
    answer = world.push(*batch)
    by_id = {outcome.operation_id: outcome.result for outcome in answer.outcomes}
    assert [by_id[out.operation.id] for out in batch] == [Result.NOT_SENT, Result.APPLIED, Result.NOT_SENT]
    assert answer.problem is not None
    assert answer.problem.kind is ProblemKind.NO_SPACE
    assert sorted(world.held()) == ["b.md"]


def test_a_reader_is_forbidden_to_write(trapped: Make) -> None:
    """403 for the whole share: nothing was sent, and the listed share is not writable."""
    world = trapped(DriveTraps())
    world.results(world.edit("a.md", "A"))
    shares = world.server.state.shares
    shares[world.source] = structs.replace(shares[world.source], role="reader")
    answer = world.push(world.edit("b.md", "B"), world.removal("a.md", "A"))
    assert {outcome.result for outcome in answer.outcomes} == {Result.NOT_SENT}
    assert answer.problem is not None
    assert answer.problem.kind is ProblemKind.FORBIDDEN
    assert not next(source for source in world.remote.sources() if source.id == world.source).writable


def test_a_size_that_is_refused_becomes_the_limit(trapped: Make) -> None:
    """413 without a number: the file is too large, and what is smaller is still tried."""
    world = trapped(DriveTraps(hides_cap=True))
    size = world.server.most + 10
    outcome = world.only(opening(world, "a.md", OpenedFile(b"x" * size)))
    assert (outcome.result, outcome.limit) == (Result.TOO_LARGE, size - 1)
    assert world.results(opening(world, "b.md", OpenedFile(b"x" * 100))) == [Result.APPLIED]


def test_a_delete_of_a_deleted_file_is_done(trapped: Make) -> None:
    """But one of a file that cannot be seen is not: 404 proves no delete."""
    world = trapped(DriveTraps())
    world.results(world.edit("a.md", "A"), world.edit("b.md", "B"))
    gone, hidden = world.removal("a.md", "A"), world.removal("b.md", "B")
    world.remove("a.md")
    del world.server.state.files[world.file("b.md").id]
    assert world.results(gone) == [Result.APPLIED]
    assert world.results(hidden) == [Result.UNCERTAIN]


def test_an_edit_of_a_file_that_cannot_be_seen_is_uncertain(trapped: Make) -> None:
    """It is neither created anew nor taken for deleted; the others are sent."""
    world = trapped(DriveTraps())
    world.results(world.edit("a.md", "A"), world.edit("b.md", "B"))
    del world.server.state.files[world.file("a.md").id]
    assert world.results(world.edit("a.md", "A2", "A"), world.edit("b.md", "B2", "B")) == [
        Result.UNCERTAIN,
        Result.APPLIED,
    ]


def test_an_edit_of_a_file_deleted_meanwhile_is_uncertain(trapped: Make) -> None:
    """410 for one file holds up no other one, and the feed decides about it."""
    world = trapped(DriveTraps())
    world.results(world.edit("a.md", "A"), world.edit("b.md", "B"))
    world.remove("a.md")
    edits = world.edit("a.md", "A2", "A"), world.edit("b.md", "B2", "B")
    assert world.results(*edits) == [Result.UNCERTAIN, Result.APPLIED]


def test_a_folder_name_that_is_taken_refuses_only_its_files(trapped: Make) -> None:
    """A file has the folder's name: the others are sent."""
    world = trapped(DriveTraps())
    world.put("d", "no folder")
    outcomes = world.outcomes(world.edit("d/a.md", "A"), world.edit("b.md", "B"))
    assert [outcome.result for outcome in outcomes] == [Result.REJECTED, Result.APPLIED]
    assert outcomes[0].detail


def test_a_share_that_is_hidden_stops_the_push(trapped: Make) -> None:
    """404 for the share: nothing is guessed about single files."""
    world = trapped(DriveTraps())
    world.results(world.edit("a.md", "A"))
    hide(world.server, world.source)
    answer = world.push(world.edit("b.md", "B"), world.removal("a.md", "A"))
    assert {outcome.result for outcome in answer.outcomes} == {Result.NOT_SENT}
    assert answer.problem is not None
    assert answer.problem.kind is ProblemKind.NOT_FOUND


def test_a_folder_that_was_deleted_is_made_again(trapped: Make) -> None:
    """410 for the folder: nothing was applied, and the next push does not use the old id."""
    world = trapped(DriveTraps())
    world.results(world.edit("d/a.md", "A"))
    world.remove_folder("d")
    first = world.edit("d/b.md", "B")
    answer = world.push(first)
    assert [outcome.result for outcome in answer.outcomes] == [Result.NOT_SENT]
    assert world.results(first) == [Result.APPLIED]
    assert world.held() == {"d/b.md": b"B"}


def test_a_folder_made_in_one_that_moves_is_looked_up_again(trapped: Make) -> None:
    """The feed has shown the move before the new folder is known: from then on it is not at the path any more."""
    world = trapped(DriveTraps())
    world.results(world.edit("d/a.md", "A"))
    _, state = world.drain()

    def move() -> None:
        world.move("d", "h")
        world.drain(state)

    between(world, "/folders", move)
    world.push(world.edit("d/e/b.md", "B"))
    assert world.results(world.edit("d/e/c.md", "C")) == [Result.APPLIED]
    assert sorted(world.held()) == ["d/e/c.md", "h/a.md", "h/e/b.md"]


@pytest.mark.parametrize("size", [5, 200])
def test_a_file_that_went_with_its_folder_is_uncertain(trapped: Make, size: int) -> None:
    """The folder was renamed while the file was sent: it is at another path, and the feed says so."""
    world = trapped(DriveTraps())
    world.results(world.edit("d/a.md", "A"))
    ending = "/files" if size <= LIMITS.multipart else "/complete"
    between(world, ending, lambda: world.move("d", "e"))
    new = opening(world, "d/b.md", OpenedFile(b"x" * size))
    assert world.results(new) == [Result.UNCERTAIN]
    assert sorted(world.held()) == ["e/a.md", "e/b.md"]
    assert world.results(world.edit("d/c.md", "C")) == [Result.APPLIED]
    assert sorted(world.held()) == ["d/c.md", "e/a.md", "e/b.md"]


def test_the_calls_of_a_push_are_few(trapped: Make) -> None:
    """Twenty new files: one request each, and one for all of them."""
    world = trapped(DriveTraps())
    world.drain()
    world.requests.clear()
    world.results(*(world.edit(f"{number}.md", str(number)) for number in range(20)))
    assert [request.path for request in world.requests].count("/api/v1/sync/apply") == 1
    assert len(world.requests) == 21


def test_the_same_calls_give_the_same_server() -> None:
    """Deterministic, and a copy is complete: what follows it is the same as well."""
    first, second = ScaiDriveWorld(), ScaiDriveWorld()
    for world in (first, second):
        world.put("d/a.md", "A")
        world.results(world.edit("b.md", LARGE), world.edit("d/a.md", "stale"))
        world.drain()
    assert first.server.state == second.server.state
    copy = first.server.snapshot()
    first.put("c.md", "C")
    first.move("d", "e")
    after = first.server.snapshot()
    assert after != copy
    first.server.restore(copy)
    assert first.server.state == copy == second.server.state
    assert replace(first.server.traps) == DriveTraps()
    first.close()
    second.close()


@pytest.mark.parametrize("renamed", [True, False])
def test_an_upload_outlives_the_folder_it_was_begun_in(trapped: Make, renamed: bool) -> None:
    """The folder was renamed, with a file of this name in it, or deleted. The upload begins anew at its path."""
    world = trapped(DriveTraps())
    world.put("f/x.md", "x")
    outgoing = opening(world, "f/large.md", OpenedFile(LARGE))
    world.interrupt_chunks(1)
    assert world.only(outgoing).result is not Result.APPLIED
    world.put("f/large.md", "theirs")
    if renamed:
        world.move("f", "g")
    else:
        world.remove_folder("f")
    resume = world.book.resumes[outgoing.operation.id]
    again = structs.replace(outgoing, body=OpenedFile(LARGE), resume=resume)
    assert world.only(again).result is Result.APPLIED
    assert world.held()["f/large.md"] == LARGE
    assert world.held().get("g/large.md") == (b"theirs" if renamed else None)
