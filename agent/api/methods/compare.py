"""compare: two versions of one file, or one version and the file itself."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Final

from msgspec import Struct

from agent.api.methods.common import RequestRefused, path_param, readable
from agent.api.methods.history import source_over
from agent.api.methods.versions import version_content
from agent.api.schema.history import CompareDocument, ComparedVersion, CompareParams
from agent.core.diff import unified
from agent.core.errors import UsageError
from agent.runtime.agent import Agent

_MAX_COMPARED: Final = 8 << 20
"""Bytes of a text that is compared line by line at most."""


class _Side(Struct, frozen=True):
    name: str
    content: bytes


def compare(agent: Agent, params: CompareParams) -> CompareDocument:
    """Compare two versions of a file. With one version, the file as it is now is the second.

    Raises:
        RemoteError: the server cannot be asked.
        RequestRefused: the content of a version is kept nowhere, or the file cannot be read.
        UsageError: not one or two versions are named, or one name fits none or several.
    """
    if len(params.versions) not in (1, 2):
        raise UsageError("one or two versions are compared", "raven-agent history PATH lists them")
    source, path = source_over(agent, path_param(params.path, params.path_base64))
    sides = [_of_version(version_content(agent, source, path, version)) for version in params.versions]
    if len(sides) == 1:
        sides.append(_Side("now", _present(source.root / path)))
    old, new = sides
    texts = [_lines(side.content) for side in sides]
    before, after = texts
    lines, cut = (
        unified(before, after, (old.name, new.name)) if before is not None and after is not None else (None, False)
    )
    return CompareDocument(
        path=readable(path),
        root=readable(str(source.root)),
        old=_document(old),
        new=_document(new),
        diff=lines,
        cut=cut,
    )


def _of_version(content: bytes) -> _Side:
    return _Side(hashlib.sha256(content).hexdigest()[:12], content)


def _document(side: _Side) -> ComparedVersion:
    return ComparedVersion(name=side.name, hash=hashlib.sha256(side.content).hexdigest(), size=len(side.content))


def _present(file: Path) -> bytes:
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as opened:
            return opened.read()
    except OSError as error:
        raise RequestRefused(f"{file} cannot be read: {error.strerror}", "name two versions") from error


def _lines(content: bytes) -> list[str] | None:
    """Return the lines of a text; None for a binary or very large one, which no line shows."""
    if len(content) > _MAX_COMPARED or b"\0" in content:
        return None
    try:
        return content.decode("utf-8").splitlines()
    except UnicodeDecodeError:
        return None
