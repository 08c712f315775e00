"""The agent uses every published endpoint of Pinakes' sync API, in both spellings, and no other one of it."""

from __future__ import annotations

import re
from dataclasses import replace as with_traps

import pytest
from msgspec import structs

from agent.core.model import Resolution
from agent.core.remote_records import Result
from agent.remotes.pinakes.adapter import ACKNOWLEDGE_SECONDS
from remotes.suite.transfers import LARGE, OpenedFile, opening
from remotes.suite.world import sha
from strict_pinakes.state import PinTraps
from strict_pinakes.world import PinakesWorld

PUBLISHED = {
    "GET changes", "POST ack", "POST report", "GET conflicts", "POST conflicts/{}/resolve", "GET download/{*}",
    "GET devices", "POST devices", "GET devices/{}", "PUT devices/{}", "DELETE devices/{}", "POST devices/{}/token",
    "POST upload", "GET upload/{}", "DELETE upload/{}", "PUT upload/{}/chunks/{}", "POST upload/{}/complete",
}  # fmt: skip
"""The public page of the sync API; the parts of a path are ids, and a file's path has any number of them."""
_SYNC = re.compile(r"/api/(v1/)?sync/")


def endpoint(method: str, path: str) -> str:
    """A request in the words of the page."""
    name, *rest = _SYNC.sub("", path.partition("?")[0]).split("/")
    if name == "download":
        return f"{method} download/{{*}}"
    return f"{method} " + "/".join([name, *("{}" if number % 2 == 0 else word for number, word in enumerate(rest))])


def files(world: PinakesWorld) -> None:
    """A file goes up, comes down, and is acknowledged; a refused change is decided."""
    assert world.results(world.edit("a.md", "A")) == [Result.APPLIED]
    _, state = world.drain()
    world.clock.now += ACKNOWLEDGE_SECONDS
    world.remote.pull(world.source, state, 0.0, world.clock.now)
    assert world.remote.head(world.source, "a.md") is not None
    world.put("a.md", "B")
    refused = world.only(world.edit("a.md", "C", "A")).conflict
    assert refused is not None
    world.remote.resolve(world.source, refused.id, Resolution.KEEP_RAVEN, None, sha("B"))


def uploads(world: PinakesWorld) -> None:
    """An upload goes on in another process, and one is cancelled."""
    states: list[str] = []
    upload = opening(world, "large.bin", OpenedFile(LARGE))
    world.interrupt_chunks(3)
    world.push(upload, on_resumable=lambda _, state: states.append(state))
    assert world.results(structs.replace(upload, resume=states[-1])) == [Result.APPLIED]
    assert world.results(opening(world, "b.bin", OpenedFile(LARGE, changes_at=64))) == [Result.CHANGED]


def devices(world: PinakesWorld) -> None:
    """The machine gets another name, reports that it lives, lost its token, and is removed."""
    world.remote.register("desk", "linux", "1", world.connector)
    world.remote.heartbeat(world.connector)
    (device,) = world.devices.all()
    old = world.server.state.devices[device.id]
    world.server.state.devices[device.id] = structs.replace(old, token="another")
    list(world.remote.conflicts(world.source))
    assert world.server.state.devices[device.id].token not in (old.token, "another")
    world.devices.remove(device.id)


@pytest.mark.parametrize("trap", ["only_versioned", "only_unversioned"])
def test_every_published_endpoint_is_used(trap: str) -> None:
    """Devices, changes, uploads and conflicts; a server that knows one spelling is asked in it."""
    world = PinakesWorld(with_traps(PinTraps(), **{trap: True}))
    files(world)
    uploads(world)
    devices(world)
    asked = [each for each in world.requests if _SYNC.match(each.path)]
    assert {endpoint(each.method, each.path) for each in asked} == PUBLISHED
    versioned = [each.path.startswith("/api/v1/") for each in asked]
    # The first request may look for the spelling.
    assert set(versioned[1:]) == {trap == "only_versioned"}
    world.close()


@pytest.mark.parametrize("algorithm", ["sha256", "blake3"])
@pytest.mark.parametrize("silent", [False, True], ids=["with its id", "without"])
def test_a_head_that_moves_during_an_upload_is_a_conflict(algorithm: str, silent: bool) -> None:
    """The report was right, and the base is compared again at the end: nothing is replaced, named or not."""
    world = PinakesWorld(PinTraps(silent_400=silent), algorithm)
    assert world.results(world.edit("a.md", "A")) == [Result.APPLIED]

    class Overtaken(OpenedFile):
        def read(self, offset: int, length: int) -> bytes:
            if offset == 64:
                world.put("a.md", "theirs")
            return super().read(offset, length)

    outcome = world.only(opening(world, "a.md", Overtaken(LARGE), b"A"))
    assert outcome.result is Result.CONFLICT and outcome.conflict is not None
    assert (outcome.conflict.local_hash, outcome.conflict.remote_text) == (sha(LARGE), b"theirs")
    assert world.held() == {"a.md": b"theirs"}
    world.close()
