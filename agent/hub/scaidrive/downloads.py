"""Downloads of a version of a file, whole or a range of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from agent.hub.answers import Response
from agent.hub.domain.drive_model import DriveVersion
from agent.hub.domain.model import Head
from agent.hub.domain.ports import StoreSession
from agent.hub.scaidrive.contents import read_content
from agent.hub.scaidrive.context import DriveContext, file_of
from agent.hub.scaidrive.request import MAX_INTEGER, DriveRefusal, DriveRequest, not_found

_RANGE: Final = re.compile(r"bytes=(\d{0,16})-(\d{0,16})", re.ASCII)


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
        pieces = read_content(context, session, source.workspace_number, version.hash, start, length)
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
    if "range" in request.headers:
        found = _RANGE.fullmatch(request.headers["range"].replace(" ", ""))
        # RFC 9110: a header that is no single range of bytes is ignored.
        if found is None or not (found[1] or found[2]):
            return None
        if not found[1]:
            return _within(max(size - int(found[2]), 0), size - 1, size) if int(found[2]) else _unmet(size)
        return _within(int(found[1]), int(found[2]) if found[2] else size - 1, size)
    if not ({"range_start", "range_end"} & request.query.keys()):
        return None
    start = request.number("range_start", 0, 0, MAX_INTEGER)
    return _within(start, request.number("range_end", max(size - 1, start), 0, MAX_INTEGER), size)


def _within(start: int, end: int, size: int) -> tuple[int, int]:
    if start >= size or end < start:
        return _unmet(size)
    return start, min(end, size - 1) - start + 1


def _unmet(size: int) -> tuple[int, int]:
    raise RangeRefusal(size)


class RangeRefusal(DriveRefusal):
    """A range that no byte of the content is in."""

    def __init__(self, size: int) -> None:
        super().__init__(416, f"The range is outside the content of {size} bytes")
        self.headers: Mapping[str, str] = {"content-range": f"bytes */{size}"}
