"""One revision of a file, as its server states it."""

from __future__ import annotations

from msgspec import Struct


class Version(Struct, frozen=True, gc=False):
    """A content that a file has, or had, on the server. "No file" is None in place of a version.

    Attributes:
        hash: sha256 of the bytes.
        size: bytes; None if not known.
        rev: the server's own revision, opaque. A content that comes back later has another one. None if not known.
        remote_id: the server's own id of the file, opaque; a move does not change it. None if not known, or if the
            path is the file's only identity.
    """

    hash: str
    size: int | None = None
    rev: str | None = None
    remote_id: str | None = None


def version_of(digest: str | None, rev: str | None = None) -> Version | None:
    """Return the version with this hash; None is "no file"."""
    return None if digest is None else Version(digest, None, rev)


def is_same_version(one: Version | None, other: Version | None) -> bool:
    """Return True if nothing known distinguishes the two versions of one path.

    Equal contents with two revisions are two visits of the same text. Where a revision or an id is not known on both
    sides, the hash alone decides.
    """
    if one is None or other is None:
        return one is other
    return one.hash == other.hash and not (_differ(one.rev, other.rev) or _differ(one.remote_id, other.remote_id))


def is_base(version: Version | None, digest: str | None, rev: str | None) -> bool:
    """Return True if this is the version that a conflict names as the base of its refused text.

    A server that no longer knows the base's content names its revision alone.
    """
    if digest is None and rev is not None:
        return version is not None and version.rev == rev
    return is_same_version(version, version_of(digest, rev))


def _differ(one: str | None, other: str | None) -> bool:
    return one is not None and other is not None and one != other
