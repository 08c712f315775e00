"""A machine of each dialect, all linked to one source of one hub."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from support.processes import Home
from support.servers import Server, sha


@dataclass(frozen=True)
class HubDialect:
    """A way to sign in to a hub and to link its source.

    Attributes:
        base: what the address of the account has behind the hub's.
        takes_any_file: files of any content and size are synced, not only texts.
        source: the id under which the dialect lists the source, from its id at Raven's API.
    """

    name: str
    base: str
    takes_any_file: bool
    source: Callable[[str], str] = lambda source: source


RAVEN: Final = HubDialect("raven", "", False)
SCAIDRIVE: Final = HubDialect("scaidrive", "", True)
PINAKES: Final = HubDialect("pinakes", "/pinakes", True, lambda _: "account")
DIALECTS: Final = (RAVEN, SCAIDRIVE, PINAKES)


class TogetherHome(Home):
    """A machine that speaks one dialect."""

    def __init__(self, top: Path, dialect: HubDialect) -> None:
        super().__init__(top, dialect.name)
        self.dialect = dialect

    def sign_in(self, server: Server) -> None:
        """Store the account."""
        flags = ["--name", self.name, "--dialect", self.name, "--token-stdin"]
        if self.dialect is RAVEN:
            flags += ["--workspace", server.workspace]
        ran = self.run("login", server.url + self.dialect.base, *flags, stdin=server.token)
        assert ran.code == 0, ran

    def expected(self, files: dict[str, bytes]) -> dict[str, bytes]:
        """The part of a source's files that this machine has."""
        return {path: data for path, data in files.items() if self.dialect.takes_any_file or is_plain_text(data)}


def sha_of(data: bytes) -> str:
    """The identity of a content."""
    return hashlib.sha256(data).hexdigest()


def is_plain_text(data: bytes) -> bool:
    """Whether Raven's protocol can carry a content."""
    if b"\0" in data or len(data) > 1_048_576:
        return False
    with contextlib.suppress(UnicodeDecodeError):
        data.decode()
        return True
    return False


class Together:
    """The hub, its source, and the machines.

    Args:
        database: the URL of the hub's database, for a look past its APIs.

    Attributes:
        source: the id of the source at Raven's API.
    """

    def __init__(self, server: Server, top: Path, database: str = "") -> None:
        self.server = server
        self.database = database
        self.homes = {dialect.name: TogetherHome(top, dialect) for dialect in DIALECTS}
        self.raven, self.drive, self.pinakes = self.homes.values()
        for home in self.homes.values():
            home.sign_in(server)
        self.source = self.raven.link("--name", "notes", "--include", "**")
        for home in (self.drive, self.pinakes):
            home.link("--source", home.dialect.source(self.source))

    def __iter__(self) -> Iterator[TogetherHome]:
        return iter(self.homes.values())

    def once(self, *homes: TogetherHome) -> None:
        """One pass through each of these machines, in this order."""
        for home in homes:
            home.sync()

    def sync(self) -> None:
        """Two passes through every machine, so that each has seen each."""
        self.once(*self, *self)

    def assert_converged(self) -> dict[str, bytes]:
        """Every machine has what its dialect can carry of one set of files, and the hub has the same texts."""
        files = self.drive.files()
        for home in self:
            here, there = home.files(), home.expected(files)
            assert here.keys() == there.keys(), (home.name, here.keys() ^ there.keys())
            assert here == there, (home.name, [path for path in here if here[path] != there[path]])
        texts = {path: sha(data.decode()) for path, data in files.items() if is_plain_text(data)}
        assert self.server.hashes(self.source) == texts
        return files
