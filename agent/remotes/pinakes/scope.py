"""Sources of a Pinakes account: each top-level folder is one, and the whole account is one more."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from agent.core.errors import Problem, ProblemKind
from agent.core.model import Mode
from agent.remotes.http.failures import RemoteCallError, SideEffect
from agent.remotes.pinakes.calls import not_there
from agent.remotes.protocol import RemoteSource

WHOLE: Final = "account"
"""The id of the source that holds every file of the account."""
_WHOLE_NAME: Final = "(whole account)"
_FOLDER: Final = "folder:"
"""Beginning of the id of a folder's source. An id without it is no source of this dialect."""


class AccountScope(Struct, frozen=True):
    """The files of one source. ``prefix``: the beginning of their paths; "" for the whole account."""

    prefix: str

    def inside(self, path: str | None) -> str | None:
        """Return the path within the source; None if it is outside."""
        if path is None or not path.startswith(self.prefix) or path == self.prefix:
            return None
        return path[len(self.prefix) :]

    def full(self, path: str) -> str:
        """Return the path within the account."""
        return self.prefix + path


def scope_of(source_id: str) -> AccountScope:
    """Return the scope of a source. Raises NOT_FOUND for an id that is none."""
    if source_id == WHOLE:
        return AccountScope("")
    if not source_id.startswith(_FOLDER) or not _is_name(source_id[len(_FOLDER) :]):
        raise not_there("the server has no such source")
    return AccountScope(f"{source_id[len(_FOLDER) :]}/")


def folder_source(name: str) -> RemoteSource:
    """Return the source of a top-level folder. Raises BAD_REQUEST for a name that a folder cannot have."""
    if not _is_name(name):
        problem = Problem(ProblemKind.BAD_REQUEST, f"{name!r} cannot be the name of a folder at the top of the account")
        raise RemoteCallError(problem, SideEffect.NONE)
    return RemoteSource(_FOLDER + name, name, Mode.BIDIRECTIONAL, None, False)


def whole_source() -> RemoteSource:
    """Return the source of the whole account."""
    return RemoteSource(WHOLE, _WHOLE_NAME, Mode.BIDIRECTIONAL, None, False)


def sources_overlap(one: str, other: str) -> bool:
    """Return True if two sources have files in common."""
    return WHOLE in (one, other) or one == other


def _is_name(name: str) -> bool:
    return name not in ("", ".", "..") and "/" not in name
