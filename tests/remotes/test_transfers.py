"""Contents that come as opened files or are fetched by their hash, on a server that sends every text inline."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import pytest
from msgspec import structs

from agent.core.errors import ContentChanged, ProblemKind, RemoteError
from agent.core.remote_records import Result
from agent.core.supply import Transfer
from agent.remotes.protocol import Outgoing
from remotes.fixtures import World, edit, sha


@dataclass
class Opened:
    """An opened file; ``changed`` fails its reads, ``read_from`` lists the offsets that were read."""

    content: bytes
    changed: bool = False
    read_from: list[int] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes of the whole."""
        return len(self.content)

    def read(self, offset: int, length: int) -> bytes:
        """See ``Pieces``."""
        if self.changed:
            raise ContentChanged("a.md changed")
        self.read_from.append(offset)
        return self.content[offset : offset + length]


def opened(outgoing: Outgoing, file: Opened) -> Outgoing:
    """The same operation, with an opened file in place of the bytes."""
    return structs.replace(outgoing, body=file)


def fetched(world: World, path: str, text: str, offset: int = 0) -> list[tuple[int, bytes]]:
    """The pieces of a version, with their offsets."""
    pieces: list[tuple[int, bytes]] = []
    transfer = Transfer("0" * 16, path, None, None, sha(text), len(text.encode()))
    world.remote.fetch(world.source, transfer, offset, lambda at, piece: pieces.append((at, piece)))
    return pieces


def test_an_opened_file_is_pushed_like_its_bytes(world: World) -> None:
    """The port takes an opened file everywhere; a dialect without transfers reads it whole."""
    assert world.results(opened(edit("a.md", "A"), Opened(b"A"))) == [Result.APPLIED]
    assert world.text("a.md") == "A"


def test_a_file_that_changed_since_it_was_opened_is_not_sent(world: World) -> None:
    """The outcome is CHANGED; the other operations of the batch are sent."""
    batch = [opened(edit("a.md", "A"), Opened(b"A", changed=True)), edit("b.md", "B")]
    assert world.results(*batch) == [Result.CHANGED, Result.APPLIED]
    assert world.files() == {"b.md": sha("B")}


def test_an_opened_file_beyond_every_limit_is_not_read(world: World) -> None:
    """A file that no request can hold costs no memory."""
    file = Opened(b"x" * 1_100_000)
    operation = structs.replace(edit("a.md", "").operation, hash=hashlib.sha256(file.content).hexdigest())
    (outcome,) = world.push(Outgoing(operation, file)).outcomes
    assert (outcome.result, outcome.limit, file.read_from) == (Result.TOO_LARGE, 1_048_576, [])


def test_a_version_is_fetched_from_the_head_or_the_history(world: World) -> None:
    """The whole content comes from offset 0, whatever offset was asked for: this server knows no ranges."""
    world.results(edit("a.md", "first"))
    world.clock.now += 1
    world.results(edit("a.md", "second", "first"))
    assert fetched(world, "a.md", "second") == [(0, b"second")]
    assert fetched(world, "a.md", "second", offset=3) == [(0, b"second")]
    assert fetched(world, "a.md", "first") == [(0, b"first")]


@pytest.mark.parametrize("path", ["a.md", "b.md"])
def test_a_version_that_the_server_never_had_is_not_found(world: World, path: str) -> None:
    """Neither for a file that exists nor for one that does not."""
    world.results(edit("a.md", "A"))
    with pytest.raises(RemoteError) as error:
        fetched(world, path, "B")
    assert error.value.problem.kind is ProblemKind.NOT_FOUND


def test_nothing_is_recalled_without_sending_again(world: World) -> None:
    """CR4: the outcome stays unknown; the engine sends again or looks."""
    ours = edit("a.md", "A")
    world.results(ours)
    outcome = world.remote.recall(world.source, ours.operation, None)
    assert (outcome.operation_id, outcome.result) == (ours.operation.id, Result.UNCERTAIN)
