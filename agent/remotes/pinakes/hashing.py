"""The content hashes of a server: computed, and translated into the sha256 by which the engine knows a content.

The engine compares contents by sha256 only. A server with another algorithm names its contents by hashes that say
nothing of it, so the adapter keeps both: the server's hash is the revision, and the sha256 stays the identity. A pair
is known from the index (the revision of a file, the stored state of an upload) or from a content that passed through
here. Otherwise the content is read once. To teach the engine a second identity was rejected: each comparison of two
contents would then need to know the servers that they came from.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final, Protocol

from agent.core.errors import UsageError
from agent.core.supply import Pieces
from agent.remotes.book import Book
from agent.remotes.pinakes.wire import HASHES

SHA256: Final = HASHES[0]
_READ_SIZE: Final = 1 << 20
_PAIRS: Final = 8192
"""Pairs of hashes that are remembered."""


class Hasher(Protocol):
    """A hash under construction."""

    def update(self, data: bytes, /) -> Any:
        """Add bytes."""
        ...

    def hexdigest(self) -> str:
        """Return the hash in lower-case hexadecimal digits."""
        ...


def hasher_of(algorithm: str) -> Callable[[], Hasher]:
    """Return the maker of hashes of an algorithm.

    Raises:
        UsageError: the algorithm is not known, or its package is not installed.
    """
    if algorithm == SHA256:
        return hashlib.sha256
    if algorithm not in HASHES:
        raise UsageError(f"this release does not know the hash {algorithm!r}", f"it knows: {', '.join(HASHES)}")
    try:
        from blake3 import blake3
    except ImportError as error:
        hint = "install the package blake3 beside the agent, or: raven-agent config unset pinakes_hash"
        raise UsageError("the hash blake3 needs a package that is not installed", hint) from error
    made: Callable[[], Hasher] = blake3
    return made


class TwoHashes:
    """The sha256 and the server's hash of one content, computed together."""

    def __init__(self, hashing: ContentHashing) -> None:
        self._sha256 = hashlib.sha256()
        self._server = None if hashing.is_sha256 else hashing.new()
        self.size = 0
        """Bytes so far."""

    def update(self, data: bytes) -> None:
        """Add bytes."""
        self._sha256.update(data)
        self.size += len(data)
        if self._server is not None:
            self._server.update(data)

    @property
    def sha256(self) -> str:
        """The sha256 of the bytes so far."""
        return self._sha256.hexdigest()

    @property
    def server(self) -> str:
        """The server's hash of the bytes so far."""
        return self.sha256 if self._server is None else self._server.hexdigest()


class ContentHashing:
    """Hashes of one server. Safe to use from several threads.

    Args:
        algorithm: one of ``HASHES``.
        stored_pair: returns the pair (sha256, server's hash) in the stored state of an upload; None without one.
    """

    def __init__(self, algorithm: str, stored_pair: Callable[[str | None], tuple[str, str] | None]) -> None:
        self.new = hasher_of(algorithm)
        self.is_sha256 = algorithm == SHA256
        self._stored_pair = stored_pair
        self._lock = threading.Lock()
        self._sha256: OrderedDict[str, str] = OrderedDict()
        """Server's hash -> sha256."""

    def both(self, content: bytes) -> TwoHashes:
        """Return both hashes of a content, and remember them."""
        found = TwoHashes(self)
        found.update(content)
        self.remember(found.sha256, found.server)
        return found

    def of_pieces(self, pieces: Pieces) -> TwoHashes:
        """Return both hashes of an opened content, read to its end, and remember them. Raises DiskError."""
        found = TwoHashes(self)
        for offset in range(0, pieces.size, _READ_SIZE):
            found.update(pieces.read(offset, min(_READ_SIZE, pieces.size - offset)))
        self.remember(found.sha256, found.server)
        return found

    def remember(self, sha256: str, server: str) -> None:
        """Remember that two hashes are of one content."""
        if self.is_sha256:
            return
        with self._lock:
            self._sha256[server] = sha256
            self._sha256.move_to_end(server)
            while len(self._sha256) > _PAIRS:
                self._sha256.popitem(last=False)

    def sha256_of(self, server: str, path: str, book: Book) -> str | None:
        """Return the sha256 of a content of the server, by what is known here; None if nothing is."""
        if self.is_sha256:
            return server
        with self._lock:
            known = self._sha256.get(server)
        if known is not None:
            return known
        entry = book.entry_at(path)
        if entry is not None and entry.rev == server:
            return entry.hash
        for pushed in book.pushed_to(path):
            stored = self._stored_pair(pushed.resume)
            if pushed.hash is not None and (pushed.rev == server or stored == (pushed.hash, server)):
                return pushed.hash
        return None

    def server_hash_of(self, sha256: str, path: str, book: Book) -> str | None:
        """Return the server's hash of a content, by what is known here; None if nothing is."""
        if self.is_sha256:
            return sha256
        entry = book.entry_at(path)
        if entry is not None and entry.hash == sha256 and entry.rev is not None:
            return entry.rev
        with self._lock:
            found = next((server for server, known in reversed(self._sha256.items()) if known == sha256), None)
        if found is not None:
            return found
        for pushed in book.pushed_to(path):
            stored = self._stored_pair(pushed.resume)
            if pushed.hash == sha256 and (pushed.rev is not None or stored is not None):
                return pushed.rev if stored is None else stored[1]
        return None
