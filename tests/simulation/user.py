"""Edits of users in their own files, at any moment between two calls of the agent."""

from __future__ import annotations

import hashlib
import unicodedata
from dataclasses import dataclass, field

from agent.disk.fs.protocol import FileType
from simulation.memory_fs import Names
from simulation.simfs import Node, SimFs

ROOT = "home"
STATE = "state"
OUTSIDE = "outside"
SECRET = b"not the agent's business\n"


def sha(data: bytes) -> str:
    """The identity of a text."""
    return hashlib.sha256(data).hexdigest()


@dataclass
class User:
    """One person at one disk. Everything they do is durable at once.

    Attributes:
        home: the folder that was linked, wherever it stands by now.
        given_up: hashes of texts this person overwrote or removed with their own hands.
        open_files: files that programs have open for writing, one entry a handle.
        renamed: paths whose file was last taken away by a rename, with that file.
    """

    fs: SimFs
    given_up: set[str] = field(default_factory=set)
    open_files: list[Node] = field(default_factory=list)
    renamed: dict[str, Node] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in (ROOT, STATE, OUTSIDE):
            self.fs.change((self.fs.top, name, self.fs.new_node(FileType.FOLDER, 0o755)))
        self.home = self.fs.top.names[ROOT]
        secret = self.fs.new_node(FileType.FILE, 0o600)
        secret.data = secret.durable = SECRET
        outside = self.fs.top.names[OUTSIDE]
        self.fs.change((outside, "secret.md", secret))
        outside.outside = secret.outside = True
        self.fs.settle()

    def tree(self) -> dict[str, bytes]:
        """Path -> bytes of every synced file; composed where the disk keeps only decomposed names."""
        decomposed = self.fs.disk.names is Names.DECOMPOSED
        return {
            unicodedata.normalize("NFC", path) if decomposed else path: node.data
            for path, node in self.fs.files(self.home)
            if node.kind is FileType.FILE and not path.startswith(".")
        }

    def read(self, path: str) -> bytes | None:
        """The bytes of a file; None where there is none."""
        node = self.find(path)
        return node.data if node is not None and node.kind is FileType.FILE else None

    def write(self, path: str, data: bytes) -> None:
        """Save in place, as simple editors do; folders, files and links in the way give way."""
        folder, name = self._room(path)
        node = folder.names.get(name)
        if node is None or node.kind is FileType.LINK:
            node = self.fs.new_node(FileType.FILE, 0o644)
            self.fs.change((folder, name, node))
            self.renamed.pop(path, None)
        before = node.data
        node.data = node.durable = data
        node.user = True
        self._gave_up(before)
        node.mtime = node.ctime = self.fs.stamp()
        self.fs.settle()

    def replace(self, path: str, data: bytes) -> None:
        """Save by renaming a new file over the old one, as careful editors do."""
        folder, name = self._room(path)
        old = folder.names.get(name)
        node = self.fs.new_node(FileType.FILE, 0o644)
        node.data = node.durable = data
        node.user = True
        self.fs.change((folder, name, node))
        self.renamed.pop(path, None)
        if old is not None:
            self._give_up(old)
            self.fs.free(old)
        self.fs.settle()

    def delete(self, path: str) -> None:
        """Remove a file."""
        folder, name = self._room(path)
        node = folder.names.get(name)
        if node is not None:
            self.fs.change((folder, name, None))
            self.renamed.pop(path, None)
            self._give_up(node)
            self.fs.free(node)
        self.fs.settle()

    def rename(self, old: str, new: str) -> None:
        """Move a file, over another if there is one."""
        node = self.find(old)
        if node is None or old == new or new.startswith(old + "/"):
            return
        folder, name = self._room(new)
        if self.find(old) is not node:
            return
        there = folder.names.get(name)
        if there is node:
            # Only the spelling changes.
            there, name = None, new.rpartition("/")[2]
        source, old_name = self._room(old)
        self.fs.change((source, old_name, None), (folder, name, node))
        self.renamed.pop(new, None)
        self.renamed[old] = node
        if there is not None:
            self._give_up(there)
        self.fs.settle()

    def has_twin(self, path: str) -> bool:
        """Whether something of another spelling stands at this path, or at a folder above it, or the disk cannot keep
        this spelling.
        """
        if self.fs.disk.names is Names.DECOMPOSED:
            if unicodedata.normalize("NFC", path) != path:
                return True
            path = unicodedata.normalize("NFD", path)
        node = self.home
        for part in path.split("/"):
            name = self.fs.disk.spelled(node, part)
            below = node.names.get(name)
            if below is None:
                return False
            if self.fs.disk.shown(name) != part:
                return True
            node = below
        return False

    def paths(self) -> list[str]:
        """The files there are."""
        return sorted(self.tree())

    def _give_up(self, node: Node) -> None:
        if node.kind is FileType.FILE:
            self._gave_up(node.data, node)

    def _gave_up(self, data: bytes, node: Node | None = None) -> None:
        if not self.fs.holds(data, node):
            self.given_up.add(sha(data))

    def find(self, path: str) -> Node | None:
        """What stands at a path."""
        node = self.home
        for part in path.split("/"):
            below = node.names.get(self.fs.disk.spelled(node, part))
            if below is None:
                return None
            node = below
        return node

    def _room(self, path: str) -> tuple[Node, str]:
        """The folder a path lies in, made if need be, with nothing but a file or nothing at the path itself."""
        node = self.home
        *above, name = path.split("/")
        for asked in above:
            part = self.fs.disk.spelled(node, asked)
            below = node.names.get(part)
            if below is None or below.kind is not FileType.FOLDER:
                folder = self.fs.new_node(FileType.FOLDER, 0o755)
                self.fs.change((node, part, folder))
                if below is not None:
                    self._give_up(below)
                below = folder
            node = below
        name = self.fs.disk.spelled(node, name)
        there = node.names.get(name)
        if there is not None and there.kind is FileType.FOLDER:
            self.discard(node, name)
        return node, name

    def discard(self, folder: Node, name: str) -> None:
        """Remove a name and all there is below it."""
        there = folder.names.get(name)
        if there is None:
            return
        self.fs.change((folder, name, None))
        for _, lost in self.fs.files(there):
            self._give_up(lost)
        self._give_up(there)
        self.fs.settle()
        _remove(there)

    def link(self, path: str, to: str) -> None:
        """Make a link, over whatever stands there."""
        folder, name = self._room(path)
        there = folder.names.get(name)
        link = self.fs.new_node(FileType.LINK, 0o777)
        link.data = link.durable = to.encode()
        self.fs.change((folder, name, link))
        if there is not None:
            self._give_up(there)
        self.fs.settle()

    def hard_link(self, path: str, new: str) -> None:
        """Give a file a second name, where there is nothing yet."""
        node = self.find(path)
        if node is None or self.find(new) is not None:
            return
        folder, name = self._room(new)
        if self.find(path) is node:
            node.linked = True
            self.fs.change((folder, name, node))
            self.renamed.pop(new, None)
        self.fs.settle()

    def open(self, path: str) -> None:
        """A program opens a file for writing and keeps it open."""
        node = self.find(path)
        if node is not None and node.kind is FileType.FILE:
            node.writers += 1
            self.open_files.append(node)

    def write_open(self, node: Node, data: bytes) -> None:
        """A program writes to a file that it has open, wherever that is by now."""
        before, node.data = node.data, data
        node.durable, node.user = data, True
        node.mtime = node.ctime = self.fs.stamp()
        self._gave_up(before)

    def close(self, node: Node) -> None:
        """A program closes a file."""
        self.open_files.remove(node)
        node.writers -= 1

    def links(self) -> set[str]:
        """Where links stand."""
        return {path for path, node in self.fs.files(self.home) if node.kind is FileType.LINK}


def _remove(node: Node) -> None:
    """A folder and those below it are empty from here on, and stay so."""
    if node.kind is FileType.FOLDER:
        for below in node.names.values():
            _remove(below)
        node.names.clear()
        node.removed = True
