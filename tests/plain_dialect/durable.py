"""The plain server with its large contents in files and a journal of its requests, so that it survives SIGKILL."""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import struct
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec import Struct

from plain_dialect.api import PlainApi, Request
from plain_dialect.server import PlainServer
from plain_dialect.state import ApiError, Sizes, Upload
from plain_dialect.uploads import Uploads
from strict_raven.wire import Response


@dataclass(frozen=True, slots=True)
class FileResponse(Response):
    """An answer whose body is a part of a file: ``length`` bytes from ``start`` on."""

    file: Path
    start: int
    length: int


class Meter:
    """Counters in a file, which another process can read, and which survive SIGKILL.

    Attributes:
        received: bytes of chunks that arrived, also of those that were cut.
        sent: bytes of large contents that were given to the network.
    """

    def __init__(self, path: Path) -> None:
        with path.open("a+b") as file:
            file.truncate(16)
            self._memory = mmap.mmap(file.fileno(), 16)
        self._lock = threading.Lock()

    @property
    def received(self) -> int:
        """See the class."""
        return self._at(0)

    @property
    def sent(self) -> int:
        """See the class."""
        return self._at(8)

    def add(self, received: int = 0, sent: int = 0) -> None:
        """Count bytes."""
        with self._lock:
            self._memory[:] = struct.pack("<QQ", self.received + received, self.sent + sent)

    def _at(self, place: int) -> int:
        found: int = struct.unpack_from("<Q", self._memory, place)[0]
        return found


class Entry(Struct, frozen=True):
    """One request that may have changed the state. A chunk has no body here: it is in its file."""

    at: float
    method: str
    path: str
    headers: dict[str, str]
    body: str


class FileUploads(Uploads):
    """Upload sessions whose chunks are written into one file at their places."""

    def __init__(self, server: PlainServer, top: Path) -> None:
        super().__init__(server)
        self._top = top
        self._digests: dict[str, tuple[int, Any]] = {}
        """By upload: the number of chunks that came in order since the start, and their running digest."""

    def store(self, identifier: str, index: int, content: bytes) -> None:
        """Write a chunk into its file. The disk may be slow, so nobody else waits for it."""
        self._top.mkdir(exist_ok=True, parents=True)
        handle = os.open(self._place(identifier), os.O_WRONLY | os.O_CREAT)
        try:
            os.pwrite(handle, content, index * self._server.sizes.chunk)
        finally:
            os.close(handle)
        self._count(identifier, index, content)

    def write(self, upload: Upload, index: int, content: bytes) -> None:
        """See ``Uploads``. The content is in its file already."""
        super().write(upload, index, b"")

    def _count(self, identifier: str, index: int, content: bytes) -> None:
        """Hash a chunk while it is in memory, so that the commit need not read the file and delay everybody else."""
        count, digest = self._digests.get(identifier, (0, hashlib.sha256()))
        if content and index == count:
            digest.update(content)
            self._digests[identifier] = count + 1, digest

    def assemble(self, upload: Upload, promised: tuple[str, int]) -> None:
        """See ``Uploads``. The file gets the name of its hash."""
        target = self.content(promised[0])
        if target.exists():
            # A restart repeats the request.
            return
        place = self._place(upload.id)
        count, digest = self._digests.pop(upload.id, (0, None))
        if count != len(upload.chunks):
            with place.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256")
        if (digest.hexdigest(), place.stat().st_size) != promised:
            raise ApiError(400, "the content has another checksum")
        place.rename(target)

    def content(self, digest: str) -> Path:
        """The file of a large content."""
        return self._top / digest

    def _place(self, identifier: str) -> Path:
        return self._top / identifier


class DurableApi(PlainApi):
    """Answers requests, and writes each one down that may change something. A restart repeats them.

    Args:
        top: a folder of its own.
    """

    def __init__(self, top: Path, sizes: Sizes) -> None:
        self._now = 0.0
        self._lock = threading.Lock()
        self._server = PlainServer(lambda: self._now, sizes=sizes)
        self.files = FileUploads(self._server, top / "contents")
        self._server.uploads = self.files
        super().__init__(self._server)
        top.mkdir(parents=True, exist_ok=True)
        self._starts = top / "starts"
        path = top / "journal"
        for entry in read_journal(path):
            self._now = entry.at
            self._repeat(entry)
        _drop_torn_line(path)
        self._journal = path.open("ab", buffering=0)

    def _repeat(self, entry: Entry) -> None:
        if entry.method != "PUT":
            self._answer_request(entry.method, entry.path, entry.headers, entry.body.encode())
            return
        upload, index = _chunk_of(entry.path)
        self.files.write(self.files.get(upload), index, b"")

    def _takes(self, upload: str, index: int) -> bool:
        with self._lock:
            found = self._server.state.uploads.get(upload)
            return found is not None and 0 <= index * self._server.sizes.chunk < found.size

    def handle(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Response:
        """See ``PlainApi``. One request at a time, but for the bytes of chunks."""
        if method == "PUT":
            upload, index = _chunk_of(path)
            if self._takes(upload, index):
                self.files.store(upload, index, body)
        with self._lock:
            self._now = time.time()
            answer = self._answer_request(method, path, headers, body)
            if method != "GET" and (method != "PUT" or answer.status < 300):
                text = "" if method == "PUT" else body.decode()
                kept = {"authorization": headers.get("authorization", "")}
                line = json.dumps([self._now, method, path, kept, text])
                self._journal.write(line.encode() + b"\n")
            return answer

    def _answer_request(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Response:
        return super().handle(method, path, headers, body)

    def _content(self, request: Request) -> Response:
        file = self._server.file(request.ids[0])
        rev = request.query.get("rev", file.head.rev)
        found = next((each for each in file.revisions if each.rev == rev), None)
        if found is None or found.hash is None or found.hash in self._server.state.contents:
            return super()._content(request)
        start = self.start_of(request) or 0
        headers = {"content-type": "application/octet-stream", "etag": found.hash}
        if start:
            headers["content-range"] = f"bytes {start}-{found.size - 1}/{found.size}"
        place = self.files.content(found.hash)
        with self._starts.open("a") as starts:
            starts.write(f"{start}\n")
        return FileResponse(206 if start else 200, headers, b"", place, start, found.size - start)


def _chunk_of(path: str) -> tuple[str, int]:
    """The upload and the number of the chunk that a request is about."""
    _, upload, _, index = path.rsplit("/", 3)
    return upload, int(index)


def read_journal(path: Path) -> Iterator[Entry]:
    """Iterate over the requests in a journal. A last line that was cut by a kill is left out."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield Entry(*json.loads(line))


def _drop_torn_line(path: Path) -> None:
    if path.exists():
        content = path.read_bytes()
        os.truncate(path, content.rfind(b"\n") + 1)
