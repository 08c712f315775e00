"""Forms with a file (multipart/form-data, RFC 7578)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.message import Message
from typing import Final

from agent.hub.scaidrive.request import DriveRequest, Fields, wrong_field

FILE_FIELD: Final = "file"
_MAX_PARTS: Final = 32
_HEADER: Final = re.compile(r"([!-9;-~]+):[ \t]*(.*)")


@dataclass(frozen=True, slots=True)
class UploadForm:
    """A form with one file.

    Attributes:
        fields: the texts by name; `mime_type` is that of the file's part, if it has one.
        name: file name of the file's part, empty for none.
    """

    fields: Fields
    name: str
    content: bytes


def form_of(request: DriveRequest) -> UploadForm:
    """Return the form in a request's body.

    Raises:
        DriveRefusal: 422 if it is no form, or has no file.
    """
    kind = Message()
    kind["content-type"] = request.headers.get("content-type", "")
    boundary = kind.get_param("boundary")
    if kind.get_content_type() != "multipart/form-data" or not isinstance(boundary, str) or not boundary:
        raise wrong_field("header", "content-type", "Input should be multipart/form-data with a boundary")
    parts = (b"\r\n" + request.body).split(b"\r\n--" + boundary.encode("latin-1", "replace"))
    if len(parts) - 2 not in range(1, _MAX_PARTS + 1) or not parts[-1].startswith(b"--"):
        raise wrong_field("body", "body", "The form is incomplete or has too many parts")
    fields: dict[str, str] = {}
    found: tuple[str, bytes] | None = None
    for part in parts[1:-1]:
        described, separator, value = part.partition(b"\r\n\r\n")
        if not separator:
            raise wrong_field("body", "body", "A part of the form has no end of its headers")
        headers = _headers(described)
        name = str(headers.get_param("name", "", "content-disposition"))
        if name == FILE_FIELD:
            found = headers.get_filename("") or "", value
            if headers["content-type"]:
                fields.setdefault("mime_type", headers.get_content_type())
        else:
            fields[name] = value.decode("utf-8", "surrogateescape")
    if found is None:
        raise wrong_field("body", FILE_FIELD, "Field required", "missing")
    if fields.get("mime_type") == "application/octet-stream":
        # Clients send it for any file whose type they do not know.
        del fields["mime_type"]
    return UploadForm(fields, found[0].replace("\\", "/").rpartition("/")[2], found[1])


def _headers(described: bytes) -> Message:
    headers = Message()
    for line in described.decode("utf-8", "replace").split("\r\n"):
        match = _HEADER.fullmatch(line)
        if match is not None:
            headers[match[1]] = match[2]
    return headers
