"""Contents of the server: a file's head, read at once if it is small, and downloads that continue.

The server has no call for a file's record. A content is named by its entity tag; where that is no hash, the changes
are read for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Struct

from agent.core.errors import Problem, ProblemKind
from agent.remotes.book import Book
from agent.remotes.http.download import accept_any
from agent.remotes.http.failures import RemoteCallError, SideEffect, malformed
from agent.remotes.http.request import ApiRequest, Priority
from agent.remotes.pinakes.calls import MISSING, PinakesCalls
from agent.remotes.pinakes.hashing import ContentHashing, TwoHashes
from agent.remotes.pinakes.profile import DOWNLOAD
from agent.remotes.pinakes.wire import as_digest
from agent.remotes.protocol import Sink

_NOT_SATISFIABLE: Final = 416


class AccountHead(Struct, frozen=True):
    """The content that a path has now.

    Attributes:
        hash: sha256.
        rev: the server's hash.
        content: the bytes, if they are small.
    """

    hash: str
    rev: str
    size: int
    content: bytes | None

    def __repr__(self) -> str:
        # The text of a file must not get into a log.
        return f"AccountHead({self.hash!r}, {self.rev!r}, {self.size!r})"


class AccountContents:
    """Reads the contents of one account; paths are those of the account. Safe to use from several threads.

    Bytes are taken for a file's content only if their hash is one that the server states. A web page of a proxy has no
    such hash.

    Args:
        stated: returns the server's hash of a path by its changes; None if there is no file.
    """

    def __init__(self, calls: PinakesCalls, hashing: ContentHashing, stated: Callable[[str], str | None]) -> None:
        self._calls = calls
        self._hashing = hashing
        self._stated = stated

    def head(self, path: str, book: Book, inside: str, likely: str | None = None) -> AccountHead | None:
        """Return the head of a path; None if there is no file.

        Args:
            inside: the path within the source, as ``book`` has it.
            likely: a hash that the server has stated for the path. Bytes that have it need no other name.
        """
        try:
            return self._head(path, book, inside, likely)
        except RemoteCallError as failure:
            if failure.problem.kind not in MISSING:
                raise
            return None

    def _head(self, path: str, book: Book, inside: str, likely: str | None) -> AccountHead | None:
        most = self._calls.limits.inline
        try:
            begun, total, tag = self._beginning(_request(path, {"range": f"bytes=0-{most}"}), most)
        except RemoteCallError as failure:
            if failure.status != _NOT_SATISFIABLE:
                raise
            # There is no byte in an empty file.
            begun, total, tag = self._beginning(_request(path), most)
        whole = self._hashing.both(begun) if len(begun) <= most and total in (None, len(begun)) else None
        named = likely if whole is not None and whole.server == likely else tag
        rev = named or self._stated(path)
        if rev is None:
            return None
        if whole is not None:
            return _checked(AccountHead(whole.sha256, whole.server, len(begun), begun), rev)
        known = None if tag is None else self._hashing.sha256_of(rev, inside, book)
        if known is not None and total is not None:
            return AccountHead(known, rev, total, None)
        found = self._hashed(path)
        if total not in (None, found.size):
            raise malformed("the server's content has another size than it says")
        return _checked(found, rev)

    def _beginning(self, request: ApiRequest, most: int) -> tuple[bytes, int | None, str | None]:
        """Return the first bytes of a content, more than ``most`` only if there are more; its size and its hash."""
        received = bytearray()
        with self._calls.stream(request) as stream:
            if stream.start != 0:
                raise malformed("the server sent another part of the file than requested")
            for piece in stream.pieces:
                received += piece
                if len(received) > most:
                    break
            if stream.total is not None and len(received) < min(stream.total, most + 1):
                raise malformed("the server's answer was cut short")
            return bytes(received), stream.total, as_digest(stream.headers.get("etag"))

    def _hashed(self, path: str) -> AccountHead:
        """Read a whole large content for its hashes."""
        both, size = TwoHashes(self._hashing), 0
        with self._calls.stream(_request(path)) as stream:
            for piece in stream.pieces:
                both.update(piece)
                size += len(piece)
            if stream.start != 0 or stream.total not in (None, size):
                raise malformed("the server's answer was cut short")
        self._hashing.remember(both.sha256, both.server)
        return AccountHead(both.sha256, both.server, size, None)

    def fetch(self, path: str, rev: str | None, digest: str, size: int, offset: int, sink: Sink) -> None:
        """Stream the content of a version; see ``Remote.fetch``. The server has the newest version only."""
        receiving = _Receiving(self._hashing, {digest, *({rev} if rev else ())}, sink)
        # A part is sent only of the same content; otherwise the server begins anew.
        request = _request(path, {"if-range": f'"{rev or digest}"'} if offset else {})
        names = rev is not None or self._hashing.is_sha256
        self._calls.download(request, size, offset, receiving.take, receiving.accept if names else accept_any)
        receiving.end(digest)


class _Receiving:
    """The receipt of one download: its version is named by the entity tag, or else its bytes are compared.

    Args:
        wanted: hashes that name the version.
    """

    def __init__(self, hashing: ContentHashing, wanted: set[str], sink: Sink) -> None:
        self._hashing = hashing
        self._wanted = wanted
        self._sink = sink
        self._unnamed: TwoHashes | None = None

    def accept(self, headers: Mapping[str, str]) -> None:
        """Raise GONE if the answer names another version."""
        tag = as_digest(headers.get("etag"))
        if tag is not None and tag not in self._wanted:
            raise _other_version()
        self._unnamed = None if tag is not None else TwoHashes(self._hashing)

    def take(self, at: int, piece: bytes) -> None:
        """Pass a piece on."""
        if self._unnamed is not None:
            self._unnamed = self._unnamed if at == self._unnamed.size else None
        if self._unnamed is not None:
            self._unnamed.update(piece)
        self._sink(at, piece)

    def end(self, digest: str) -> None:
        """Raise GONE if a content that was not named, and came from its beginning, is another one."""
        if self._unnamed is not None and self._unnamed.sha256 != digest:
            raise _other_version()


def _checked(found: AccountHead, rev: str) -> AccountHead:
    if found.rev != rev:
        raise malformed("the server's content is not the one that it names")
    return found


def _other_version() -> RemoteCallError:
    problem = Problem(ProblemKind.GONE, "the server has another version by now, and keeps no older one")
    return RemoteCallError(problem, SideEffect.NONE)


def _request(path: str, headers: Mapping[str, str] | None = None) -> ApiRequest:
    parts = tuple(path.split("/"))
    return ApiRequest("GET", DOWNLOAD + "/{}" * len(parts), parts, headers=headers or {}, priority=Priority.BULK)
