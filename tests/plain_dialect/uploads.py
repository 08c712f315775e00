"""The upload sessions of the plain server: a promised content that arrives in chunks, in any order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from plain_dialect.state import ApiError, Upload

if TYPE_CHECKING:
    from plain_dialect.server import PlainServer

UPLOAD_SECONDS = 86_400.0


class Uploads:
    """The sessions of one server, which are in its state."""

    def __init__(self, server: PlainServer) -> None:
        self._server = server

    def begin(self, source: str, digest: str, size: int) -> Upload:
        """Begin an upload session."""
        server, most = self._server, self._server.sizes.most
        if server.share(source).readers_only:
            raise ApiError(403, "the role is reader")
        if server.traps.no_space:
            raise ApiError(507, "the quota is used up")
        if size > most:
            raise ApiError(413, f"the largest file has {most} bytes")
        upload = Upload(server.new_id("upl"), source, digest, size, server.clock())
        server.state.uploads[upload.id] = upload
        return upload

    def get(self, identifier: str) -> Upload:
        """An upload session that was used within a day."""
        found = self._server.state.uploads.get(identifier)
        if found is None:
            raise ApiError(404, "no such upload")
        if found.used_at + UPLOAD_SECONDS < self._server.clock():
            raise ApiError(410, "the upload expired")
        return found

    def cancel(self, identifier: str) -> None:
        """Forget a session and what it received."""
        self.get(identifier)
        del self._server.state.uploads[identifier]

    def add_chunk(self, identifier: str, index: int, content: bytes) -> None:
        """Take a chunk; the same one again is fine."""
        upload, chunk = self.get(identifier), self._server.sizes.chunk
        last = -(-upload.size // chunk) - 1
        if not 0 <= index <= last or len(content) != (chunk if index < last else upload.size - last * chunk):
            raise ApiError(400, "no such chunk")
        self.write(upload, index, content)

    def write(self, upload: Upload, index: int, content: bytes) -> None:
        """Keep a chunk, and the time of the session's last use."""
        chunks = tuple(sorted({**dict(upload.chunks), index: content}.items()))
        self._server.state.uploads[upload.id] = replace(upload, chunks=chunks, used_at=self._server.clock())

    def finish(self, identifier: str, promised: tuple[str, int]) -> tuple[str, int]:
        """Keep the content of a complete upload, and end it; its hash and size."""
        upload = self.get(identifier)
        if len(upload.chunks) != -(-upload.size // self._server.sizes.chunk):
            raise ApiError(400, "the upload is not complete")
        self.assemble(upload, promised)
        del self._server.state.uploads[identifier]
        return promised

    def assemble(self, upload: Upload, promised: tuple[str, int]) -> None:
        """Keep the content of all chunks, if it has the promised hash and size."""
        self._server.keep_promised(b"".join(part for _, part in upload.chunks), promised)
