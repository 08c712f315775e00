"""The program as people run it, against the strict Pinakes server: two machines, any files, a session that ends."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from dataclasses import replace as with_traps

import pytest
from msgspec.structs import replace

from agent.remotes.detect import detect_dialect
from scenarios.conftest import Machines
from strict_pinakes.__main__ import made
from strict_pinakes.api import PinakesApi
from strict_pinakes.server import StrictPinakes
from strict_pinakes.state import PinTraps
from strict_pinakes.world import EVERY_TRAP
from strict_raven.serve import serving
from strict_raven.wire import Handler, Response
from strict_scaidrive.__main__ import made as made_drive
from strict_scaidrive.__main__ import one_at_a_time
from strict_scaidrive.state import DriveTraps
from support.eventually import eventually
from support.processes import Home
from support.servers import StrictServer

LARGE = hashlib.sha256(b"large").digest() * 200_000
"""6.4 MB: more than one chunk, and over the inline limit."""


@dataclass
class Pinakes:
    """A served strict server. ``ahead``: seconds by which its clock is ahead."""

    server: StrictPinakes
    api: PinakesApi
    url: str
    ahead: list[float]

    def login(self, home: Home, dialect: str = "pinakes", session: str = "") -> None:
        """Sign a machine in with a session of its own."""
        flags = ("--name", "media", "--dialect", dialect, "--token-stdin")
        ran = home.run("login", self.url, *flags, stdin=session or self.server.log_in())
        assert ran.code == 0, ran

    def files(self) -> dict[str, bytes]:
        """Path -> content, in the folder of the source."""
        return {path.removeprefix("team/"): content for path, content in self.server.heads().items()}


@pytest.fixture(params=["sha256", "blake3"])
def pinakes(request: pytest.FixtureRequest) -> Iterator[Pinakes]:
    """Each hash; the traps are off."""
    yield from _served(PinTraps(), request.param)


@pytest.fixture
def trapped() -> Iterator[Pinakes]:
    """Every trap at once."""
    yield from _served(with_traps(EVERY_TRAP), "sha256")


def _served(traps: PinTraps, algorithm: str) -> Iterator[Pinakes]:
    ahead = [0.0]
    server, api = made(lambda: time.time() + ahead[0], traps, algorithm)
    with serving(one_at_a_time(api.handle)) as url:
        yield Pinakes(server, api, url, ahead)


def two_machines(machine: Machines, pinakes: Pinakes) -> tuple[Home, Home]:
    """Two machines, signed in, that know the server's hash."""
    homes = machine("one"), machine("two")
    for home in homes:
        if pinakes.server.hash(b"") != hashlib.sha256(b"").hexdigest():
            assert home.run("config", "set", "pinakes_hash", "blake3").code == 0
        pinakes.login(home)
    return homes


def test_two_machines_converge_through_pinakes(machine: Machines, pinakes: Pinakes) -> None:
    """Texts, an image and a large file; edits, a rename and a delete travel both ways."""
    one, two = two_machines(machine, pinakes)
    one.write("notes/a.md", "a\n")
    one.write("images/x.png", bytes(range(256)))
    one.write("video.bin", LARGE)
    one.link("--name", "team")
    assert pinakes.files() == one.files()
    assert [row["name"] for row in one.json("sources")] == ["team", "(whole account)"]
    two.link("--source", "team")
    assert two.files() == one.files()
    two.write("notes/a.md", "b\n")
    two.write("new.txt", "new\n")
    two.write("video.bin", LARGE[::-1])
    (two.folder / "images/x.png").rename(two.folder / "images/y.png")
    two.sync(code=0)
    one.sync(code=0)
    assert sorted(one.files()) == ["images/y.png", "new.txt", "notes/a.md", "video.bin"]
    assert one.files() == two.files() == pinakes.files()
    (one.folder / "video.bin").unlink()
    one.sync(code=0)
    two.sync(code=0)
    assert two.files() == one.files() == pinakes.files()
    assert "video.bin" not in two.files()


