"""The folders of shares: their entries, and their ids by path.

The book's ids are not used: a server may rename a folder and report only its files, and a file would then be created in
a folder of another name. Each folder is looked up on the server once in the life of a process.
"""

from __future__ import annotations

import posixpath
import threading
from collections.abc import Iterator
from typing import Final

from agent.core.errors import Problem, ProblemKind
from agent.remotes.fields import row, text
from agent.remotes.http.decode import DecodeLimits
from agent.remotes.http.failures import RemoteCallError, SideEffect, malformed
from agent.remotes.http.request import Priority
from agent.remotes.scaidrive.calls import LIST_COST, MISSING, Calls, no_folder
from agent.remotes.scaidrive.wire import ROOT, ChildRow, children_of, folder_body

_CONFLICT: Final = 409


class ShareFolders:
    """Folder ids of every share of one account. Safe to use from several threads."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._lock = threading.Lock()
        self._ids: dict[tuple[str, str | None, str], str] = {}
        """By the folder above, not by the path: a folder that moves takes the folders in it along."""
        self._forgotten = 0

    def forget(self, share: str) -> None:
        """Look every folder up again: one was moved or deleted, or the server does not know it."""
        with self._lock:
            self._ids = {key: value for key, value in self._ids.items() if key[0] != share}
            self._forgotten += 1

    def children(
        self, share: str, folder: str | None, *, deleted: bool = False, priority: Priority = Priority.OWN
    ) -> list[ChildRow]:
        """Return everything directly inside a folder; with ``deleted``, also what was deleted there.

        Raises:
            RemoteError: NOT_FOUND or GONE; GARBLED if the server counts more entries than it sends.
        """
        found: dict[str, ChildRow] = {}
        while True:
            query: dict[str, str | int] = {"share_id": share}
            if deleted:
                query["include_deleted"] = "true"
            if found:
                query["offset"] = len(found)
            data = self._calls.get(
                "folders/{}/children", (folder or ROOT,), query, cost=LIST_COST, priority=priority,
                limits=DecodeLimits.WHOLE,
            )  # fmt: skip
            page, total = children_of(data)
            before = len(found)
            found.update((child.id, child) for child in page)
            if total is None or len(found) >= total:
                return list(found.values())
            if len(found) == before:
                # A list that is cut would look like deleted files.
                raise malformed(f"the server sent {len(found)} of {total} entries of a folder")

    def walk(self, share: str) -> Iterator[tuple[str, list[ChildRow]]]:
        """Iterate over every folder's path and files. A folder that vanishes meanwhile is left out."""
        waiting: list[tuple[str | None, str]] = [(None, "")]
        while waiting:
            folder, path = waiting.pop()
            try:
                found = self.children(share, folder, priority=Priority.BULK)
            except RemoteCallError as failure:
                if folder is None or failure.problem.kind not in MISSING:
                    raise
                continue
            waiting += [(child.id, posixpath.join(path, child.name)) for child in found if child.is_folder]
            yield path, [child for child in found if not child.is_folder]

    def folder(self, share: str, path: str) -> str | None:
        """Return the id of the folder at a path; None for the top. Raises NOT_FOUND if there is none."""
        known: str | None = None
        so_far = ""
        for name in path.split("/") if path else ():
            so_far = posixpath.join(so_far, name)
            known = self._below(share, known, name, so_far)
        return known

    def _below(self, share: str, parent: str | None, name: str, path: str) -> str:
        with self._lock:
            cached = self._ids.get((share, parent, name))
        return cached or self._look(share, parent, name, path)

    def ensure(self, share: str, path: str) -> str | None:
        """Return the id of the folder at a path; missing ones are created."""
        known: str | None = None
        so_far = ""
        for name in path.split("/") if path else ():
            parent, so_far = known, posixpath.join(so_far, name)
            try:
                known = self._below(share, parent, name, so_far)
            except RemoteCallError as failure:
                if failure.problem.kind is not ProblemKind.NOT_FOUND:
                    raise
                known = self._create(share, parent, name, so_far)
        return known

    def entry(self, share: str, path: str, *, deleted: bool = False) -> ChildRow | None:
        """Return the entry at a path; None if there is none. Costs a call for each unknown folder on the way."""
        parent, name = posixpath.split(path)
        try:
            folder = self._deleted_folder(share, parent) if deleted else self.folder(share, parent)
            found = [each for each in self.children(share, folder, deleted=deleted) if each.name == name]
        except RemoteCallError as failure:
            if failure.problem.kind in MISSING:
                self.forget(share)
                return None
            raise
        # Several deleted files may have had the name; a server lists what was made later further down.
        return found[-1] if found else None

    def file(self, share: str, path: str, *, deleted: bool = False) -> str | None:
        """Return the id of the file at a path; None if there is none."""
        found = self.entry(share, path, deleted=deleted)
        return None if found is None or found.is_folder else found.id

    def _deleted_folder(self, share: str, path: str) -> str | None:
        known: str | None = None
        for name in path.split("/") if path else ():
            below = [each for each in self.children(share, known, deleted=True) if each.is_folder and each.name == name]
            if not below:
                raise no_folder(path)
            known = below[-1].id
        return known

    def _look(self, share: str, parent: str | None, name: str, path: str) -> str:
        begun = self._forgotten
        for child in self.children(share, parent):
            if child.is_folder and child.name == name:
                return self._keep(share, parent, name, child.id, begun)
        raise no_folder(path)

    def _create(self, share: str, parent: str | None, name: str, path: str) -> str:
        begun = self._forgotten
        try:
            answer = self._calls.post("folders", body=folder_body(share, parent, name))
        except RemoteCallError as failure:
            if failure.status == _CONFLICT:
                return self._look_again(share, parent, name, path)
            raise
        return self._keep(share, parent, name, text(row(answer, "folder"), "id"), begun)

    def _look_again(self, share: str, parent: str | None, name: str, path: str) -> str:
        """Return the folder that another machine created meanwhile.

        Raises:
            RemoteError: FORBIDDEN, the name is taken by something that is no folder, or that is not shown.
        """
        try:
            return self._look(share, parent, name, path)
        except RemoteCallError as failure:
            if failure.problem.kind is not ProblemKind.NOT_FOUND:
                raise
            problem = Problem(ProblemKind.FORBIDDEN, f"the server has something else at {path}")
            raise RemoteCallError(problem, SideEffect.NONE, problem.message) from failure

    def _keep(self, share: str, parent: str | None, name: str, identifier: str, begun: int) -> str:
        with self._lock:
            if begun == self._forgotten:
                # Otherwise the answer may be older than the move that made the others forgotten.
                self._ids[share, parent, name] = identifier
        return identifier
