"""Two machines that sync any file with one hub by ScaiDrive's API, and a person at each."""

from __future__ import annotations

import contextlib
import hashlib
import random
from pathlib import Path

from support.processes import Home
from support.servers import HubServer

MIB = 1 << 20
_IMAGE = b"\x89PNG\r\n\x1a\n"
_FILES_OF_A_FOLDER = 200
"""Files in each of the first folders."""


def signed_in(top: Path, name: str, server: HubServer, url: str | None = None) -> Home:
    """A machine with the account. ``url``: the address of a relay before the hub."""
    home = Home(top, name)
    flags = ("--name", "drive", "--dialect", "scaidrive", "--token-stdin")
    ran = home.run("login", url or server.url, *flags, stdin=server.token)
    assert ran.code == 0, ran
    return home


def digest_of(file: Path) -> str:
    """sha256 of a file's content, read in pieces."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def tree_of(home: Home) -> dict[str, str]:
    """Path -> sha256 of every file of a folder."""
    files = (file for file in home.folder.rglob("*") if file.is_file())
    return {file.relative_to(home.folder).as_posix(): digest_of(file) for file in files}


class Person:
    """Works in one machine's folder: any kind of file, of one byte to 50 MB.

    Attributes:
        written: sha256 of every content.
        dropped: those this person replaced or deleted with their own hands.
    """

    def __init__(self, home: Home, chance: random.Random) -> None:
        self.home = home
        self._chance = chance
        self._count = 0
        self.written: set[str] = set()
        self.dropped: set[str] = set()

    def fill(self, sizes: list[int]) -> None:
        """Write a file of each of these sizes, in bytes."""
        for number, size in enumerate(sizes):
            suffix = self._chance.choice(["md", "png", "bin"])
            self._save(self.home.folder / f"f{number // _FILES_OF_A_FOLDER}/n{number}.{suffix}", size)

    def act(self) -> None:
        """One random edit, new file, move, delete, or rename of a folder."""
        verb = self._chance.choice(["edit"] * 5 + ["new"] * 2 + ["move"] * 3 + ["delete", "folder"])
        folders = sorted(path for path in self.home.folder.iterdir() if path.is_dir())
        if verb == "folder":
            self._count += 1
            with contextlib.suppress(FileNotFoundError):
                self._chance.choice(folders).rename(self.home.folder / f"{self.home.name}{self._count}")
            return
        chosen = self._chance.choice(folders)
        files = sorted(path for path in chosen.iterdir() if path.is_file()) if chosen.exists() else []
        if verb == "new" or not files:
            self._count += 1
            self._save(chosen / f"{self.home.name}{self._count}.png", self._size())
            return
        self._change(self._chance.choice(files), verb, self._chance.choice(folders))

    def _change(self, file: Path, verb: str, other: Path) -> None:
        # The agent may take the file away at any moment.
        with contextlib.suppress(FileNotFoundError):
            if verb == "edit":
                self._save(file, self._size())
            elif verb == "delete":
                self._drop(file)
                file.unlink()
            elif not (target := other / f"{self.home.name}-{file.name}").exists():
                file.rename(target)

    def edit(self, path: str) -> None:
        """Replace one file."""
        self._save(self.home.folder / path, self._size())

    def _size(self) -> int:
        return 5 * MIB if self._chance.random() < 0.03 else self._chance.randint(1, 20_000)

    def _save(self, file: Path, size: int) -> None:
        # One byte has few values; the others differ in their first bytes.
        data = self._chance.randbytes(min(size, 16)) + self._chance.randbytes(1) * max(size - 16, 0)
        if file.suffix == ".png" and size > len(_IMAGE) + 16:
            data = _IMAGE + data[: -len(_IMAGE)]
        elif file.suffix == ".md":
            data = data.hex().encode()[:size]
        file.parent.mkdir(parents=True, exist_ok=True)
        fresh = file.with_name(file.name + ".tmp")
        fresh.write_bytes(data)
        self._drop(file)
        fresh.replace(file)
        self.written.add(hashlib.sha256(data).hexdigest())

    def _drop(self, file: Path) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.dropped.add(digest_of(file))
