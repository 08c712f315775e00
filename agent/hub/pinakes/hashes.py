"""Hashes of contents in the algorithm of Pinakes' API.

The hub knows a content by its sha256. Another algorithm is a second column: computed once, when this API first needs
it, and stored beside the content. Uploads through this API bring both hashes along. To compute it for every content of
every API was rejected: a hub without Pinakes' clients would pay for hashes that no client reads.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from typing import Final, TypeVar

from agent.hub.domain.contents import RunningHash, read_content
from agent.hub.domain.drive_ports import Blobs
from agent.hub.domain.ports import Growth, Store, StoreSession

SHA256: Final = "sha256"
BLAKE3: Final = "blake3"
ALGORITHMS: Final = (SHA256, BLAKE3)

T = TypeVar("T")


class UnusableAlgorithm(Exception):
    """The setting names no known algorithm, or its package is not installed. The message is a sentence."""


class UnhashedContent(Exception):
    """A content has no hash of this API's algorithm yet. Nothing was changed.

    Attributes:
        workspace: number of the workspace.
        hashes: sha256 of the contents.
    """

    def __init__(self, workspace: int, hashes: Collection[str]) -> None:
        super().__init__(*hashes)
        self.workspace = workspace
        self.hashes = hashes


def digest_of(algorithm: str) -> Callable[[], RunningHash]:
    """Return the maker of hashes of an algorithm.

    Raises:
        UnusableAlgorithm: there is none.
    """
    if algorithm == SHA256:
        return hashlib.sha256
    if algorithm != BLAKE3:
        raise UnusableAlgorithm(f"The hash {algorithm!r} is not known; use one of {', '.join(ALGORITHMS)}.")
    try:
        from blake3 import blake3
    except ImportError as error:
        raise UnusableAlgorithm("The hash blake3 needs the package blake3, which is not installed.") from error
    made: Callable[[], RunningHash] = blake3
    return made


class ContentHashes:
    """Hashes of stored contents. Safe to use from several threads.

    Attributes:
        new: makes a hash to compute.
        is_sha256: this API's hashes are the hub's own.
    """

    def __init__(self, store: Store, blobs: Blobs, algorithm: str = SHA256) -> None:
        self.new = digest_of(algorithm)
        self.is_sha256 = algorithm == SHA256
        self._store = store
        self._blobs = blobs

    def stored(self, session: StoreSession, workspace: int, hashes: Collection[str]) -> Mapping[str, str]:
        """Return this API's hashes of contents of a workspace by their sha256.

        Raises:
            UnhashedContent: some have none yet, see `retrying`.
        """
        wanted = set(hashes)
        if self.is_sha256:
            return {hash_: hash_ for hash_ in wanted}
        found = session.blake3_hashes(wanted)
        present = session.content_sizes(workspace, wanted - found.keys())
        if present:
            raise UnhashedContent(workspace, present.keys())
        # An old version whose content was removed gets a hash that no content has.
        return found | {hash_: self._without_content(hash_) for hash_ in wanted - found.keys()}

    def _without_content(self, hash_: str) -> str:
        made = self.new()
        made.update(f"removed {hash_}".encode())
        return made.hexdigest()

    def retrying(self, act: Callable[[], T]) -> T:
        """Run a transaction again whenever it needs a content that has no hash of this API's algorithm yet."""
        while True:
            try:
                return act()
            except UnhashedContent as missing:
                self.compute(missing.workspace, missing.hashes)

    def compute(self, workspace: int, hashes: Collection[str]) -> None:
        """Compute the hashes of stored contents and record them. Call it outside a transaction."""
        for hash_ in hashes:
            made = self.new()
            with self._store.read() as session:
                size = session.known_content(workspace, hash_)
                if size is None:
                    # It was removed meanwhile.
                    continue
                pieces = read_content(self._blobs, session, workspace, hash_, 0, size)
            for piece in pieces:
                made.update(piece)
            with self._store.write(Growth.SMALL) as session:
                session.add_blake3_hashes({hash_: made.hexdigest()})

    def record(self, session: StoreSession, hash_: str, other: str) -> None:
        """Record this API's hash of a content that the same transaction has stored."""
        if not self.is_sha256:
            session.add_blake3_hashes({hash_: other})
