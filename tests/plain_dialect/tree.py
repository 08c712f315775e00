"""The server's folders as the adapter knows them: ids by path, and the walk over all files."""

from __future__ import annotations

import posixpath
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from agent.core.errors import Problem, ProblemKind
from agent.remotes.book import BookOf
from agent.remotes.fields import maybe_text, row, rows, text
from agent.remotes.http.client import HttpClient
from agent.remotes.http.failures import RemoteCallError, SideEffect, malformed
from agent.remotes.http.request import ApiRequest, Priority, encode_json

PAGE = 100
"""Children asked for at once."""
MISSING = (ProblemKind.NOT_FOUND, ProblemKind.GONE)
_TOP = "root"

Row = Mapping[str, Any]


class Tree:
    """Folder ids of every source of one account: a cache over the book, and over the server itself."""

    def __init__(self, http: HttpClient, books: BookOf) -> None:
        self._http = http
        self._books = books
        self._refused: set[str] = set()
        """Ids of the book that the server did not know."""
        self._ids: dict[tuple[str, str | None, str], str] = {}
        """By the folder above, not by the path: a folder that moves takes the folders in it along."""
        self._forgotten = 0
        self._of_book: dict[str, set[str]] = {}
        """Source to the ids of the book that were used. They are asked of the book each time: it follows the moves."""
        self._lock = threading.Lock()

    def forget(self, source: str) -> None:
        """Ask for every folder again: one was moved or deleted."""
        with self._lock:
            self._ids = {key: value for key, value in self._ids.items() if key[0] != source}
            self._forgotten += 1

    def distrust(self, source: str) -> None:
        """Ask for every folder again, whatever the book says: the server did not know one of them."""
        with self._lock:
            self._refused |= {identifier for (of, _, _), identifier in self._ids.items() if of == source}
            self._refused |= self._of_book.pop(source, set())
        self.forget(source)

    def children(self, source: str, folder: str | None, offset: int) -> tuple[list[Row], bool]:
        """One page of what a folder holds, and whether there is more."""
        query: dict[str, str | int] = {"folder": folder or _TOP, "offset": offset, "limit": PAGE}
        call = ApiRequest("GET", "sources/{}/children", (source,), query, cost=2, priority=Priority.BULK)
        answer = row(self._http.request(call).data, "folder")
        return rows(answer.get("items"), "child"), answer.get("more") is True

    def all_children(self, source: str, folder: str | None) -> Iterator[Row]:
        """Everything directly inside a folder."""
        offset, more = 0, True
        while more:
            page, more = self.children(source, folder, offset)
            offset += len(page)
            yield from page
            if more and not page:
                raise malformed("the server names more children and sends none")

    def walk(self, source: str) -> Iterator[tuple[str, list[Row]]]:
        """Every folder's path and its files. A folder that vanishes meanwhile is left out."""
        waiting: list[tuple[str | None, str]] = [(None, "")]
        while waiting:
            folder, path = waiting.pop()
            try:
                found = list(self.all_children(source, folder))
            except RemoteCallError as failure:
                if folder is None or failure.problem.kind not in MISSING:
                    raise
                continue
            waiting += [(text(c, "id"), posixpath.join(path, text(c, "name"))) for c in found if c["type"] == "folder"]
            yield path, [child for child in found if child["type"] == "file"]

    def folder(self, source: str, path: str) -> str | None:
        """The id of the folder at a path (None: the top). Raises NOT_FOUND if there is none."""
        known: str | None = None
        so_far = ""
        for name in path.split("/") if path else ():
            so_far = posixpath.join(so_far, name)
            known = self._below(source, known, name, so_far)
        return known

    def _below(self, source: str, parent: str | None, name: str, path: str) -> str:
        with self._lock:
            cached = self._ids.get((source, parent, name))
        return cached or self._in_book(source, path) or self._look(source, parent, name, path)

    def ensure(self, source: str, path: str, device: str) -> str | None:
        """The id of the folder at a path; missing ones are created."""
        known: str | None = None
        so_far = ""
        for name in path.split("/") if path else ():
            parent, so_far = known, posixpath.join(so_far, name)
            try:
                known = self._below(source, parent, name, so_far)
            except RemoteCallError as failure:
                if failure.problem.kind is not ProblemKind.NOT_FOUND:
                    raise
                known = self._create(source, parent, name, so_far, device)
        return known

    def file(self, source: str, path: str) -> str | None:
        """The id of the file at a path; None if there is none. Costs a call for each folder on the way."""
        parent, name = posixpath.split(path)
        try:
            found = self.all_children(source, self.folder(source, parent))
            return next((text(c, "id") for c in found if (c["type"], c["name"]) == ("file", name)), None)
        except RemoteCallError as failure:
            if failure.problem.kind in MISSING:
                self.distrust(source)
                return None
            raise

    def _in_book(self, source: str, path: str) -> str | None:
        found = self._books(source).folder_id(path)
        if found is None or found in self._refused:
            return None
        with self._lock:
            self._of_book.setdefault(source, set()).add(found)
        return found

    def _look(self, source: str, parent: str | None, name: str, path: str) -> str:
        begun = self._forgotten
        for child in self.all_children(source, parent):
            if (child["type"], child["name"]) == ("folder", name):
                return self._keep(source, parent, name, text(child, "id"), begun)
        raise _no_folder(path)

    def _create(self, source: str, parent: str | None, name: str, path: str, device: str) -> str:
        body = encode_json({"parent": parent, "name": name, "device": device})
        begun = self._forgotten
        try:
            answer = self._http.request(ApiRequest("POST", "sources/{}/folders", (source,), body=body, cost=2)).data
        except RemoteCallError as failure:
            if failure.status == 409:
                # Another machine created it meanwhile.
                return self._look(source, parent, name, path)
            raise
        return self._keep(source, parent, name, text(row(answer, "folder"), "id"), begun)

    def _keep(self, source: str, parent: str | None, name: str, identifier: str, begun: int) -> str:
        with self._lock:
            if begun == self._forgotten:
                self._ids[source, parent, name] = identifier
        return identifier


def mark_of(child: Row) -> str | None:
    """The value that changes whenever the file does."""
    return maybe_text(child, "mark")


def _no_folder(path: str) -> RemoteCallError:
    return RemoteCallError(Problem(ProblemKind.NOT_FOUND, f"no folder {path}"), SideEffect.NONE)
