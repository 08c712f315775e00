"""Unusual changes to a synced folder, such as a move or a link in its place, and their repair some time later."""

from __future__ import annotations

import random
from collections.abc import Callable

from agent.disk.fs.protocol import FileType
from simulation.memory_fs import Node
from simulation.simfs import SimFs
from simulation.user import OUTSIDE, ROOT, User

AWAY = "away"
_LINKED = ("a.md", "l.md", "d/l.md")
"""Where single links are made."""


class Strange:
    """One person's strange deeds.

    Attributes:
        last: what was done last, in words.
        mounts: whether folders may be mounted and unmounted.
        mounted: folders of the root that are mounted now.
        taken_away: the folder whose mount the last act took away; None if it did no such thing.
    """

    def __init__(self, user: User, rng: random.Random) -> None:
        self._user = user
        self._fs: SimFs = user.fs
        self._rng = rng
        self._aside: dict[str, tuple[str, Node]] = {}
        self._locked: list[Node] = []
        self.last = ""
        self.mounts = False
        self.taken_away: str | None = None
        self._disks: dict[str, Node] = {}

    @property
    def mounted(self) -> set[str]:
        """See above."""
        return {name for name, disk in self._disks.items() if self._user.home.names.get(name) is disk}

    def act(self) -> None:
        """Do something strange, or put the oldest such thing right."""
        rng = self._rng
        self.taken_away = None
        if rng.random() < 0.5 and self.tidy_one():
            return
        acts: list[tuple[int, Callable[[], None]]] = [
            (2, self._move_root),
            (1, lambda: self._move_root(FileType.FOLDER)),
            (1, lambda: self._move_root(FileType.LINK)),
            (1, self._empty),
            (4, self._swap_folder),
            (3, self._link),
            (3, self._lock),
        ]
        if self.mounts:
            acts.append((12, self._mount_or_unmount))
        rng.choices([act for _, act in acts], [weight for weight, _ in acts])[0]()

    def tidy_one(self) -> bool:
        """Put one thing right; whether there was any."""
        if self._locked:
            self._locked.pop().locked = False
            self.last = "lets everybody read again"
        elif AWAY in self._fs.top.names:
            self._put_root_back()
        elif self._aside:
            self._put_folder_back(next(iter(self._aside)))
        elif away := self._disks.keys() - self.mounted:
            self._mount_again(min(away))
        else:
            return False
        return True

    # The root

    def _move_root(self, stand_in: FileType | None = None) -> None:
        """The whole folder goes elsewhere; in its place comes nothing, an empty folder, or a link to somewhere else."""
        fs, user = self._fs, self._user
        if AWAY in fs.top.names:
            self._put_root_back()
            return
        other = None
        if stand_in is not None:
            other = fs.new_node(stand_in, 0o755)
            other.data = other.durable = f"/{OUTSIDE}".encode() if stand_in is FileType.LINK else b""
        fs.change((fs.top, AWAY, user.home), (fs.top, ROOT, other))
        fs.settle()
        self.last = f"moves the root away; {stand_in or 'nothing'} stands in its place"

    def _put_root_back(self) -> None:
        fs = self._fs
        stand_in = fs.top.names.get(ROOT)
        if stand_in is not None and stand_in.names:
            fs.wrongs.append(f"{sorted(stand_in.names)} was written into another folder than the one linked")
        fs.change((fs.top, AWAY, None), (fs.top, ROOT, self._user.home))
        fs.settle()
        self.last = "puts the root back"

    def _empty(self) -> None:
        for path in self._user.paths():
            self._user.delete(path)
        self.last = "empties the root"

    # Folders and links in it

    def _swap_folder(self) -> None:
        """A folder goes elsewhere, and a link that leads outside takes its place."""
        home = self._user.home
        folders = [
            name for name, node in home.names.items() if node.kind is FileType.FOLDER and not name.startswith(".")
        ]
        if not folders:
            self._link()
            return
        name = self._rng.choice(sorted(folders))
        aside = f"aside-{name}"
        if aside in self._aside:
            self._put_folder_back(aside)
            return
        folder = home.names[name]
        link = self._fs.new_node(FileType.LINK, 0o777)
        link.data = link.durable = f"/{OUTSIDE}".encode()
        self._fs.change((self._fs.top, aside, folder), (home, name, link))
        self._fs.settle()
        self._aside[aside] = (name, folder)
        self.last = f"puts a link in the place of {name}"

    def _put_folder_back(self, aside: str) -> None:
        name, folder = self._aside.pop(aside)
        home = self._user.home
        if name in self._disks and home.names.get(name) is self._disks[name]:
            # A disk that came to its place since goes with what it holds.
            del self._disks[name]
        self._user.discard(home, name)
        self._fs.change((self._fs.top, aside, None), (home, name, folder))
        self._fs.settle()
        self.last = f"puts {name} back"

    # Mounts

    def _mount_or_unmount(self) -> None:
        """A folder becomes a mount of the same file system, or a mount goes and the bare folder below it is seen."""
        home, rng = self._user.home, self._rng
        for name, disk in self._disks.items():
            if home.names.get(name) is disk:
                self.taken_away = name
                self._fs.change(
                    (self._fs.top, f"disk-{name}", disk), (home, name, self._fs.new_node(FileType.FOLDER, 0o755))
                )
                self._fs.settle()
                self.last = f"unmounts {name}"
                return
        folders = [
            name for name, node in sorted(home.names.items()) if node.kind is FileType.FOLDER and "." not in name
        ]
        if folders and not self._disks:
            name = rng.choice(folders)
            self._disks[name] = home.names[name]
            self._disks[name].mount = self._fs.new_mount()
            self.last = f"mounts a disk at {name}, with the same files"

    def _mount_again(self, name: str) -> None:
        home = self._user.home
        self._user.discard(home, name)
        self._fs.change((self._fs.top, f"disk-{name}", None), (home, name, self._disks[name]))
        self._fs.settle()
        self.last = f"mounts {name} again"

    def files_away(self) -> dict[str, bytes]:
        """Path -> bytes of the files on disks that are not mounted."""
        away = self._disks.keys() - self.mounted
        return {f"{name}/{path}": node.data for name in away for path, node in self._fs.files(self._disks[name])}

    def end_mounts(self) -> None:
        """Each disk becomes an ordinary folder: its files are moved there."""
        for disk in self._disks.values():
            disk.mount = 0
        self._disks.clear()
        self.last = "moves the files of each disk into the folder itself"

    def _link(self) -> None:
        path = self._rng.choice(_LINKED)
        self._user.link(path, f"/{OUTSIDE}/secret.md" if self._rng.random() < 0.7 else f"/{OUTSIDE}")
        self.last = f"makes a link at {path}"

    # Permissions

    def _lock(self) -> None:
        """A file or folder cannot be read for a while."""
        nodes = [self._user.home] if self._rng.random() < 0.1 else list(_below(self._user.home))
        if nodes:
            node = self._rng.choice(nodes)
            node.locked = True
            self._locked.append(node)
            self.last = f"forbids reading a {node.kind}"


def _below(folder: Node) -> list[Node]:
    found = []
    for name, node in sorted(folder.names.items()):
        if not name.startswith(".") and node.kind is not FileType.LINK:
            found += [node, *_below(node)]
    return found
