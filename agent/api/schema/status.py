"""status, progress, servers, files, explain, activity, events."""

from __future__ import annotations

import enum

from msgspec import UNSET, Struct, UnsetType

from agent.api.schema.common import (
    ErrorDocument,
    FolderParams,
    HeldDeletesDocument,
    ListParams,
    TimedListParams,
)
from agent.api.schema.machines import SourceMachinesDocument


class StatusParams(FolderParams, frozen=True, kw_only=True):
    """The sources to report.

    Attributes:
        machines: also ask the servers how far every machine of these sources has come.
    """

    machines: bool = False


class FilesParams(ListParams, frozen=True, kw_only=True):
    """The files to list.

    Attributes:
        state: only files in this state.
        match: only files whose path has this part; with ``*``, ``?`` or ``[`` a pattern for the whole path.
    """

    state: str | None = None
    match: str | None = None


class TreeParams(ListParams, frozen=True, kw_only=True):
    """The names to list.

    Attributes:
        under: folder relative to the root; empty for the root itself.
        after: go on after this path, relative to the root; a folder's with a slash at its end.
    """

    under: str = ""


class TreeDocument(Struct, frozen=True, kw_only=True):
    """One name directly in a folder.

    Attributes:
        path: relative to the root.
        kind: file or folder.
        state: state of a file, as in ``files``; null for a folder.
        size: bytes of a file.
    """

    path: str
    kind: str
    state: str | None
    size: int | None


class ActivityParams(TimedListParams, frozen=True, kw_only=True):
    """The entries to list.

    Attributes:
        since: only entries of this time and later; RFC 3339.
        kind: only entries of this kind.
        match: only entries whose path has this part; with ``*``, ``?`` or ``[`` a pattern for the whole path.
    """

    since: str | None = None
    kind: str | None = None
    match: str | None = None


class ActivityDocument(Struct, frozen=True, kw_only=True):
    """One entry of the activity log.

    Attributes:
        id: number of the entry; they only grow.
        what: kind of the event.
        operation_id: id the server knows the operation by.
    """

    id: int
    at: str
    source_id: str
    root: str
    path: str | None
    what: str
    detail: str | None
    operation_id: str | None


class SpanLength(enum.StrEnum):
    """Length of the spans in which activity is counted; a day begins at local midnight."""

    HOUR = "hour"
    DAY = "day"


class ActivityCountsParams(FolderParams, frozen=True, kw_only=True):
    """The activity to count.

    Attributes:
        by: length of a span.
        since: only entries of this time and later; RFC 3339.
    """

    by: SpanLength = SpanLength.HOUR
    since: str | None = None


class ActivityCount(Struct, frozen=True, kw_only=True):
    """The activity of one span of time; spans without any are left out.

    Attributes:
        at: begin of the span.
        entries: entries about files.
        files: different files among them.
    """

    at: str
    entries: int
    files: int


class DaemonDocument(Struct, frozen=True, kw_only=True):
    """The process that answers.

    Attributes:
        running: false where a command answers for itself.
        since: time of its start.
    """

    running: bool
    pid: int | None
    since: str | None


class ServerDocument(Struct, frozen=True, kw_only=True):
    """One account.

    Attributes:
        connector_id: this machine's id on the server; null until it is registered.
        state: ok, offline or signed_out.
        warning: a sentence about a token that expires soon, or cannot be read.
        declared_in: the configuration file that declares it.
        remedy: how to sign in again.
        message: cause of a state other than ok.
    """

    name: str
    url: str
    workspace: str
    dialect: str
    connector_id: str | None
    state: str
    token_expires_at: str | None
    warning: str | None
    declared_in: str | None
    remedy: str | None
    message: str | None


class Progress(Struct, frozen=True, kw_only=True):
    """Progress of the work under way.

    Attributes:
        bytes_total: bytes of the files that are sent or fetched in this batch of work, done ones included.
        eta_seconds: estimated time left; null while there is nothing to estimate from.
    """

    files_done: int
    files_total: int
    bytes_done: int
    bytes_total: int
    eta_seconds: float | None


