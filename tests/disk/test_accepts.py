"""Contents that are no text, for a server of texts and for one that takes any file."""

from __future__ import annotations

import pytest

from agent.core.accepts import TEXT, Accepts
from agent.core.model import Observation, Presence, Reason
from agent.disk.scan.digest import HELD
from agent.disk.scan.observe import observe_path
from agent.disk.scan.walk import scan
from disk.fixtures import Room, age, inline, intent, remember

ANY = Accepts(text_only=False)
BINARY = b"a\x00b"
LATIN = "\u00e9t\u00e9".encode("latin-1")
LARGE = b"\xff\x00" * (HELD // 2 + 1)


def write(room: Room, content: bytes) -> None:
    """A file at rest."""
    path = room.folder / "a.md"
    path.write_bytes(content)
    age(path)


def see(room: Room, accepts: Accepts, known: Observation | None = None) -> Observation:
    """What is seen at a.md."""
    stored = None if known is None else remember(known)
    return observe_path(room.root, room.selection, "a.md", stored, accepts=accepts)


def differences(room: Room, accepts: Accepts, known: Observation) -> list[Observation]:
    """What a whole scan tells beside what is known."""
    found = scan(room.root, room.selection, [remember(known)], accepts=accepts)
    return [one for batch in found for one in batch.seen]


@pytest.mark.parametrize("content", [BINARY, LATIN, LARGE], ids=["binary", "latin", "large"])
def test_any_content_is_taken_where_the_server_takes_it(room: Room, content: bytes) -> None:
    """It has its hash and no reason; a server of texts skips it."""
    write(room, content)
    taken = see(room, ANY)
    assert (taken.side.presence, taken.side.reason, taken.side.size) == (Presence.FILE, None, len(content))
    assert see(room, TEXT).side.reason in (Reason.BINARY, Reason.NOT_UTF8)


@pytest.mark.parametrize("content", [BINARY, LARGE], ids=["small", "large"])
def test_a_skipped_file_is_taken_once_the_server_takes_it(room: Room, content: bytes) -> None:
    """The file did not change: a scan that only compares its stat must not leave it skipped."""
    write(room, content)
    skipped = see(room, TEXT)
    assert skipped.side.reason in (Reason.BINARY, Reason.NOT_UTF8)
    found = differences(room, ANY, skipped)
    assert [(seen.side.presence, seen.side.reason) for seen in (*found, see(room, ANY, skipped))] == [
        (Presence.FILE, None)
    ] * 2
    assert differences(room, ANY, found[0]) == []


def test_a_size_limit_holds_for_any_content(room: Room) -> None:
    """The limit of a server that takes every kind of file."""
    write(room, BINARY)
    assert see(room, Accepts(text_only=False, max_bytes=2)).side.reason is Reason.TOO_LARGE
    assert see(room, Accepts(text_only=False, max_bytes=3)).side.reason is None


def test_an_installed_file_is_observed_by_what_the_server_takes(room: Room) -> None:
    """A binary file that came from the server is no skipped one."""
    room.installer.accepts = ANY
    (landed,) = room.installer.apply(inline([(intent("a.md", BINARY, None), BINARY)]), 1.0)
    assert landed.seen is not None and landed.seen.side.reason is None
