"""sync, retry, pause, resume."""

from __future__ import annotations

from msgspec import UNSET, Struct, UnsetType

from agent.api.schema.common import FileError, FolderParams, HeldDeletesDocument, PathParams, SkippedFile


class SyncParams(FolderParams, frozen=True, kw_only=True):
    """One full pass over a folder, or over all of them.

    Attributes:
        dry_run: look at both sides and change neither.
        approve_deletes: plan of held deletes to let through.
        undo_deletes: bring the files of held deletes back instead.
    """

    dry_run: bool = False
    approve_deletes: str | None = None
    undo_deletes: bool = False


class SourceResult(Struct, frozen=True, kw_only=True):
    """The result of a pass over one source.

    Attributes:
        id: the server's id of the source.
        state: as in ``status``, after the pass.
        pushed: files sent.
        pulled: files installed.
        conflicts_opened: conflicts parked by this pass.
        conflicts: conflicts that are parked now.
        pending: changes that the pass could not carry out.
        errors: files that could not be synced, and a whole folder's error with an empty path.
        paused_until, paused_by: as in ``status``. A paused folder was left out.
        dry_run: present and true where nothing was changed; the counts are then what a pass would do.
    """

    id: str
    root: str
    state: str
    pushed: int
    pulled: int
    deleted_remote: int
    deleted_local: int
    conflicts_opened: int
    conflicts: int
    pending: int
    held_deletes: HeldDeletesDocument | None
    skipped: list[SkippedFile]
    errors: list[FileError]
    seconds: float
    paused_until: str | None
    paused_by: str | None
    dry_run: bool | UnsetType = UNSET


class UndoneFile(Struct, frozen=True):
    """A file that an undo of deletes brings back.

    Attributes:
        before: true if its delete was not held but carried out shortly before, and counted towards the held ones.
    """

    root: str
    path: str
    before: bool


class SyncDocument(Struct, frozen=True):
    """The results of a pass, source by source.

    Attributes:
        undone: number of held deletes that were undone; this and the next only where that was asked for.
        undone_before: number of deletes that were carried out shortly before the held ones, and undone with them.
        undone_files: the files of both, at most 200 of each kind for each source.
    """

    sources: list[SourceResult]
    undone: int | UnsetType = UNSET
    undone_before: int | UnsetType = UNSET
    undone_files: list[UndoneFile] | UnsetType = UNSET


class RetryParams(PathParams, frozen=True, kw_only=True):
    """The file to try again; without one, all."""


class RetryDocument(Struct, frozen=True, kw_only=True):
    """The result of a retry.

    Attributes:
        changed: true if there was anything to try.
        path: relative to its root; null for all files.
        sources: the results of the pass.
        errors: files that still cannot be synced, of those that were tried.
    """

    changed: bool
    path: str | None
    sources: list[SourceResult]
    errors: list[FileError]


class PauseParams(FolderParams, frozen=True, kw_only=True):
    """The folder to pause, or all.

    Attributes:
        seconds: length of the pause; null for "until resumed".
        everywhere: pause the server's source, for all machines.
    """

    seconds: float | None = None
    everywhere: bool = False


class ResumeParams(FolderParams, frozen=True, kw_only=True):
    """The folder to resume, or all.

    Attributes:
        everywhere: resume the server's source, for all machines.
    """

    everywhere: bool = False


class HaltedFolder(Struct, frozen=True):
    """A folder that a safety brake still stops after a resume.

    Attributes:
        message: the reason, and what to do.
    """

    root: str
    message: str


class PauseDocument(Struct, frozen=True, kw_only=True):
    """The result of pause and resume.

    Attributes:
        roots: the folders that are meant.
        paused_until: null for "until resumed", and after a resume.
        everywhere: true if the server's sources were paused or resumed.
        halted: the folders that do not go on, because their cause to stop is still there.
        paused_on_server: the folders that do not go on, because their source is paused on the server for all machines.
    """

    changed: bool
    roots: list[str]
    paused_until: str | None = None
    everywhere: bool | UnsetType = UNSET
    halted: list[HaltedFolder] | UnsetType = UNSET
    paused_on_server: list[str] | UnsetType = UNSET
