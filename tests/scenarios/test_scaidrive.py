"""The program as people run it, against the strict ScaiDrive server: two machines, any files, tokens that end."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest

from scenarios.conftest import Machines
from strict_raven.serve import serving
from strict_raven.wire import Response
from strict_scaidrive.__main__ import made, one_at_a_time
from strict_scaidrive.api import ScaiDriveApi, show_folder
from strict_scaidrive.server import StrictScaiDrive
from strict_scaidrive.state import DriveTraps
from support.eventually import eventually
from support.processes import Home
from support.servers import Server

LARGE = hashlib.sha256(b"large").digest() * 200_000
"""6.4 MB: more than one request takes, so it travels in chunks."""


@dataclass
class Drive:
    """A served strict server. ``ahead``: seconds by which its clock is ahead."""

    server: StrictScaiDrive
    api: ScaiDriveApi
    url: str
    ahead: list[float]

    def login(self, home: Home, *flags: str) -> None:
        """Sign a machine in with a refresh token of its own."""
        refresh = self.api.accounts.new_tokens()["refresh_token"]
        flags = ("--name", "drive", "--dialect", "scaidrive", "--refresh-token-stdin", *flags)
        ran = home.run("login", self.url, *flags, stdin=refresh)
        assert ran.code == 0, ran

    def files(self, share: str) -> dict[str, bytes]:
        """Path -> content."""
        return self.server.heads(share)


@pytest.fixture
def drive() -> Iterator[Drive]:
    ahead = [0.0]
    server, api = made(lambda: time.time() + ahead[0], DriveTraps())
    with serving(one_at_a_time(api.handle)) as url:
        yield Drive(server, api, url, ahead)


def test_two_machines_converge_through_scaidrive(machine: Machines, drive: Drive) -> None:
    """Texts, an image and a large file; edits, a rename and a delete travel both ways."""
    one, two = machine("one"), machine("two")
    drive.login(one)
    drive.login(two)
    one.write("notes/a.md", "a\n")
    one.write("images/x.png", bytes(range(256)))
    one.write("video.bin", LARGE)
    share = one.link("--name", "team")
    assert drive.files(share) == one.files()
    assert [row["name"] for row in one.json("sources")] == ["team"]
    two.link("--source", "team")
    assert two.files() == one.files()
    two.write("notes/a.md", "b\n")
    two.write("new.txt", "new\n")
    (two.folder / "images/x.png").rename(two.folder / "images/y.png")
    (two.folder / "video.bin").unlink()
    two.sync(code=0)
    one.sync(code=0)
    assert sorted(one.files()) == ["images/y.png", "new.txt", "notes/a.md"]
    assert one.files() == two.files() == drive.files(share)


def test_a_conflict_is_parked_and_resolved_on_scaidrive(machine: Machines, drive: Drive) -> None:
    """Both texts are kept until a person decides; the decision is a push on the head that was shown."""
    one, two = machine("one"), machine("two")
    drive.login(one)
    drive.login(two)
    one.write("a.md", "base\n")
    share = one.link("--name", "team")
    two.link("--source", "team")
    one.write("a.md", "one\n")
    two.write("a.md", "two\n")
    one.sync(code=0)
    two.sync()
    assert (one.files()["a.md"], two.files()["a.md"]) == (b"one\n", b"two\n")
    (conflict,) = two.json("conflicts")
    ran = two.run("resolve", two.folder / conflict["path"], "keep_local")
    assert ran.code == 0, ran
    two.sync()
    one.sync(code=0)
    assert drive.files(share) == {"a.md": b"two\n"} == one.files() == two.files()


def test_a_spent_refresh_token_keeps_its_account(machine: Machines) -> None:
    """The server renews the token and then fails: the new pair and its account are kept, and work when it recovers."""
    server, api = made(time.time, DriveTraps())
    failing = [False]

    def handle(method: str, path: str, headers: Mapping[str, str], body: bytes) -> Response:
        if failing[0]:
            return Response(503, {"content-type": "application/json"}, b"{}")
        answer = api.handle(method, path, headers, body)
        failing[0] = path.endswith("auth/token")
        return answer

    with serving(one_at_a_time(handle)) as url:
        drive = Drive(server, api, url, [0.0])
        one = machine("one")
        refresh = api.accounts.new_tokens()["refresh_token"]
        flags = ("--name", "drive", "--dialect", "scaidrive", "--refresh-token-stdin")
        ran = one.run("login", url, *flags, stdin=refresh)
        assert ran.code == 5 and "the account drive is kept with its new token" in ran.err, ran
        failing[0] = False
        assert [row["name"] for row in one.json("servers")] == ["drive"]
        one.write("a.md", "a\n")
        assert drive.files(one.link("--name", "team")) == {"a.md": b"a\n"}


def test_a_token_is_renewed_while_the_agent_runs(machine: Machines, drive: Drive) -> None:
    """The access token ends, the pair is replaced once, and a file saved afterwards arrives."""
    one = machine("one")
    drive.login(one)
    share = one.link("--name", "team")
    before = (one.path / "credentials.json").read_bytes() if (one.path / "credentials.json").exists() else b""
    drive.ahead[0] = 4000.0
    with one.daemon():
        one.write("a.md", "a\n")
        eventually(lambda: drive.files(share) == {"a.md": b"a\n"}, 90, "the file is on the server")
    after = (one.path / "credentials.json").read_bytes() if (one.path / "credentials.json").exists() else b""
    assert after != before or not before
    assert one.run("sync").code == 0


def test_the_commands_about_one_file_work_on_scaidrive(machine: Machines, drive: Drive) -> None:
    """Plan, history and restore of any bytes, and no warning about a token that is renewed."""
    one = machine("one")
    drive.login(one)
    one.write("a.md", "a\n")
    one.write("b.bin", bytes(range(256)))
    plan = one.json("link", one.folder, "--dry-run")["plan"]
    assert (plan["upload"], plan["skip"]) == (2, 0)
    share = one.link("--name", "team")
    one.write("a.md", "b\n")
    one.write("b.bin", b"\0new")
    one.sync(code=0)
    assert [row["size"] for row in one.json("history", one.folder / "b.bin")] == [4, 256]
    first = one.json("history", one.folder / "a.md")[-1]["hash"]
    assert one.run("restore", one.folder / "a.md", "--version", first[:12], "--yes").code == 0
    one.sync(code=0)
    assert drive.files(share) == {"a.md": b"a\n", "b.bin": b"\0new"} == one.files()
    assert "rule: **" in one.run("explain", one.folder / "b.bin").out
    assert "token" not in one.run("status").out
    doctor = one.run("doctor")
    assert doctor.code == 0, doctor
    assert "renews by itself" in doctor.out


def test_a_plan_says_how_long_the_limit_of_calls_lets_it_take(machine: Machines, drive: Drive) -> None:
    """Sixty files at seven calls each, and a hundred calls a minute."""
    one = machine("one")
    drive.login(one)
    drive.server.traps.limit = 100
    for number in range(60):
        one.write(f"{number}.md", "x\n")
    assert one.json("link", one.folder, "--dry-run")["minutes"] == 5
    assert "at least 5 minutes" in one.run("link", one.folder, "--dry-run").out


def test_two_machines_converge_through_the_hub(machine: Machines, shared_hub: Server) -> None:
    """Any file, through the hub's ScaiDrive API, beside the texts that its Raven API serves."""
    one, two = machine("one"), machine("two")
    for home in (one, two):
        flags = ("--name", "drive", "--dialect", "scaidrive", "--token-stdin")
        ran = home.run("login", shared_hub.url, *flags, stdin=shared_hub.token)
        assert ran.code == 0, ran
    one.write("notes/a.md", "a\n")
    one.write("images/x.png", bytes(range(256)))
    one.write("video.bin", LARGE)
    share = one.link("--name", "any")
    two.link("--source", share)
    assert two.files() == one.files()
    two.write("notes/a.md", "b\n")
    (two.folder / "video.bin").rename(two.folder / "images/video.bin")
    (two.folder / "images/x.png").unlink()
    two.sync(code=0)
    one.sync(code=0)
    assert one.files() == two.files() == {"notes/a.md": b"b\n", "images/video.bin": LARGE}
    assert shared_hub.text(share, "notes/a.md") == "b\n"


