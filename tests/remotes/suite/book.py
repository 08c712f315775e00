"""A book in memory, kept as the engine keeps its index: events and outcomes are committed into it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from agent.core.events import Delete, FeedEvent, Move, Page, Upsert
from agent.core.remote_records import Operation, Outcome, RemoteFolder, Result, Verb
from agent.remotes.book import BookEntry, PushedContent


class MemoryBook:
    """What one machine has committed of one source.

    Attributes:
        files: path -> file.
        folders: id -> folder.
        seen: (path, hash) -> the newest revision and id under which this content was seen there.
    """

    def __init__(self) -> None:
        self.files: dict[str, BookEntry] = {}
        self.folders: dict[str, RemoteFolder] = {}
        self.seen: dict[tuple[str, str], tuple[str | None, str | None]] = {}
        self.resumes: dict[str, str] = {}
        """Operation id -> the state with which its upload can continue."""
        self._sent: dict[str, tuple[Operation, Outcome | None]] = {}

    # Committing

    def commit_page(self, page: Page) -> None:
        """Take a page: its events, and what it says of folders."""
        self.commit(page.events)
        for folder in page.folders:
            before = self.folders.get(folder.id, folder).path
            for each in [f for f in self.folders.values() if f.path.startswith(before + "/")]:
                self.folders[each.id] = replace(each, path=folder.path + each.path[len(before) :])
            self.folders[folder.id] = folder
        for identifier in page.folders_gone:
            gone = self.folders.pop(identifier, None)
            for each in [f for f in self.folders.values() if gone and f.path.startswith(gone.path + "/")]:
                del self.folders[each.id]

    def commit(self, events: Iterable[FeedEvent]) -> None:
        """Take events."""
        for event in events:
            match event:
                case Upsert():
                    self._put(event.path, event.hash, event.rev, event.remote_id, event.size)
                case Move():
                    self.files.pop(event.old_path, None)
                    self._put(event.path, event.hash, event.rev, event.remote_id, event.size)
                case Delete():
                    self.files.pop(event.path, None)

    def sent(self, operation: Operation) -> None:
        """Take an operation that is about to be sent."""
        self._sent.setdefault(operation.id, (operation, None))

    def answered(self, outcome: Outcome) -> None:
        """Take the outcome of an operation."""
        operation, _ = self._sent[outcome.operation_id]
        if outcome.result is not Result.APPLIED:
            return
        self._sent[outcome.operation_id] = operation, outcome
        if operation.verb is Verb.DELETE:
            self.files.pop(operation.path, None)
            return
        if operation.old_path is not None:
            self.files.pop(operation.old_path, None)
        made = operation.result(outcome.rev, outcome.remote_id)
        assert made is not None
        self._put(operation.path, made.hash, made.rev, made.remote_id, made.size)

    def _put(self, path: str, digest: str, rev: str | None, identifier: str | None, size: int | None) -> None:
        self.files[path] = BookEntry(path, identifier, rev, digest, size)
        self.seen[path, digest] = rev, identifier

    # Reading

    def path_of(self, remote_id: str) -> str | None:
        """See ``Book``."""
        return next((file.path for file in self.files.values() if file.remote_id == remote_id), None)

    def entry_at(self, path: str) -> BookEntry | None:
        """See ``Book``."""
        return self.files.get(path)

    def files_below(self, path: str) -> Iterator[BookEntry]:
        """See ``Book``."""
        within = path + "/" if path else ""
        return iter(sorted((f for f in self.files.values() if f.path.startswith(within)), key=lambda f: f.path))

    def folder_id(self, path: str) -> str | None:
        """See ``Book``."""
        return next((folder.id for folder in self.folders.values() if folder.path == path), None)

    def folder_path(self, folder_id: str) -> str | None:
        """See ``Book``."""
        found = self.folders.get(folder_id)
        return None if found is None else found.path

    def has_other_folder(self, path: str, folder_id: str) -> bool:
        """See ``Book``."""
        return any(folder.path == path and folder.id != folder_id for folder in self.folders.values())

    def is_kept(self, path: str) -> bool:
        """See ``Book``."""
        return True

    def operation_for(self, remote_id: str | None, rev: str | None, path: str, digest: str | None) -> str | None:
        """See ``Book``."""
        for identifier, (operation, outcome) in reversed(self._sent.items()):
            own_id = (outcome.remote_id if outcome else None) or operation.remote_id
            own_rev = outcome.rev if outcome else None
            same = (operation.path, operation.hash) == (path, digest)
            if same and remote_id in (None, own_id) and rev in (None, own_rev):
                return identifier
        return None

    def pushed_to(self, path: str) -> list[PushedContent]:
        """See ``Book``."""
        found = [(o, made) for o, made in self._sent.values() if path in o.paths]
        return [
            PushedContent(o.hash, made.rev if made else None, o.base, o.base_rev, self.resumes.get(o.id))
            for o, made in reversed(found)
        ]
