"""Downloads of the head of a path, whole or a range of it."""

from __future__ import annotations

from agent.hub.answers import HubError, Response
from agent.hub.byte_range import UnmetRange, range_of
from agent.hub.domain.contents import read_content
from agent.hub.pinakes.context import PinakesContext, PinakesRequest, account_of, account_source
from agent.hub.pinakes.report import shown_hash


def download(context: PinakesContext, request: PinakesRequest) -> Response:
    """Return the content of the file at a path. A range is answered with 206, if `If-Range` allows it.

    This API has no 416: a range outside the content is ignored, and the whole content comes.

    Raises:
        HubError: 404 if there is no file.
    """
    account_of(context, request.caller)
    path = request.ids[0]
    with context.store.read() as session:
        source = account_source(context, session, request.caller)
        heads = {} if source is None or "\0" in path else session.heads(source.number, [path])
        head = heads.get(path)
        if source is None or head is None or head.hash is None:
            raise HubError(404, "File not found")
        tag = f'"{shown_hash(context, session, source, head)}"'
        size = session.known_content(source.workspace_number, head.hash) or 0
        span = _span(request, tag, size)
        start, length = span or (0, size)
        pieces = read_content(context.blobs, session, source.workspace_number, head.hash, start, length)
    headers = {
        "content-type": "application/octet-stream",
        "content-length": str(length),
        "accept-ranges": "bytes",
        "etag": tag,
    }
    if span is None:
        return Response(200, pieces, headers)
    headers["content-range"] = f"bytes {start}-{start + length - 1}/{size}"
    return Response(206, pieces, headers)


def _span(request: PinakesRequest, tag: str, size: int) -> tuple[int, int] | None:
    if request.headers.get("if-range", tag).strip() not in (tag, tag.strip('"')):
        return None
    try:
        return range_of(request.headers.get("range", ""), size)
    except UnmetRange:
        return None