class SourceDocument(Struct, frozen=True, kw_only=True):
    """One source.

    Attributes:
        id: the server's id.
        declared_in: the configuration file that declares it.
        state: the first that holds of signed_out, halted, error, offline, paused, conflict, syncing, up_to_date.
        resolving: conflicts whose resolution is decided and not carried out yet.
        skipped: selected files that are not synced, each counted once.
        failed: those of them that are not left out by policy.
        paused_until: null without a pause, and for a pause without an end.
        paused_by: person, server (its preferences switch the source off for this machine) or null.
        last_sync_at: time at which both sides last agreed.
        degraded: reasons why changes may be noticed late.
    """

    id: str
    name: str
    root: str
    declared_in: str | None
    server: str
    dialect: str
    mode: str
    state: str
    files: int
    bytes: int
    pending_push: int
    pending_pull: int
    conflicts: int
    resolving: int
    skipped: int
    failed: int
    held_deletes: HeldDeletesDocument | None
    progress: Progress | None
    paused_until: str | None
    paused_by: str | None
    cursor: str | None
    last_sync_at: str | None
    degraded: list[str]
    error: ErrorDocument | None


class DeclarationIssue(Struct, frozen=True):
    """The reason a declaration is not applied."""

    code: str
    message: str | None
    hint: str | None


class DeclarationDocument(Struct, frozen=True, kw_only=True):
    """One declared account or folder.

    Attributes:
        kind: server or source.
        state: applied, waiting or refused.
    """

    kind: str
    name: str
    file: str
    state: str
    error: DeclarationIssue | None


class StatusDocument(Struct, frozen=True, kw_only=True):
    """The status of everything.

    Attributes:
        schema: version of this form.
        version: release of the agent that answers.
        last_event: the newest entry of the activity log; null if there is none.
        machines: the machines of each source; only where they were asked for.
    """

    schema: int
    version: str
    checked_at: str
    daemon: DaemonDocument
    servers: list[ServerDocument]
    sources: list[SourceDocument]
    declarations: list[DeclarationDocument]
    last_event: ActivityDocument | None
    machines: list[SourceMachinesDocument] | UnsetType = UNSET


class EventsParams(Struct, frozen=True, kw_only=True):
    """The events to list.

    Attributes:
        after: id of the last event that was read; null for the present state alone.
    """

    after: str | None = None


class StreamEventKind(enum.StrEnum):
    """Kind of an event."""

    STATUS = "status"
    CONFLICTS = "conflicts"
    ACTIVITY = "activity"


class EventDocument(Struct, frozen=True, kw_only=True):
    """One change of the agent's state. Exactly the field of its kind is set.

    Attributes:
        id: position in the stream; ``after`` continues behind it, also after a restart of the agent.
        status: the status as it is now.
        conflicts: ids of the parked conflicts as they are now.
        activity: one entry of the activity log.
    """

    id: str
    kind: StreamEventKind
    status: StatusDocument | None = None
    conflicts: list[str] | None = None
    activity: ActivityDocument | None = None


class ProgressDocument(Struct, frozen=True):
    """The sources at work."""

    sources: list[SourceDocument]


class FileDocument(Struct, frozen=True, kw_only=True):
    """One file.

    Attributes:
        root: the linked folder.
        path: relative to the root.
        state: ok, pending_push, pending_pull, conflict or skipped.
        hash: sha256 here; null for "no such file", as for the other two.
        base_hash: sha256 both sides last agreed on.
        remote_hash: sha256 on the server.
        reason: code of the reason a skipped file is not synced.
        reason_text: the reason in words.
    """

    root: str
    path: str
    path_base64: str | UnsetType = UNSET
    state: str
    size: int | None
    hash: str | None
    base_hash: str | None
    remote_hash: str | None
    reason: str | None = None
    reason_text: str | None = None


__all__ = [
    "ActivityCount",
    "ActivityCountsParams",
    "ActivityDocument",
    "ActivityParams",
    "DaemonDocument",
    "DeclarationDocument",
    "DeclarationIssue",
    "EventDocument",
    "EventsParams",
    "FileDocument",
    "FilesParams",
    "FolderParams",
    "Progress",
    "ProgressDocument",
    "ServerDocument",
    "SourceDocument",
    "SpanLength",
    "StatusDocument",
    "StatusParams",
    "StreamEventKind",
]
