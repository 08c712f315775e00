"""explain: why a path is or is not synced, and what people ask about a file or a folder."""

from __future__ import annotations

from msgspec import UNSET, Struct, UnsetType

from agent.api.schema.common import PathParams
from agent.api.schema.machines import SourceMachinesDocument
from agent.api.schema.status import SourceDocument


class ExplainParams(PathParams, frozen=True, kw_only=True):
    """The path to explain.

    Attributes:
        facts: also tell what people ask about a file or a linked folder. The server is asked for it.
    """

    facts: bool = False


class LastChange(Struct, frozen=True, kw_only=True):
    """The newest change of a file that the activity log knows.

    Attributes:
        what: kind of the event, as in ``activity``.
        by: this_machine, or elsewhere (another machine, or a person on the server).
    """

    at: str
    what: str
    by: str


class ConflictFacts(Struct, frozen=True, kw_only=True):
    """The open conflict of a file.

    Attributes:
        id: as in ``conflicts``.
        kind: edit_edit, edit_delete, delete_edit or no_base; the side of this machine first.
    """

    id: str
    kind: str
    opened_at: str


class FileFacts(Struct, frozen=True, kw_only=True):
    """Answers to the questions about a file.

    Attributes:
        last_change: null if the log does not go back that far.
        server_versions: contents of the file that the server keeps, the present one included; null if it cannot be
            asked or keeps none.
        server_has_more: the server may keep more than these; only that many are asked for.
        server_message: the reason in words why the server's versions are not known; null if they are.
        trash_versions: contents in the local trash.
    """

    last_change: LastChange | None
    server_versions: int | None
    server_has_more: bool
    server_message: str | None
    trash_versions: int
    conflict: ConflictFacts | None


class FolderFacts(Struct, frozen=True, kw_only=True):
    """Answers to the questions about a linked folder.

    Attributes:
        source: as in ``status``.
        agent_runs: a daemon answers, so that changes are sent by themselves.
        unsent: changes that the server has not acknowledged, parked conflicts included.
        trash_files, trash_bytes: texts of this folder in the local trash.
        notices: pushed, waiting or asking: how this machine learns of changes on the server.
        calls_a_minute: limit of calls that the server states; null for none.
    """

    source: SourceDocument
    agent_runs: bool
    unsent: int
    trash_files: int
    trash_bytes: int
    notices: str
    calls_a_minute: int | None
    machines: SourceMachinesDocument


class ExplainDocument(Struct, frozen=True, kw_only=True):
    """The reason a path is or is not synced.

    Attributes:
        kind: file or folder. A folder is synced if files in it can be.
        rule: pattern or built-in rule that decided.
        origin: place of the rule: a file and line, or the kind of pattern.
        state: as in ``files``; null for a path that no side holds, or that is not selected.
        reason: the reason in words why a path is skipped, or that no include pattern selects it.
        include: pattern that would select the path; null unless the include patterns alone leave it out.
        root: the linked folder.
        exists: there is something at the path on this disk.
        file: of a file that either side holds or has held.
        folder: of a whole linked folder.
    """

    path: str
    path_base64: str | UnsetType = UNSET
    kind: str
    synced: bool
    rule: str | None
    origin: str | None
    state: str | None
    reason: str | None
    include: str | UnsetType | None = UNSET
    hash: str | None
    base_hash: str | None
    remote_hash: str | None
    root: str | UnsetType = UNSET
    exists: bool | UnsetType = UNSET
    file: FileFacts | UnsetType = UNSET
    folder: FolderFacts | UnsetType = UNSET
