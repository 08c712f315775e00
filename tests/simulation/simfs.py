"""A file system in memory that can crash, fill up and be edited between any two calls.

Bytes are durable after ``fsync`` or ``syncfs``. Changes of names stand in one ordered journal, as on ext4, XFS, APFS
and NTFS: each is whole, and making a folder durable makes everything before its last change durable as well. A power
loss keeps a beginning of the journal that the seed chooses.
"""

from __future__ import annotations

import errno
import hashlib
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NoReturn

from agent.disk.fs.attributes import NEW_FILE, CreationDefaults
from agent.disk.fs.protocol import Dir, File, FileType, FolderEntry, MountId, Stat, SwapPrimitive
from simulation.memory_fs import Change, Crash, Disk, Handle, Node, put
from support.derived_fs import DerivedFsCalls

__all__ = ["Crash", "Disk", "Node", "SimFs"]

Hook = Callable[[str], None]
_COPIES = (".part", ".down")
_PUT_BACK = ".old"
"""Ends of the names of files that the agent writes on their way to their places."""


def _fail(code: int) -> NoReturn:
    raise OSError(code, os.strerror(code))


@dataclass(eq=False)
class SimFs(DerivedFsCalls):
    """``Fs`` in memory.

    Attributes:
        clock: seconds since the epoch.
        before: called before every primitive with its name; may raise Crash or OSError, or act as the user.
        after: called with every change of names the agent made.
        wrongs: what the agent did that nothing may ever do.
        device: the number of the one device there is.
        destroyed: hashes of a user's bytes the agent took the last copy of from this disk, and by which call.
    """

    clock: Callable[[], float]
    disk: Disk = field(default_factory=Disk)
    before: Hook | None = None
    after: Callable[[Change], None] | None = None
    wrongs: list[str] = field(default_factory=list)
    destroyed: dict[str, str] = field(default_factory=dict)
    device: int = 1
    _inodes: int = 100
    _mounts: int = 1
    _freed: list[int] = field(default_factory=list)
    _handles: dict[int, Handle] = field(default_factory=dict)
    _next_handle: int = 3
    _journal: list[tuple[Change, ...]] = field(default_factory=list)
    _kept: int = 0

    def __post_init__(self) -> None:
        self.top = self.new_node(FileType.FOLDER, 0o755)

    # Shared with the user's side

    def stamp(self) -> int:
        """The moment files are stamped with now."""
        now = int(self.clock() * 1e9)
        return now - now % self.disk.grain_ns

    def new_node(self, kind: FileType, mode: int) -> Node:
        """An object with no name yet."""
        if kind is FileType.FILE and self._freed:
            return Node(kind, self._freed.pop(), self.stamp(), mode)
        self._inodes += 1
        return Node(kind, self._inodes, self.stamp(), mode)

    def free(self, node: Node) -> None:
        """A file lost its name for good: where no other name is left, its inode may be given to a new one."""
        if (
            self.disk.reuses_inodes
            and node.kind is FileType.FILE
            and all(other is not node for _, other in self.files())
        ):
            self._freed.append(node.inode)

    def change(self, *changes: tuple[Node, str, Node | None]) -> tuple[Change, ...]:
        """Change names, all at once, and note in the journal how they were."""
        now = self.stamp()
        done = tuple(Change(folder, name, folder.names.get(name), new) for folder, name, new in changes)
        for change in done:
            put(change.folder, change.name, change.new)
            change.folder.mtime = change.folder.ctime = now
            for node in (change.old, change.new):
                if node is not None:
                    node.ctime = now
        self._journal.append(done)
        return done

    def settle(self) -> None:
        """Make every change of names durable."""
        self._journal.clear()
        self._kept = 0

    def files(self, top: Node | None = None, prefix: str = "") -> Iterator[tuple[str, Node]]:
        """Every name that is no folder, with its path."""
        for name, node in (top or self.top).names.items():
            if node.kind is FileType.FOLDER:
                yield from self.files(node, f"{prefix}{name}/")
            else:
                yield f"{prefix}{name}", node

    def _change(self, *changes: tuple[Node, str, Node | None]) -> None:
        """Change names on behalf of the agent."""
        if any(folder.removed and new is not None for folder, _, new in changes):
            _fail(errno.ENOENT)
        done = self.change(*changes)
        if self.after is not None:
            for change in done:
                self.after(change)

    def holds(self, data: bytes, removed: Node | None = None) -> bool:
        """Whether some file holds exactly these bytes; the agent's copy on the way to its place is none.

        ``removed`` lost the name that its person saw. On a disk that renames in two steps the agent may have put it
        back there, and not have taken its second name away yet: that name keeps nothing.
        """
        # Whoever replaces a text while the agent copies it to the same place removes the text with their own hands. A
        # download is such a copy too: it is discarded when its version is not wanted any more.
        return any(
            node.data == data
            and (node.user or not path.endswith(_COPIES))
            and not (node is removed and path.endswith(_PUT_BACK))
            for path, node in self.files()
        )

    # Ends of the process and of the power

    def end_process(self) -> None:
        """Every handle goes."""
        self._handles.clear()

    def lose_power(self, rng: random.Random) -> None:
        """What was not durable goes, as far as the seed wants."""
        kept = rng.randint(self._kept, len(self._journal))
        for done in reversed(self._journal[kept:]):
            for change in reversed(done):
                put(change.folder, change.name, change.old)
        self.settle()
        for _, node in self.files():
            if node.data != node.durable:
                node.data = rng.choice([node.durable, node.data[: len(node.data) // 2], node.data])
                node.durable = node.data
        self.end_process()

    # Fs

    def _asked(self, primitive: str, *names: str) -> None:
        for name in names:
            if "/" in name or name in {"", ".", ".."}:
                self.wrongs.append(f"{primitive} with the name {name!r}")
        if self.before is not None:
            self.before(primitive)

    def _handle(self, handle: int) -> Handle:
        if handle not in self._handles:
            _fail(errno.EBADF)
        return self._handles[handle]

    def _node(self, handle: int) -> Node:
        """What a handle stands for, to be used for more than telling which it is."""
        node = self._handle(handle).node
        if node.outside:
            self.wrongs.append("a handle outside the folder was used")
        return node

    def new_mount(self) -> int:
        """The number of a mount."""
        self._mounts += 1
        return self._mounts

    def _open(self, node: Node, mount: int) -> int:
        if node.locked:
            _fail(errno.EACCES)
        self._next_handle += 1
        self._handles[self._next_handle] = Handle(node, node.mount or mount)
        return self._next_handle

    def _mount(self, handle: int) -> int:
        return self._handle(handle).mount

    def _same_mount(self, one: Dir, other: Dir) -> None:
        if self._mount(one) != self._mount(other):
            _fail(errno.EXDEV)

    def _spot(self, folder: int, name: str) -> tuple[Node, str]:
        """A folder, and the name as it stands, or would stand, in it."""
        node = self._node(folder)
        return node, self.disk.spelled(node, name)

    def _at(self, folder: int, name: str) -> Node:
        node, name = self._spot(folder, name)
        found = node.names.get(name)
        return found if found is not None else _fail(errno.ENOENT)

    def open_root(self, path: str) -> Dir:
        """As in ``Fs``: links on the way are followed."""
        self._asked("open_root")
        node, mount = self.top, 1
        parts = path.strip("/").split("/")
        while parts:
            if node.kind is not FileType.FOLDER:
                _fail(errno.ENOTDIR)
            below = node.names.get(self.disk.spelled(node, parts.pop(0)))
            if below is None:
                _fail(errno.ENOENT)
            if below.kind is FileType.LINK:
                node, mount, parts = self.top, 1, below.data.decode().strip("/").split("/") + parts
            else:
                node, mount = below, below.mount or mount
        return Dir(self._open(node, mount)) if node.kind is FileType.FOLDER else _fail(errno.ENOTDIR)

    def open_dir(self, parent: Dir, name: str) -> Dir:
        """As in ``Fs``."""
        self._asked("open_dir", name)
        node = self._at(parent, name)
        return Dir(self._open(node, self._mount(parent))) if node.kind is FileType.FOLDER else _fail(errno.ENOTDIR)

    def close(self, handle: Dir | File) -> None:
        """As in ``Fs``."""
        if self._handles.pop(handle, None) is None:
            _fail(errno.EBADF)

    def entries(self, folder: Dir) -> list[FolderEntry]:
        """As in ``Fs``."""
        self._asked("entries")
        return [FolderEntry(name, node.kind) for name, node in self._node(folder).names.items()]

    def _stat(self, node: Node) -> Stat:
        links = sum(other is node for _, other in self.files()) if node.linked else 1
        return Stat(
            node.kind, len(node.data), node.mtime, node.ctime, node.inode, self.device, node.mode, links=max(links, 1)
        )

    def stat(self, folder: Dir, name: str) -> Stat:
        """As in ``Fs``."""
        self._asked("stat", name)
        return self._stat(self._at(folder, name))

    def birth_ns(self, folder: Dir, name: str, inode: int) -> int | None:
        """As in ``Fs``."""
        node = self._at(folder, name)
        return node.born if node.inode == inode else None

    def fstat(self, handle: Dir | File) -> Stat:
        """As in ``Fs``."""
        return self._stat(self._handle(handle).node)

    def open_file(self, folder: Dir, name: str) -> File:
        """As in ``Fs``."""
        self._asked("open_file", name)
        node = self._at(folder, name)
        return File(self._open(node, self._mount(folder))) if node.kind is not FileType.LINK else _fail(errno.ELOOP)

    def read(self, file: File, limit: int) -> bytes:
        """As in ``Fs``."""
        self._asked("read")
        node, handle = self._node(file), self._handle(file)
        if node.kind is not FileType.FILE:
            _fail(errno.EISDIR)
        data = node.data[handle.offset : handle.offset + limit]
        handle.offset += len(data)
        return data

    def read_at(self, file: File, offset: int, limit: int) -> bytes:
        """As in ``Fs``."""
        self._asked("read_at")
        node = self._node(file)
        return node.data[offset : offset + limit] if node.kind is FileType.FILE else _fail(errno.EISDIR)

    def create(self, folder: Dir, name: str, mode: int) -> File:
        """As in ``Fs``."""
        self._asked("create", name)
        there, name = self._spot(folder, name)
        if name in there.names:
            _fail(errno.EEXIST)
        node = self.new_node(FileType.FILE, mode)
        self._change((there, name, node))
        return File(self._open(node, self._mount(folder)))

    def write(self, file: File, data: bytes) -> None:
        """As in ``Fs``."""
        self._asked("write")
        node = self._node(file)
        node.data += data
        node.mtime = node.ctime = self.stamp()

    def open_append(self, folder: Dir, name: str) -> File:
        """As in ``Fs``."""
        self._asked("open_append", name)
        node = self._at(folder, name)
        return File(self._open(node, self._mount(folder))) if node.kind is FileType.FILE else _fail(errno.EISDIR)

    def copy_range(self, source: File, offset: int, limit: int, target: File) -> int:
        """As in ``Fs``."""
        data = self.read_at(source, offset, limit)
        self.write(target, data)
        return len(data)

    def free_bytes(self, folder: Dir) -> int:
        """As in ``Fs``."""
        self._asked("free_bytes")
        self._node(folder)
        return self.disk.free_bytes

    def clone_attributes(self, folder: Dir, name: str, file: File) -> None:
        """As in ``Fs``."""
        self._asked("clone_attributes", name)
        self._node(file).mode = self._at(folder, name).mode

    def creation_defaults(self, folder: Dir) -> CreationDefaults:
        """As in ``Fs``: no folder here has a group or an ACL to give."""
        return CreationDefaults()

    def apply_creation_defaults(self, file: File, defaults: CreationDefaults) -> None:
        """As in ``Fs``."""
        self._node(file).mode = NEW_FILE

    def may_be_written(self, folder: Dir, name: str) -> bool:
        """As in ``Fs``."""
        self._asked("may_be_written", name)
        return self._at(folder, name).writers > 0

    def fsync(self, file: File) -> None:
        """As in ``Fs``."""
        self._asked("fsync")
        node = self._node(file)
        node.durable = node.data

    def fsync_dir(self, folder: Dir) -> None:
        """As in ``Fs``."""
        self._asked("fsync_dir")
        node = self._node(folder)
        last = max((i for i, done in enumerate(self._journal) for c in done if c.folder is node), default=-1)
        self._kept = max(self._kept, last + 1)

    def syncfs(self, folder: Dir) -> None:
        """As in ``Fs``."""
        self._asked("syncfs")
        self._node(folder)
        self._kept = len(self._journal)
        for _, node in self.files():
            node.durable = node.data

    def mkdir(self, parent: Dir, name: str, mode: int) -> None:
        """As in ``Fs``."""
        self._asked("mkdir", name)
        there, name = self._spot(parent, name)
        if name in there.names:
            _fail(errno.EEXIST)
        self._change((there, name, self.new_node(FileType.FOLDER, mode)))

    def rmdir(self, parent: Dir, name: str) -> None:
        """As in ``Fs``."""
        self._asked("rmdir", name)
        node = self._at(parent, name)
        if node.kind is not FileType.FOLDER:
            _fail(errno.ENOTDIR)
        if node.mount:
            _fail(errno.EBUSY)
        if node.names:
            _fail(errno.ENOTEMPTY)
        self._change((*self._spot(parent, name), None))

    def exchange(self, dir_a: Dir, name_a: str, dir_b: Dir, name_b: str) -> None:
        """As in ``Fs``."""
        self._asked("exchange", name_a, name_b)
        if self.disk.swap is not SwapPrimitive.EXCHANGE:
            _fail(errno.EINVAL)
        self._same_mount(dir_a, dir_b)
        one, other = self._at(dir_a, name_a), self._at(dir_b, name_b)
        self._change((*self._spot(dir_a, name_a), other), (*self._spot(dir_b, name_b), one))

    def rename(self, source: Dir, old: str, target: Dir, new: str) -> None:
        """As in ``Fs``."""
        self._asked("rename", old, new)
        self._same_mount(source, target)
        node = self._at(source, old)
        there, new = self._spot(target, new)
        replaced = there.names.get(new)
        self._change((*self._spot(source, old), None), (there, new, node))
        if replaced is not None and replaced is not node:
            self._destroyed(replaced, f"rename over {new}")

    def rename_noreplace(self, source: Dir, old: str, target: Dir, new: str) -> None:
        """As in ``Fs``; in two steps where the disk has no such call."""
        self._asked("rename_noreplace", old, new)
        self._same_mount(source, target)
        node = self._at(source, old)
        there, new = self._spot(target, new)
        if new in there.names:
            _fail(errno.EEXIST)
        if self.disk.swap is SwapPrimitive.EXCHANGE:
            self._change((*self._spot(source, old), None), (there, new, node))
            return
        self._change((there, new, node))
        self._asked("unlink", old)
        self._at(source, old)
        self._change((*self._spot(source, old), None))

    def unlink(self, folder: Dir, name: str) -> None:
        """As in ``Fs``."""
        self._asked("unlink", name)
        node = self._at(folder, name)
        if node.kind is FileType.FOLDER:
            _fail(errno.EISDIR)
        self._change((*self._spot(folder, name), None))
        self._destroyed(node, f"unlink {name}")

    def _destroyed(self, node: Node, what: str) -> None:
        """The agent took a name away: a user's bytes must still stand somewhere."""
        if node.user and not self.holds(node.data):
            self.destroyed[hashlib.sha256(node.data).hexdigest()] = what

    def mount_of(self, folder: Dir) -> MountId:
        """As in ``Fs``."""
        return MountId(b"%d" % self._mount(folder))

    def same_volume(self, one: Dir, other: Dir) -> bool:
        """As in ``Fs``."""
        self._node(one), self._node(other)
        return self.disk.one_volume and self._mount(one) == self._mount(other)

    def swap_primitive(self, folder: Dir) -> SwapPrimitive:
        """As in ``Fs``."""
        self._node(folder)
        return self.disk.swap

    def now_ns(self, handle: Dir | File) -> int:
        """As in ``Fs``."""
        self._handle(handle)
        return self.stamp()
