"""conflicts, diff, resolve, drafts."""

from __future__ import annotations

import enum

from msgspec import UNSET, Struct, UnsetType

from agent.api.schema.common import ListParams
from agent.core.decided_file import DecidedFile
from agent.core.model import ConflictKind, Resolution


class ConflictOrder(enum.StrEnum):
    """Order of a list of conflicts; equal ones by age."""

    OLDEST = "oldest"
    NEWEST = "newest"
    PATH = "path"
    KIND = "kind"


class ConflictsParams(ListParams, frozen=True, kw_only=True):
    """The conflicts to list.

    Attributes:
        kind: only conflicts of this kind.
        match: only conflicts whose path has this part; with ``*``, ``?`` or ``[`` a pattern for the whole path.
        order: ``after`` goes on in this order, also behind a conflict that was closed since.
    """

    kind: ConflictKind | None = None
    match: str | None = None
    order: ConflictOrder = ConflictOrder.OLDEST


class ConflictCount(Struct, frozen=True, kw_only=True):
    """The number of conflicts of one folder that has any.

    Attributes:
        conflicts: all of them.
        matching: those that the kind and the pattern select.
    """

    source_id: str
    root: str
    conflicts: int
    matching: int


class DiffParams(Struct, frozen=True, kw_only=True):
    """The conflict to show.

    Attributes:
        id: its id with or without the generation, or a path.
        cwd: working directory, for a relative path.
    """

    id: str
    cwd: str | None = None


class ResolveParams(Struct, frozen=True, kw_only=True):
    """A decision about conflicts, chosen by exactly one of ``ids``, ``path_glob`` and ``all``.

    Attributes:
        ids: ids or paths; an id with an older generation is refused, because a side has moved since.
        path_glob: gitignore pattern of paths.
        all: every conflict of this machine.
        cwd: working directory, for relative paths.
        text: the merged text.
        proposed: take the proposed merge if it is clean.
        dry_run: check everything, change nothing.
    """

    choice: Resolution
    ids: tuple[str, ...] = ()
    path_glob: str | None = None
    all: bool = False
    cwd: str | None = None
    text: str | None = None
    proposed: bool = False
    dry_run: bool = False


class DraftDocument(Struct, frozen=True):
    """A merge that a person wrote and no resolution has taken yet.

    Attributes:
        file: path of the text.
        id: the conflict's id when it was written; an older generation means that a side has moved since.
        written_at: time of the last write.
    """

    file: str
    id: str
    written_at: str


class ConflictDocument(Struct, frozen=True, kw_only=True):
    """One parked conflict.

    Attributes:
        id: number and generation; the generation changes when either side moves.
        kind: edit_edit, edit_delete, delete_edit or no_base; the local side is named first.
        base_hash: null for "no such file", as for both sides.
        state: open or resolving.
        mine: false for another machine's conflict, which is resolved there.
        origin: how the conflict came about.
        note: why an earlier resolution was not carried out.
        excluded: true if the rules no longer select the file. The conflict stays and can be resolved.
        draft: a kept merge, offered by the next ``resolve --edit``.
    """

    id: str
    source_id: str
    root: str
    path: str
    kind: str
    base_hash: str | None
    local_hash: str | None
    remote_hash: str | None
    opened_at: str
    state: str
    mine: bool
    origin: str
    note: str | None
    excluded: bool
    draft: DraftDocument | None


class PreviewRow(Struct, frozen=True):
    """Lines that differ.

    Attributes:
        line: first line of them in the local text, from 1.
    """

    line: int
    local: str
    remote: str


class HunkDocument(Struct, frozen=True):
    """One region that both sides changed.

    Attributes:
        base: its lines in the base; null where there is no base.
    """

    base: str | None
    local: str
    remote: str


class DiffDocument(ConflictDocument, frozen=True, kw_only=True):
    """One conflict with its texts.

    Attributes:
        base: text, as the next two; null for "no such file", or where the text is not available.
        merged: proposed three-way merge; null where none can be made.
        merge_clean: true if the proposed merge holds no conflict markers.
        start: text to begin a merge with: the proposal, or without a base both sides with a mark at each difference.
        hunks: the marked regions of ``start``, in its order.
        preview: differences between the local and the remote text.
        cut: true if a comparison reached its work bound: a region is larger than it could be, no merge is clean.
        unshown: one sentence why no text is shown, for a file that is no text or is large; null where texts are shown.
    """

    base: str | None
    local: str | None
    remote: str | None
    merged: str | None
    merge_clean: bool
    start: str | None
    hunks: list[HunkDocument]
    preview: list[PreviewRow]
    cut: bool
    unshown: str | None


class ResolutionState(enum.StrEnum):
    """Result of one resolution."""

    RESOLVED = "resolved"
    QUEUED = "queued"
    """Stored, and carried out as soon as that is possible; ``code`` says what it waits for."""
    REFUSED = "refused"
    WOULD_RESOLVE = "would_resolve"


class ResolutionRow(Struct, kw_only=True):
    """Result of one resolution.

    Attributes:
        state: resolved, queued, refused or would_resolve.
        message: reason, where it is not resolved.
        code: what a queued one waits for: offline, signed_out, halted, paused or another error code.
        here: change of the file in the folder, with ``would_resolve`` only: kept, absent (as before), replaced (by the
            server's text), merged, created or removed. A text that is replaced or removed goes to the trash.
    """

    id: str
    path: str
    choice: Resolution
    state: ResolutionState
    message: str | None = None
    code: str | None = None
    here: DecidedFile | UnsetType = UNSET


class ResolveDocument(Struct, frozen=True):
    """Results in the order of the conflicts."""

    resolved: list[ResolutionRow]


class DraftParams(Struct, frozen=True, kw_only=True):
    """The conflict with the kept merge.

    Attributes:
        id: its id with or without the generation, or a path.
        cwd: working directory, for a relative path.
    """

    id: str
    cwd: str | None = None


class DraftSaveParams(Struct, frozen=True, kw_only=True):
    """A merge to keep.

    Attributes:
        id: the conflict's id with the generation that the person saw.
        replaces: sha256 of the draft that this text continues, null for none; the save is refused if the kept draft is
            another one. Not checked where the field is left out.
    """

    id: str
    text: str
    replaces: str | UnsetType | None = UNSET


class DraftSaveDocument(Struct, frozen=True, kw_only=True):
    """The kept merge.

    Attributes:
        id: as it was given.
        conflict: the conflict's id now, as in the other documents; null if the conflict is over.
        hash: sha256 of the text.
    """

    changed: bool
    id: str
    conflict: str | None
    written_at: str
    hash: str


class DraftTextDocument(Struct, frozen=True, kw_only=True):
    """The kept merge of a conflict with its text.

    Attributes:
        id: the conflict's id when the draft was written.
        conflict: its id now.
        moved: true if the two differ: a side has moved since.
        rebased: the text with the changes of the moved sides carried over, and markers where they meet the person's;
            null if nothing moved, or if it cannot be computed.
    """

    id: str
    conflict: str
    root: str
    path: str
    written_at: str
    text: str
    hash: str
    moved: bool
    rebased: str | None


class DraftRow(Struct, frozen=True, kw_only=True):
    """One kept merge.

    Attributes:
        id: the conflict's id when the draft was written.
        conflict: its id now; null if the conflict is over.
        root: null if the folder is not linked any more.
        path: null if the index does not know the conflict any more.
        file: path of the text.
    """

    id: str
    conflict: str | None
    root: str | None
    path: str | None
    written_at: str
    size: int
    file: str
