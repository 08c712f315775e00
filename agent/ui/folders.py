"""Linked folders as pages name them: by the server's id of the source."""

from __future__ import annotations

import base64
import os
from typing import Any

from agent.core.errors import UsageError
from agent.ui.visit import Visit
from agent.ui.words import path_segment


def all_sources(visit: Visit) -> list[dict[str, Any]]:
    """Return the status of every linked folder."""
    found: list[dict[str, Any]] = visit.call("status")["sources"]
    return found


def source_of(visit: Visit) -> dict[str, Any]:
    """Return the status of the folder that the address names.

    Raises:
        UsageError: no linked folder has this id.
    """
    wanted = visit.route["source"]
    for source in all_sources(visit):
        if source["id"] == wanted:
            return source
    raise UsageError("this folder is not linked", "raven-agent status")


def file_path(visit: Visit, source: dict[str, Any]) -> tuple[dict[str, str], str]:
    """Return the parameters that name the file of this address, and its path relative to the root.

    A name that is not UTF-8 is in the address as it can be read, and as the base64 of the path's bytes in ``raw``.
    """
    path = str(visit.route["path"])
    return whole_path(source["root"], path, visit.query.text("raw") or visit.form.text("raw")), path


def whole_path(root: str, path: str, raw: str) -> dict[str, str]:
    """Return the parameters that name a file.

    Args:
        raw: base64 of the relative path's bytes where these are not UTF-8; else empty.
    """
    if not raw:
        return {"path": f"{root}/{path}"}
    try:
        relative = base64.b64decode(raw, validate=True)
    except ValueError:
        raise UsageError("the address names no file", "open the page from the list of files") from None
    return {"path_base64": base64.b64encode(os.fsencode(root) + b"/" + relative).decode("ascii")}


def shell_path(root: str, path: str, raw: str) -> str:
    """Return the absolute path for a command line; bytes that are not UTF-8 are half surrogates, as in ``os``."""
    found = whole_path(root, path, raw)
    return found["path"] if "path" in found else os.fsdecode(base64.b64decode(found["path_base64"]))


def address_of(kind: str, source_id: str, path: str, anchor: str = "") -> str:
    """Return the address of a page about one file: ``file``, ``history`` or another kind."""
    return f"/{kind}/{path_segment(source_id)}/{path_segment(path)}{anchor}"


def parents(path: str) -> list[tuple[str, str]]:
    """Return name and path of each folder above a path, outermost first."""
    parts = path.split("/")[:-1]
    return [(name, "/".join(parts[: place + 1])) for place, name in enumerate(parts)]
