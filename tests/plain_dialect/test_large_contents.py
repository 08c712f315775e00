"""A whole agent over the plain server: large contents both ways, interrupted and continued in another process."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from agent.core.errors import Problem, ProblemKind, RemoteError
from agent.core.supply import Transfer
from agent.engine import effects as e
from agent.remotes.protocol import Sink
from plain_dialect.adapter import PlainRemote
from plain_dialect.household import SOURCE, Household
from plain_dialect.state import CHUNK
from plain_dialect.world import PlainWorld

LARGE = "a large content of forty bytes, or so it is"
OTHER = LARGE.upper()


def test_large_contents_travel_both_ways(home: Household, world: PlainWorld) -> None:
    """Beside small ones, and changed on either side."""
    world.put("deep/down.md", LARGE)
    world.put("small.md", "small")
    (home.root / "up.md").write_text(OTHER)
    home.sync()
    both = {"deep/down.md": LARGE.encode(), "small.md": b"small", "up.md": OTHER.encode()}
    assert home.files() == both and world.held() == both
    assert e.Fetch in home.kinds()
    assert any(isinstance(effect, e.Send) and effect.is_large for effect in home.done)
    (home.root / "deep/down.md").write_text(LARGE * 2)
    world.put("up.md", OTHER * 2)
    home.sync()
    both = {"deep/down.md": (LARGE * 2).encode(), "small.md": b"small", "up.md": (OTHER * 2).encode()}
    assert home.files() == both and world.held() == both
    assert not home.leftovers() and not home.index.transfers.all(SOURCE)


def test_an_interrupted_upload_continues_in_another_process(home: Household, world: PlainWorld) -> None:
    """No chunk is sent twice but the one that was lost."""
    (home.root / "up.md").write_text(OTHER)
    world.interrupt_chunks(3)
    sent = home.sync(killed_by=e.Send)
    assert isinstance(sent, e.Send) and sent.is_large and world.held() == {}
    home.restart()
    home.sync()
    again = next(effect for effect in home.done if isinstance(effect, e.Send))
    assert again.parcels[0].operation == sent.parcels[0].operation and again.parcels[0].resume is not None
    assert world.held() == home.files() == {"up.md": OTHER.encode()}
    assert sum(request.method == "PUT" for request in world.requests) == -(-len(OTHER) // CHUNK)
    assert e.Recall in home.kinds()


def test_a_download_continues_in_another_process(
    home: Household, world: PlainWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bytes on the disk are checked, and not requested again."""
    offsets: list[int] = []
    fetch = PlainRemote.fetch

    def cut(remote: PlainRemote, source: str, transfer: Transfer, offset: int, sink: Sink) -> None:
        offsets.append(offset)
        if offset:
            fetch(remote, source, transfer, offset, sink)
        else:
            sink(0, LARGE[:20].encode())
            raise RemoteError(Problem(ProblemKind.OFFLINE, "the connection broke"))

    monkeypatch.setattr(PlainRemote, "fetch", cut)
    world.put("down.md", LARGE)
    begun = home.sync(killed_by=e.Fetch)
    assert home.leftovers() and home.files() == {}
    home.restart()
    home.sync()
    assert [effect for effect in home.done if isinstance(effect, e.Fetch)] == [begun]
    assert offsets == [0, 20]
    assert home.files() == {"down.md": LARGE.encode()} and not home.leftovers()


def test_a_large_file_may_be_replaced_by_a_small_one(home: Household, world: PlainWorld) -> None:
    """And be deleted on either side."""
    world.put("a.md", LARGE)
    (home.root / "b.md").write_text(LARGE)
    home.sync()
    world.put("a.md", "tiny")
    (home.root / "b.md").unlink()
    home.sync()
    assert home.files() == {"a.md": b"tiny"} and world.held() == {"a.md": b"tiny"}


def test_the_capabilities_reach_the_engine(home: Household) -> None:
    """Without a limit nothing would be large."""
    setup = home.engine._ctx.setup
    assert setup.inline_limit == 16 and setup.resumable_uploads
    assert not replace(setup, inline_limit=None).is_large(1 << 40)