def test_large_versions_come_back_in_pieces(machine: Machines, drive: Drive) -> None:
    """In pieces: an earlier version of the server, an entry of the trash, a copy elsewhere, and a deleted file."""
    one = machine("one")
    drive.login(one)
    newer = LARGE[::-1]
    one.write("video.bin", LARGE)
    for number in range(12):
        # Beside them, one delete is not all files.
        one.write(f"{number}.md", "x")
    share = one.link("--name", "team")
    one.write("video.bin", newer)
    one.sync(code=0)
    first = hashlib.sha256(LARGE).hexdigest()
    ran = one.run("restore", one.folder / "video.bin", "--version", first[:12], "--yes")
    assert ran.code == 0, ran
    assert one.files()["video.bin"] == LARGE == drive.files(share)["video.bin"]
    (entry,) = one.json("trash")
    assert (entry["hash"], entry["size"]) == (hashlib.sha256(newer).hexdigest(), len(newer))
    ran = one.run("restore", one.folder / "video.bin", "--trash", entry["id"], "--yes")
    assert ran.code == 0, ran
    assert one.files()["video.bin"] == newer
    (one.folder / "video.bin").unlink()
    one.sync(code=0)
    assert "video.bin" not in drive.files(share)
    copy = one.path / "copy.bin"
    ran = one.run("restore", one.folder / "video.bin", "--version", first[:12], "--to", copy)
    assert ran.code == 0, ran
    assert copy.read_bytes() == LARGE
    ran = one.run("restore", one.folder / "video.bin", "--version", first[:12], "--yes")
    assert ran.code == 0, ran
    assert one.files()["video.bin"] == LARGE == drive.files(share)["video.bin"]
    assert not list(one.folder.rglob("*.down"))
    shown = one.run("show", one.folder / "video.bin", "--version", first[:12])
    assert shown.code == 1, shown
    assert "--to FILE" in shown.err


def test_a_right_that_is_taken_away_deletes_nothing(machine: Machines, drive: Drive) -> None:
    """A folder vanishes from every list: its files stay here, are named, and go on once it is shown again."""
    one = machine("one")
    drive.login(one)
    for name in ("a.md", "b.md", "team/c.md", "team/d.md"):
        one.write(name, f"{name}\n")
    share = one.link("--name", "team")
    before = one.files()
    show_folder(drive.server, "team", hidden=True)
    for _ in range(3):
        one.sync()
    assert one.files() == before
    skipped = {row["path"]: row["reason"] for row in one.json("files", one.folder, "--state", "skipped")}
    assert skipped == {"team/c.md": "not_listed", "team/d.md": "not_listed"}
    show_folder(drive.server, "team", hidden=False)
    one.write("team/c.md", "newer\n")
    one.sync()
    one.sync(code=0)
    assert one.json("files", one.folder, "--state", "skipped") == []
    assert one.files() == drive.files(share) == {**before, "team/c.md": b"newer\n"}