@pytest.mark.parametrize("choice", ["keep_local", "keep_raven", "manual_merge"])
def test_each_resolution_of_a_conflict_on_pinakes(machine: Machines, trapped: Pinakes, choice: str) -> None:
    """All hold what a person decided; the text that it replaced is in the trash, as no history has it."""
    one, two = two_machines(machine, trapped)
    one.write("a.md", "base\n")
    one.link("--name", "team")
    two.link("--source", "team")
    one.write("a.md", "one\n")
    two.write("a.md", "two\n")
    one.sync(code=0)
    two.sync()
    assert (one.files()["a.md"], two.files()["a.md"]) == (b"one\n", b"two\n")
    (conflict,) = two.json("conflicts")
    if choice == "manual_merge":
        (two.path / "merged").write_text("both\n")
    flags = ("--file", str(two.path / "merged")) if choice == "manual_merge" else ()
    ran = two.run("resolve", two.folder / conflict["path"], choice, *flags)
    assert ran.code == 0, ran
    two.sync()
    one.sync(code=0)
    kept = {"keep_local": b"two\n", "keep_raven": b"one\n", "manual_merge": b"both\n"}[choice]
    assert trapped.files() == {"a.md": kept} == one.files() == two.files()
    assert two.json("conflicts") == []
    lost = {b"one\n", b"two\n"} - {kept}
    trashed = {row["hash"] for row in two.json("trash")}
    assert {hashlib.sha256(text).hexdigest() for text in lost} <= trashed


def test_devices_are_given_new_tokens_and_switched_off(machine: Machines, pinakes: Pinakes) -> None:
    """Both machines go on after their tokens ended; one that is switched off says so, and goes on when it is on."""
    one, two = two_machines(machine, pinakes)
    one.write("a.md", "a\n")
    one.link("--name", "team")
    two.link("--source", "team")
    own, other = one.json("devices")
    for device in (own, other):
        assert one.run("devices", "new-token", device["id"]).code == 0
    one.write("b.md", "b\n")
    one.sync(code=0)
    two.sync(code=0)
    assert sorted(two.files()) == ["a.md", "b.md"]
    assert one.run("devices", "disable", other["id"]).code == 0
    ran = two.run("sync")
    assert ran.code != 0 and "is switched off on the server" in ran.out + ran.err, ran
    assert two.run("devices", "enable", other["id"]).code == 0
    two.sync(code=0)


def test_a_device_token_is_replaced_and_an_ended_session_said(machine: Machines, trapped: Pinakes) -> None:
    """The device's token is refused while the agent runs, and a file saved then arrives; an ended session is said."""
    one = machine("one")
    trapped.login(one)
    one.link("--name", "team")
    (device,) = trapped.server.state.devices.values()
    trapped.server.state.devices[device.id] = replace(device, token="stolen")
    with one.daemon():
        one.write("a.md", "a\n")
        eventually(lambda: trapped.files() == {"a.md": b"a\n"}, 60, "the file is on the server")
    assert len(trapped.server.state.devices) == 1
    trapped.ahead[0] = 10_000.0
    ran = one.run("sync")
    assert ran.code != 0
    assert "sign in again" in ran.out + ran.err
    trapped.login(one)
    assert one.run("sync").code == 0


def test_the_commands_about_sources_and_files_say_what_there_is(machine: Machines, trapped: Pinakes) -> None:
    """Sources do not overlap, no history is promised, and doctor is content."""
    one = machine("one")
    trapped.server.put("team/a.md", b"a\n")
    trapped.login(one, dialect="auto")
    assert one.json("servers")[0]["dialect"] == "pinakes"
    one.link("--source", "team")
    whole = one.folder.parent / "all"
    ran = one.run("link", whole, "--source", "account", "--create", "--yes")
    assert ran.code != 0
    assert "has files in common with the one" in ran.err
    ran = one.run("history", one.folder / "a.md")
    assert "keeps no older versions" in ran.out + ran.err
    doctor = one.run("doctor")
    assert doctor.code == 0, doctor.out
    assert "renews by itself" in doctor.out


def test_auto_tells_the_servers_apart_without_a_token(machine: Machines, strict: StrictServer) -> None:
    """No request of the question carries a token, and each server is known by its refusals."""
    seen: list[str] = []

    def watched(handler: Handler) -> Handler:
        def handle(method: str, path: str, headers: Mapping[str, str], body: bytes) -> Response:
            seen.extend(value for name, value in headers.items() if name in ("authorization", "x-device-token"))
            return handler(method, path, headers, body)

        return one_at_a_time(handle)

    _, pinakes_api = made(time.time, PinTraps(only_versioned=True))
    _, drive_api = made_drive(time.time, DriveTraps())
    with serving(watched(pinakes_api.handle)) as media, serving(watched(drive_api.handle)) as drive:
        assert [detect_dialect(url) for url in (media, drive, strict.url)] == ["pinakes", "scaidrive", "raven"]
    assert seen == []
