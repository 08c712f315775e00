"""history, show, restore, trash."""

from __future__ import annotations

from msgspec import UNSET, Struct, UnsetType

from agent.api.schema.common import ErrorDocument, FolderParams, PathParams


class ShowParams(PathParams, frozen=True, kw_only=True):
    """The version to show.

    Attributes:
        version: first digits of its sha256; null for the one that the server has now.
    """

    version: str | None = None


class ShowDocument(Struct, frozen=True, kw_only=True):
    """One version of a file. The command writes its bytes alone.

    Attributes:
        path: relative to the root.
        hash: sha256.
        content_base64: its bytes.
    """

    path: str
    hash: str
    size: int
    content_base64: str


class CompareParams(PathParams, frozen=True, kw_only=True):
    """The versions to compare.

    Attributes:
        versions: first digits of the sha256 of one or two versions; the file itself is the second where one is named.
    """

    versions: tuple[str, ...]


class ComparedVersion(Struct, frozen=True):
    """One side of a comparison.

    Attributes:
        name: first 12 digits of its hash; ``now`` for the file itself.
        hash: sha256.
        size: bytes.
    """

    name: str
    hash: str
    size: int


class CompareDocument(Struct, frozen=True, kw_only=True):
    """The difference of two versions of a file; answer of ``diff PATH --version``.

    Attributes:
        path: relative to the root.
        diff: lines of a unified diff, none for equal texts; null where a side is binary or larger than 8 MiB.
        cut: true if the comparison reached its work bound, so that a region is larger than it could be.
    """

    path: str
    root: str
    old: ComparedVersion
    new: ComparedVersion
    diff: list[str] | None
    cut: bool


class RestoreParams(PathParams, frozen=True, kw_only=True):
    """The version to bring back: exactly one of ``version`` and ``trash_id``.

    Attributes:
        version: first digits of its sha256.
        trash_id: first characters of the trash entry's id.
        to: absolute path to write it to, instead of its own.
        to_base64: bytes of a path that is not UTF-8.
    """

    version: str | None = None
    trash_id: str | None = None
    to: str | None = None
    to_base64: str | None = None


class VersionDocument(Struct, frozen=True, kw_only=True):
    """One version of a file.

    Attributes:
        id: names this entry of the list, for ``--after``.
        hash: sha256.
        origin: the connector or person that wrote it, or the reason it went to the trash.
        where: server or trash.
        trash_id: present for a version in the trash.
    """

    id: str
    hash: str
    size: int
    recorded_at: str | None
    origin: str | None
    where: str
    trash_id: str | UnsetType = UNSET


class HistoryDocument(Struct, frozen=True, kw_only=True):
    """The versions of one file. The command prints the list alone.

    Attributes:
        versions: newest first.
        error: set where the server could not be asked, so that only the local trash is listed.
        server_history: false where the server keeps no older versions.
    """

    versions: list[VersionDocument]
    error: ErrorDocument | None
    server_history: bool


class RestoreDocument(Struct, frozen=True, kw_only=True):
    """The result of a restore.

    Attributes:
        path: relative to the root, or absolute without one.
        root: the linked folder; null for a file outside every linked folder.
        hash: sha256 of the restored text.
        replaced: trash id of the text that was there before; null if there was none.
    """

    changed: bool
    path: str
    root: str | None
    size: int
    hash: str
    replaced: str | None


class RewindParams(FolderParams, frozen=True, kw_only=True):
    """The time to go back to, or the undo of the last rewind: exactly one of ``at`` and ``undo``.

    Attributes:
        folder: also a folder or a file in a linked one; only it is changed then.
        at: RFC 3339 time.
        undo: bring back what the last rewind of this folder changed.
        dry_run: only list the files.
        plan: the plan that a person agreed to; refused if the files to change are others by now.
    """

    at: str | None = None
    undo: bool = False
    dry_run: bool = False
    plan: str | None = None


class RewindRow(Struct, kw_only=True):
    """One file that a rewind changes, or cannot change.

    Attributes:
        path: relative to the root.
        step: restore, remove, or unknown for a file that stays as it is.
        before: sha256 now; null for "no such file", as in ``after``.
        after: sha256 of the version of that time.
        message: why the file stays as it is.
    """

    path: str
    step: str
    before: str | None
    after: str | None
    message: str | None


class RewindDocument(Struct, frozen=True, kw_only=True):
    """The result of ``restore FOLDER --at``.

    Attributes:
        at: the requested time; null for an undo.
        plan: names exactly these files and changes.
        files: those that are not as they were then.
    """

    changed: bool
    root: str
    plan: str
    at: str | None
    dry_run: bool
    files: list[RewindRow]


class TrashDocument(Struct, frozen=True, kw_only=True):
    """One entry of the trash.

    Attributes:
        reason: cause of the move into the trash.
        on_server: true if the text is the present version of some file on the server. False says nothing about earlier
            versions, which ``history`` lists; in an unlinked folder the server is not asked.
        unlinked: true if the folder is not linked any more. Such an entry is restored with ``--to``.
    """

    id: str
    path: str
    path_base64: str | UnsetType = UNSET
    hash: str
    size: int
    reason: str
    moved_at: str
    on_server: bool
    root: str
    unlinked: bool


class PruneDocument(Struct, frozen=True, kw_only=True):
    """The result of ``trash prune``.

    Attributes:
        removed: entries deleted for good.
    """

    changed: bool
    removed: int
    bytes: int
