"""What the carrier makes of a server's answers, over the adapter and a whole server."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from agent.core.accepts import TEXT
from agent.core.events import Upsert
from agent.core.remote_records import Result
from agent.disk.fs.posix import PosixFs
from agent.disk.selection.rules import Rules
from agent.engine import effects as e
from agent.engine import messages as m
from agent.remotes.raven.push import EncodedOperation
from agent.runtime.effect_executor import EffectExecutor, ServerConnection
from agent.runtime.local_folder import LocalFolder
from agent.runtime.local_index_reader import LocalIndexReader
from remotes.fixtures import World, edit, removal, sha
from strict_raven import faults


def carrier_of(world: World, top: Path) -> EffectExecutor:
    """A carrier to this world's server, over an empty folder."""
    folder = LocalFolder(PosixFs(), str(top), Rules(), str(top), "1")
    line = ServerConnection(world.remote, world.connector)
    return EffectExecutor(
        world.source, folder, LocalIndexReader(top / "none", 1), lambda: line, lambda: TEXT, world.clock
    )


@pytest.mark.parametrize(("room", "told"), [(0, [500]), (500, [500]), (501, [500, 500]), (1501, [500, 500, 500, 0])])
def test_the_feed_is_read_on_while_there_is_room(hub: World, tmp_path: Path, room: int, told: list[int]) -> None:
    """One byte each file: the next page is asked for only if those before it left any room."""
    for start in range(0, 1500, 100):
        hub.push(*(edit(f"{number:04}.md", "x") for number in range(start, start + 100)))
    carried = carrier_of(hub, tmp_path).carry_out(e.Poll(7, None, 0.0, room=room))
    pages = [page for page in carried if isinstance(page, m.PageArrived)]
    assert [(page.poll, len(page.page.events)) for page in pages] == [(7, size) for size in told]
    assert [page.last for page in pages] == [False] * (len(pages) - 1) + [True]
    events = [event for page in pages for event in page.page.events]
    assert all(isinstance(event, Upsert) and event.latest for event in events)


def test_one_head_that_cannot_be_believed_fails_alone(strict: World, tmp_path: Path) -> None:
    """Asked together with it, the others are answered: one client's wrong hash holds up no resolution but its own."""
    strict.push(edit("a.md", "a"), edit("b.md", "b"))
    wrong = hashlib.sha256(b"another text").hexdigest()
    item = {"relativePath": "bad.md", "operation": "upsert", "content": "text", "contentHash": wrong}
    strict.raw("sources/push-batch", items=[{**item, "operationId": "foreign-1", "contentType": "text/plain"}])
    told = list(carrier_of(strict, tmp_path).carry_out(e.FetchHeadsAndConflicts(("a.md", "bad.md", "b.md"))))
    assert [message.subject for message in told if isinstance(message, m.CallFailed)] == ["bad.md"]
    assert [message.path for message in told if isinstance(message, m.HeadArrived)] == ["a.md", "b.md"]


def test_a_server_side_pause_is_reported_with_the_status(world: World, tmp_path: Path) -> None:
    """By its own word: the feed of a server that was put back may never tell that a pause it once told of is over."""
    carrier = carrier_of(world, tmp_path)
    (page,) = carrier.carry_out(e.Poll(1, None, 0.0))
    assert isinstance(page, m.PageArrived)
    for pause in (True, False):
        (world.remote.pause if pause else world.remote.resume)(world.source)
        told = list(carrier.carry_out(e.CheckFeedContinuity(page.page.state)))
        assert [message.paused for message in told if isinstance(message, m.FeedContinuityChecked)] == [pause]


def test_what_is_on_its_way_shows_no_text_of_a_file() -> None:
    """A log may quote whatever an error holds."""
    outgoing = edit("a.md", "a paragraph of mine")
    shown = repr(EncodedOperation(outgoing.operation, b"a paragraph of mine", b'{"content": "a paragraph of mine"}'))
    assert "a.md" in shown
    assert "paragraph" not in shown


def test_fb4_deleted_texts_are_found_on_the_server(world: World, tmp_path: Path) -> None:
    """FB4: of a deleted file, of a file that is there, of an empty one; a text the server never had is nowhere."""
    world.push(edit("gone.md", "gone"), edit("there.md", "there"), edit("empty.md", ""))
    world.push(removal("gone.md", "gone"), removal("empty.md", ""))
    asked = {"gone.md": "gone", "there.md": "there", "empty.md": "", "never.md": "never"}
    effect = e.FetchDeletedTexts(tuple((path, sha(text)) for path, text in asked.items()))
    assert list(carrier_of(world, tmp_path).carry_out(effect)) == [
        m.DeletedTextFound(path, None if path == "never.md" else text.encode()) for path, text in asked.items()
    ]


def test_fb4_a_failed_question_ends_the_search_for_texts(world: World, tmp_path: Path) -> None:
    """FB4: the file it was about is named; those behind it get no answer, and are asked about again."""
    for name in ("a.md", "b.md", "c.md"):
        world.push(edit(name, name))
        world.push(removal(name, name))
    world.faults.inject(faults.unavailable(), requests=1, on="/sources/history")
    effect = e.FetchDeletedTexts(tuple((name, sha(name)) for name in ("a.md", "b.md", "c.md")))
    (told,) = carrier_of(world, tmp_path).carry_out(effect)
    assert isinstance(told, m.CallFailed) and (told.call, told.subject) == (m.Call.HISTORY, "a.md")


def test_fb4_an_unreadable_trash_is_told(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FB4: "could not look" is not "nowhere"."""

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(LocalFolder, "find_in_trash", refuse)
    world.push(edit("a.md", "a"))
    effect = e.FetchDeletedTexts((("a.md", sha("a")), ("b.md", sha("b"))))
    found, unknown = carrier_of(world, tmp_path).carry_out(effect)
    assert found == m.DeletedTextFound("a.md", b"a")
    assert isinstance(unknown, m.DeletedTextFound) and unknown.content is None and "trash" in (unknown.trouble or "")


class Mounted(LocalIndexReader):
    """An index that knows these mount points."""

    def __init__(self, top: Path, known: frozenset[str]) -> None:
        super().__init__(top / "none", 1)
        self.known_mounts = known

    def mounts(self) -> frozenset[str]:
        """As in ``IndexReader``."""
        return self.known_mounts


def test_fd2_a_mount_given_up_keeps_no_file_from_being_sent(hub: World, tmp_path: Path) -> None:
    """FD2: a person goes on without a mount; the files that are in the bare folder by then can be read and sent."""
    (tmp_path / "d").mkdir()
    (tmp_path / "d/a.md").write_text("text")
    index = Mounted(tmp_path, frozenset({"d"}))
    folder = LocalFolder(PosixFs(), str(tmp_path), Rules(), str(tmp_path), "1")
    line = ServerConnection(hub.remote, hub.connector)
    executor = EffectExecutor(hub.source, folder, index, lambda: line, lambda: TEXT, hub.clock)
    unsure = e.Send(1, (e.OutgoingOperation(removal("d/b.md", "b").operation),))
    (told,) = executor.carry_out(unsure)
    assert isinstance(told, m.BatchAnswered) and told.outcomes[0].result is Result.CHANGED
    index.known_mounts = frozenset()
    (told,) = executor.carry_out(e.Send(2, (e.OutgoingOperation(edit("d/a.md", "text").operation),)))
    assert isinstance(told, m.BatchAnswered) and told.outcomes[0].result is Result.APPLIED
    folder.close()
