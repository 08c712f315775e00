"""Parts of the in-memory disk: its nodes, and the properties of a disk."""

from __future__ import annotations

import enum
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field

from agent.disk.fs.protocol import FileType, SwapPrimitive


class Crash(BaseException):
    """The process was killed."""


class Node:
    """A file, folder or link.

    Attributes:
        names: what a folder holds.
        data: a file's bytes; of a link, where it points.
        durable: the bytes a power loss leaves.
        user: whether the bytes are a user's.
        locked: nobody but its owner may open it (EACCES).
        outside: the agent has no business here: any use is a wrong.
        removed: a folder that was removed; who still holds it open finds nothing in it and can put nothing there.
        mount: of a folder that is a file system of its own, or a bind mount: its number; 0 elsewhere.
        writers: how many programs have the file open for writing.
        linked: whether the file had several names at some time.
    """

    __slots__ = (
        "born", "ctime", "data", "durable", "inode", "kind", "linked", "locked", "mode", "mount", "mtime", "names",
        "outside", "removed", "user", "writers",
    )  # fmt: skip

    def __init__(self, kind: FileType, inode: int, now: int, mode: int) -> None:
        self.kind, self.inode, self.mode = kind, inode, mode
        self.mtime = self.ctime = self.born = now
        self.names: dict[str, Node] = {}
        self.data = self.durable = b""
        self.user = self.locked = self.outside = self.removed = self.linked = False
        self.mount = self.writers = 0


@dataclass(slots=True)
class Handle:
    """An open file or folder, on which mount it lies, and how far it has been read."""

    node: Node
    mount: int
    offset: int = 0


class Names(enum.Enum):
    """Which names a disk takes for one, and how it writes them down."""

    EXACT = "exact"
    """Every spelling is a name of its own."""
    FOLDED = "folded"
    """Case and composition make no difference; a name stays as it was first spelled (APFS)."""
    DECOMPOSED = "decomposed"
    """As FOLDED, but a name is written down decomposed, whatever was asked for (HFS+)."""


@dataclass(frozen=True, slots=True)
class Disk:
    """How a disk behaves.

    Attributes:
        swap: EXCHANGE, or LINK where names can neither be exchanged nor renamed without replacing in one call.
        grain_ns: the steps in which it stamps files, in nanoseconds.
        one_volume: whether the state folder lies on the root's file system.
        names: which names it takes for one.
        free_bytes: how much may still be written to it, as far as anybody asks.
        reuses_inodes: whether a new file gets the inode of one that was deleted.
    """

    swap: SwapPrimitive = SwapPrimitive.EXCHANGE
    grain_ns: int = 1
    one_volume: bool = True
    names: Names = Names.EXACT
    free_bytes: int = 1 << 40
    reuses_inodes: bool = False

    def spelled(self, folder: Node, name: str) -> str:
        """The name in this folder that answers to ``name``; where none does, how a new one is written down."""
        if self.names is Names.EXACT:
            return name
        if name in folder.names:
            return name
        key = self.key(name)
        new = unicodedata.normalize("NFD", name) if self.names is Names.DECOMPOSED else name
        return next((other for other in folder.names if self.key(other) == key), new)

    def shown(self, path: str) -> str:
        """A path as the server should know it: composed, where it is the disk that takes names apart."""
        return unicodedata.normalize("NFC", path) if self.names is Names.DECOMPOSED else path

    def key(self, path: str) -> str:
        """The same for all paths this disk takes for one."""
        if self.names is Names.EXACT:
            return path
        return unicodedata.normalize("NFD", unicodedata.normalize("NFD", path).casefold())


@dataclass(frozen=True, slots=True)
class Change:
    """One name in one folder, before and after."""

    folder: Node
    name: str
    old: Node | None
    new: Node | None


def put(folder: Node, name: str, node: Node | None) -> None:
    """Let a name stand for a node; None: for nothing."""
    if node is None:
        folder.names.pop(name, None)
    else:
        folder.names[name] = node


@dataclass
class Clock:
    """One machine's clock, which somebody may set wrong.

    Attributes:
        true: seconds since the epoch, as the world goes.
        skew: by how much this machine is off.
    """

    true: Callable[[], float]
    skew: float = field(default=0.0)

    def __call__(self) -> float:
        """What this machine takes for the time."""
        return self.true() + self.skew
