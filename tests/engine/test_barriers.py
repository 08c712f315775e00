"""Pages that end before an event which needs the index, and what a page says of folders."""

from __future__ import annotations

from pathlib import Path

from agent.core.accepts import TEXT
from agent.core.events import Page, Upsert
from agent.core.remote_records import RemoteFolder
from agent.disk.fs.posix import PosixFs
from agent.disk.selection.rules import Rules
from agent.engine import effects as e
from agent.engine import messages as m
from agent.runtime.effect_executor import EffectExecutor, ServerConnection
from agent.runtime.local_folder import LocalFolder
from agent.runtime.local_index_reader import LocalIndexReader
from engine.harness import SOURCE, sha, started

DIGEST = sha("A")


class Pages:
    """A server with these pages; each is read once."""

    def __init__(self, *pages: Page) -> None:
        self._pages = list(pages)

    def pull(self, *_: object, **__: object) -> Page:
        """See ``Remote``."""
        return self._pages.pop(0)


def test_no_page_is_read_past_a_barrier(tmp_path: Path) -> None:
    """Even with room and more to read: what follows is translated with what the index then knows."""
    folder = LocalFolder(PosixFs(), str(tmp_path), Rules(), str(tmp_path), "1")
    remote = Pages(Page((), "1", True, "1"), Page((), "2", True, "2", barrier=True), Page((), "3", False, "3"))
    connection = ServerConnection(remote, None)  # type: ignore[arg-type]
    executor = EffectExecutor(
        "s", folder, LocalIndexReader(tmp_path / "none", 1), lambda: connection, lambda: TEXT, lambda: 0.0
    )
    read = [(page.page.state, page.last) for page in executor.carry_out(e.Poll(1, None, 0.0, room=1 << 20))]  # type: ignore[union-attr]
    assert read == [("1", False), ("2", True)]


def test_reading_goes_on_once_a_page_with_a_barrier_is_committed() -> None:
    """The next poll begins at the committed state, and the index holds the events before it."""
    harness = started()
    harness.rest()
    harness.tell(m.SyncNow(1))
    harness.stands()
    poll = harness.take(e.Poll)
    event = Upsert("d/a.md", DIGEST, 1, b"A")
    page = Page((event,), "at the barrier", True, "1", barrier=True)
    harness.tell(m.PageArrived(poll.number, page, last=True))
    again = harness.take(e.Poll)
    assert (again.state, again.wait) == ("at the barrier", 0.0)
    assert harness.index.trees.get(SOURCE, ["d/a.md"])["d/a.md"].remote.hash == DIGEST


def test_folders_are_committed_with_their_page() -> None:
    """Created, moved with those below, and deleted."""
    harness = started()
    harness.rest()

    def tell(*folders: RemoteFolder, gone: tuple[str, ...] = ()) -> list[tuple[str, str]]:
        harness.tell(m.SyncNow(1))
        harness.stands()
        poll = harness.take(e.Poll)
        page = Page((), poll.state or "0", False, "0", folders=folders, folders_gone=gone)
        harness.tell(m.PageArrived(poll.number, page, last=True))
        harness.rest()
        return [(folder.id, folder.path) for folder in harness.index.folders.all(SOURCE)]

    assert tell(RemoteFolder("d", "d", None), RemoteFolder("e", "d/e", "d")) == [("d", "d"), ("e", "d/e")]
    assert tell(RemoteFolder("d", "x", None)) == [("d", "x"), ("e", "x/e")]
    assert tell(gone=("d",)) == []
