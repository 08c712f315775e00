"""Conflicts of one API in the form of another one, so that each API lists those of all.

Raven's conflicts are between two texts of a path. Those of the other APIs belong to a device and name versions of a
file; the refused content may never have arrived. They have events in the log as well, by which Raven's clients learn
of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from agent.core.model import EMPTY_HASH, Resolution
from agent.hub.domain.drive_model import DriveVersion, VersionConflict
from agent.hub.domain.model import Head, HubConflictKind, OpenConflict, Source
from agent.hub.domain.ports import StoreSession
from agent.hub.domain.source_transaction import SourceTransaction

HASH_KEY: Final = "checksum_sha256"
"""Detail of a conflict of versions: the sha256 of the refused content, in ScaiDrive's words."""
UPDATED: Final = "updated"
DELETED: Final = "deleted"
_CONTENT_CHANGES: Final = frozenset({"created", UPDATED, DELETED})
_PREFIX: Final = "cfl_"
RESOLUTIONS: Final = {
    "CLIENT_WINS": Resolution.KEEP_LOCAL,
    "LAST_WRITER_WINS": Resolution.KEEP_LOCAL,
    "MANUAL": Resolution.MANUAL_MERGE,
}
"""Words of the other APIs in Raven's; every other one leaves the head: KEEP_RAVEN."""


def refused_and_head(conflict: OpenConflict) -> tuple[str | None, str | None]:
    """Return the hashes of the refused content and of the head of a conflict of Raven's; None is "no file"."""
    if conflict.kind is HubConflictKind.RAVEN_EDIT:
        # An edit made on the server was refused: there the head is the local side.
        return conflict.remote_hash, conflict.local_hash
    is_delete = conflict.kind is HubConflictKind.DELETE_MISMATCH
    return None if is_delete else conflict.local_hash, conflict.remote_hash


def uuid_of(conflict: VersionConflict) -> str:
    """Return the id of a conflict of versions in the form of Raven's ids."""
    return conflict.id.removeprefix(_PREFIX)


def hash_at(versions: Sequence[DriveVersion], cursor: int | None) -> str | None:
    """Return the hash of the version that an event brought, None if there is none."""
    return next((version.hash for version in versions if version.cursor == cursor), None)


def sides_of(session: StoreSession, conflict: VersionConflict) -> tuple[str | None, str | None, str | None]:
    """Return the sha256 of the base, of the refused content and of the head; None for no file and if not known."""
    versions = session.drive_versions(conflict.source, conflict.resource)
    refused = conflict.metadata.get(HASH_KEY)
    known = refused if isinstance(refused, str) and conflict.change != DELETED else None
    return hash_at(versions, conflict.base), known, hash_at(versions, conflict.server)


def as_raven(
    session: StoreSession, source: Source, conflict: VersionConflict, head: Head | None
) -> OpenConflict | None:
    """Return a conflict of versions in the form of Raven's API, or None if that has no word for it.

    It has no folders and no moves, and a file that is no text does not exist there.
    """
    if conflict.is_folder or conflict.change not in _CONTENT_CHANGES or (head is not None and head.hidden):
        return None
    base, refused, server = sides_of(session, conflict)
    is_delete = conflict.change == DELETED
    if (refused is None and not is_delete) or any(_is_no_text(session, source, each) for each in (refused, server)):
        return None
    kind = HubConflictKind.DELETE_MISMATCH if is_delete else HubConflictKind.STALE_BASE
    number = 0 if head is None else head.number
    return OpenConflict(
        uuid_of(conflict), number, conflict.path, conflict.device, kind, base, refused or EMPTY_HASH, server,
        conflict.created_at,
    )  # fmt: skip


def _is_no_text(session: StoreSession, source: Source, hash_: str | None) -> bool:
    # A refused content whose bytes never arrived may be anything; its hash can be shown.
    if hash_ is None or session.known_content(source.workspace_number, hash_) is None:
        return False
    return session.is_hidden_content(source.workspace_number, hash_)


def for_raven(session: StoreSession, source: Source) -> list[OpenConflict]:
    """Return the open conflicts of versions, as far as Raven's API has a word for them, newest first."""
    found = session.version_conflicts(source.workspace, source.number, resolved=False)
    heads = session.heads(source.number, {conflict.path for conflict in found}) if found else {}
    shown = (as_raven(session, source, conflict, heads.get(conflict.path)) for conflict in found)
    return [conflict for conflict in shown if conflict is not None]


def announce_opened(session: StoreSession, transaction: SourceTransaction, conflict: VersionConflict) -> None:
    """Add the event by which Raven's clients learn of a new conflict of a loaded path."""
    shown = as_raven(session, transaction.source, conflict, transaction.head(conflict.path))
    if shown is not None:
        transaction.announce_opened(shown)


def announce_closed(session: StoreSession, transaction: SourceTransaction, conflict: VersionConflict) -> None:
    """Add the event by which Raven's clients learn that a conflict was resolved, after the changes that it made."""
    transaction.load_heads([conflict.path])
    shown = as_raven(session, transaction.source, conflict, transaction.head(conflict.path))
    if shown is not None:
        word = RESOLUTIONS.get(conflict.resolution or "", Resolution.KEEP_RAVEN)
        transaction.announce_closed(conflict.path, shown.id, word)


def of_raven(session: StoreSession, source: Source) -> list[VersionConflict]:
    """Return the open conflicts of Raven's API, newest first, as conflicts of versions."""
    found = []
    for conflict in session.open_conflicts(source.number):
        head = session.heads(source.number, [conflict.path]).get(conflict.path)
        identity = 0 if head is None else head.identity
        versions = session.drive_versions(source.number, identity)
        refused, server = refused_and_head(conflict)
        cursors = {version.hash: version.cursor for version in versions}
        found.append(
            VersionConflict(
                id=f"{_PREFIX}{conflict.id}",
                source=source.number,
                user="",
                device=conflict.connector or "",
                is_folder=False,
                resource=identity,
                change=DELETED if refused is None else UPDATED,
                path=conflict.path,
                new_path=None,
                base=None if conflict.base is None else cursors.get(conflict.base),
                client=None,
                server=None if server is None else cursors.get(server),
                metadata={} if refused is None else {HASH_KEY: refused},
                created_at=conflict.created_at,
            )
        )
    return found
