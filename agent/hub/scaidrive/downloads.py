"""Downloads of a version of a file, whole or a range of it."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from agent.hub.answers import Response
from agent.hub.byte_range import UnmetRange, range_of, span_within
from agent.hub.domain.contents import read_content
from agent.hub.domain.drive_model import DriveVersion
from agent.hub.domain.model import Head
from agent.hub.domain.ports import StoreSession
from agent.hub.scaidrive.context import DriveContext, file_of
from agent.hub.scaidrive.request import MAX_INTEGER, DriveRefusal, DriveRequest, not_found


def download(context: DriveContext, request: DriveRequest) -> Response:
    """Return the content of a file, or of its version with the number `version`. A range is answered with 206.

    Raises:
        DriveRefusal: 404 for an unknown file or version, 410 for a deleted file without `version`,
            416 for a range that begins behind the end.
    """
    with context.store.read() as session:
        source, head = file_of(session, request.caller, request.ids[0])
        version = _version(session, source.number, head, request)
        span = wanted_range(request, version.size)
        start, length = span or (0, version.size)
        pieces = read_content(context.blobs, session, source.workspace_number, version.hash, start, length)
    name = quote(head.path.rpartition("/")[2])
    headers = {
        "content-type": head.content_type,
        "content-length": str(length),
        "accept-ranges": "bytes",
        "content-disposition": f"attachment; filename*=UTF-8''{name}",
        "etag": f'"{version.hash}"',
    }
    if span is None:
        return Response(200, pieces, headers)
    headers["content-range"] = f"bytes {start}-{start + length - 1}/{version.size}"
    return Response(206, pieces, headers)


def _version(session: StoreSession, source: int, head: Head, request: DriveRequest) -> DriveVersion:
    if head.hash is None and "version" not in request.query:
        raise DriveRefusal(410, "The file was deleted")
    versions = session.drive_versions(source, head.identity)
    wanted = request.number("version", head.version, 1, 2**31 - 1)
    found = next((version for version in versions if version.number == wanted), None)
    if found is None:
        raise not_found("Version")
    return found


def wanted_range(request: DriveRequest, size: int) -> tuple[int, int] | None:
    """Return (start, length) of the requested range, or None for the whole content. The header wins.

    Raises:
        DriveRefusal: 416 if no byte of the content is in the range.
    """
    try:
        if "range" in request.headers:
            return range_of(request.headers["range"], size)
        if not ({"range_start", "range_end"} & request.query.keys()):
            return None
        start = request.number("range_start", 0, 0, MAX_INTEGER)
        return span_within(start, request.number("range_end", max(size - 1, start), 0, MAX_INTEGER), size)
    except UnmetRange:
        raise RangeRefusal(size) from None


class RangeRefusal(DriveRefusal):
    """A range that no byte of the content is in."""

    def __init__(self, size: int) -> None:
        super().__init__(416, f"The range is outside the content of {size} bytes")
        self.headers: Mapping[str, str] = {"content-range": f"bytes */{size}"}
