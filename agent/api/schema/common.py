"""Requests and parts of answers that several methods share.

A path that is not UTF-8 is given and answered with U+FFFD in ``path``, and with its bytes in ``path_base64``.
"""

from __future__ import annotations

import enum

from msgspec import UNSET, Struct, UnsetType


class NoParams(Struct, frozen=True):
    """A request without parameters."""


class FolderParams(Struct, frozen=True, kw_only=True):
    """A request about one linked folder, or about all of them.

    Attributes:
        folder: absolute path of the folder; null for all.
        folder_base64: bytes of a path that is not UTF-8.
    """

    folder: str | None = None
    folder_base64: str | None = None


class PathParams(Struct, frozen=True, kw_only=True):
    """A request about one file.

    Attributes:
        path: absolute path.
        path_base64: bytes of a path that is not UTF-8.
        limit: number of rows at most.
        after: go on after this row.
    """

    path: str | None = None
    path_base64: str | None = None
    limit: int | None = None
    after: str | None = None


class ListParams(FolderParams, frozen=True, kw_only=True):
    """A request for a list.

    Attributes:
        limit: number of rows at most.
        after: go on after this row: its id, or its path.
    """

    limit: int | None = None
    after: str | int | None = None


class ListOrder(enum.StrEnum):
    """Order of a list by time."""

    OLDEST = "oldest"
    NEWEST = "newest"


class TimedListParams(ListParams, frozen=True, kw_only=True):
    """A request for a list that has an order by time.

    Attributes:
        order: oldest or newest first; ``after`` goes on in that order.
    """

    order: ListOrder = ListOrder.OLDEST


class ErrorDocument(Struct, frozen=True):
    """An error that is part of an answer.

    Attributes:
        code: the same code as an error of the command has.
        message: one sentence.
    """

    code: str
    message: str


class HeldDeletesDocument(Struct, frozen=True):
    """Deletes that wait for a person.

    Attributes:
        plan: id to approve them with.
        count: number of files.
    """

    plan: str
    count: int


class FileError(Struct, frozen=True, kw_only=True):
    """A file, or a whole folder (empty path), that could not be synced.

    Attributes:
        code: reason.
        message: one sentence.
    """

    path: str
    path_base64: str | UnsetType = UNSET
    code: str
    message: str


class SkippedFile(Struct, frozen=True, kw_only=True):
    """A selected file that is not synced.

    Attributes:
        reason: code of the reason.
        text: the reason in words.
    """

    path: str
    path_base64: str | UnsetType = UNSET
    reason: str
    text: str
