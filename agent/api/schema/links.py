"""sources, link, unlink, move, rules."""

from __future__ import annotations

import enum

from msgspec import Struct, field

from agent.api.schema.common import FolderParams
from agent.core.model import Mode


class SourcesParams(Struct, frozen=True, kw_only=True):
    """The account whose sources to list.

    Attributes:
        server: its name; null for all accounts.
    """

    server: str | None = None


class SourceAction(enum.StrEnum):
    """A change of a source on the server."""

    RENAME = "rename"
    ARCHIVE = "archive"
    RESTORE = "restore"
    """Bring an archived source back."""
    DELETE = "delete"


class SourceChangeParams(Struct, frozen=True, kw_only=True):
    """A source of the server to change for all machines.

    Attributes:
        source: its id or name.
        server: name of the account; not needed when there is one.
        action: the change.
        name: the new name, for ``rename``.
    """

    source: str
    action: SourceAction
    server: str | None = None
    name: str | None = None


class SourceChangeDocument(Struct, frozen=True, kw_only=True):
    """A changed source of the server.

    Attributes:
        action: the change that was made.
        root: the folder that is linked with it here; null if there is none.
    """

    changed: bool
    id: str
    name: str
    server: str
    action: str
    root: str | None


class LinkParams(FolderParams, frozen=True, kw_only=True):
    """A folder to link.

    Attributes:
        name: name of the source; by default the folder's.
        source: id or name of the server's source to join.
        dry_run: only plan.
        create: make the folder if it does not exist. A folder that joins a source is made in any case.
        accept_private: join also a source whose patterns select dotfiles or files with secrets.
    """

    server: str | None = None
    name: str | None = None
    mode: Mode | None = None
    source: str | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    dry_run: bool = False
    create: bool = False
    accept_private: bool = False


class CompleteFolderParams(Struct, frozen=True, kw_only=True):
    """The beginning of a folder's path, as a person types it.

    Attributes:
        typed: begins with / or ~; empty for the person's own folder.
    """

    typed: str = ""


class FolderNamesDocument(Struct, frozen=True, kw_only=True):
    """Folders of this machine.

    Attributes:
        above: the typed path up to its last slash.
        folders: paths in name order; each begins as typed.
        more: true if there are others.
    """

    above: str
    folders: list[str]
    more: bool


class UnlinkParams(FolderParams, frozen=True, kw_only=True):
    """A folder to unlink.

    Attributes:
        force: also if changes have not reached the server.
        dry_run: only say what stays and what ends.
    """

    force: bool = False
    dry_run: bool = False


class MoveParams(Struct, frozen=True, kw_only=True):
    """A folder that was moved.

    Attributes:
        old: path it was linked at.
        new: path it has now.
    """

    old: str | None = None
    old_base64: str | None = None
    new: str | None = None
    new_base64: str | None = None


class RulesParams(FolderParams, frozen=True, kw_only=True):
    """A change of this machine's patterns; without one they are only shown.

    Attributes:
        include: patterns to add, to the defaults too.
        exclude: patterns to add.
        only: include patterns that replace all others.
        remove: patterns to take away.
        keep_folder: folders to keep on this machine, relative to the linked one; "." keeps all. They are
            stored by a server that has selective sync.
        no_folder: folders to leave out on this machine.
        dry_run: only say which files would start or stop being synced.
        named: number of files that are named.
        under: folder relative to the root; the ignore files on the way to it are listed, too.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    keep_folder: tuple[str, ...] = ()
    no_folder: tuple[str, ...] = ()
    dry_run: bool = False
    named: int = 20
    under: str = ""


class RemoteSourceDocument(Struct, frozen=True, kw_only=True):
    """One source of the server.

    Attributes:
        server: name of the account.
        status: active or paused.
        root: the folder it is linked to here; null if none.
    """

    id: str
    server: str
    name: str
    mode: str
    status: str
    connector_id: str | None
    root: str | None
    include: list[str]
    exclude: list[str]
    dialect: str


class LinkPlan(Struct, kw_only=True):
    """Files by what a link does to them.

    Attributes:
        upload: only here.
        download: only on the server.
        adopt: equal on both sides.
        park: different on both sides; they become conflicts.
        skip: selected, and cannot be synced.
    """

    upload: int = 0
    download: int = 0
    adopt: int = 0
    park: int = 0
    skip: int = 0


class SkippedName(Struct, frozen=True):
    """A file that a link would skip."""

    path: str
    reason: str


class LinkNames(Struct, kw_only=True):
    """The first 200 files of each kind, in a dry run.

    Attributes:
        upload: only here.
        download: only on the server.
        adopt: equal on both sides.
        park: different on both sides.
    """

    upload: list[str] = field(default_factory=list)
    download: list[str] = field(default_factory=list)
    adopt: list[str] = field(default_factory=list)
    park: list[str] = field(default_factory=list)


class LinkDocument(Struct, frozen=True, kw_only=True):
    """The result of a link.

    Attributes:
        was_linked: true if the folder was linked before.
        source_id: null in a dry run that would make a new source.
        skipped: the first of the files that are skipped, each with the reason.
        include: patterns that select the files; empty for the defaults.
        private: those of the joined source's patterns that select dotfiles or files with secrets.
        twins: ids of other sources of the same name that no folder here is linked with; empty if a source was joined.
        earlier: true if the source is the one that this folder was linked with before.
        minutes: least time of the first sync by the server's limit of calls; null if it states none.
        names: the files of the plan; empty unless it is a dry run.
        other_tool: another program that syncs the same folder; null if none is known.
        unread_ignores: ignore files of other programs in the folder. They are not read; empty if one is there that is.
    """

    changed: bool
    was_linked: bool
    source_id: str | None
    connector_id: str | None
    root: str
    server: str
    mode: str
    plan: LinkPlan
    skipped: list[SkippedName]
    include: list[str]
    exclude: list[str]
    private: list[str] = []
    twins: list[str] = []
    earlier: bool = False
    minutes: int | None = None
    names: LinkNames = field(default_factory=LinkNames)
    other_tool: str | None = None
    unread_ignores: list[str] = []


class UnlinkDocument(Struct, frozen=True, kw_only=True):
    """The result of an unlink, or of its dry run.

    Attributes:
        unsent: changes that have not reached the server, and do not any more.
        server: name of the account that keeps the source.
        name: name of the source.
        files: selected files in the folder, which stay.
        bytes: their size.
        conflicts: open conflicts that end; a text that only the agent holds goes to the trash.
        dry_run: true if nothing was done.
    """

    changed: bool
    source_id: str
    root: str
    unsent: int
    server: str
    name: str
    files: int
    bytes: int
    conflicts: int
    dry_run: bool


class MoveDocument(Struct, frozen=True, kw_only=True):
    """The result of a move.

    Attributes:
        root: path of the folder now.
    """

    changed: bool
    source_id: str
    old: str
    root: str


class IgnoreLineDocument(Struct, frozen=True, kw_only=True):
    """One line of an ignore file.

    Attributes:
        number: from 1.
        kind: pattern, comment (or empty), or malformed: a line that is no valid pattern and does not count.
    """

    number: int
    text: str
    kind: str


class IgnoreFileDocument(Struct, frozen=True, kw_only=True):
    """An ignore file that counts.

    Attributes:
        path: relative to the root. Its patterns count in its folder and below.
        lines: the first 1,000 lines.
        more: number of lines behind these.
    """

    path: str
    lines: list[IgnoreLineDocument]
    more: int


class RulesDocument(Struct, frozen=True, kw_only=True):
    """This machine's patterns of a folder.

    Attributes:
        include: empty for the defaults.
        selected_folders: the folders that the server's preferences choose; null if they choose none in particular.
        excluded_folders: the folders that they leave out.
        starts: files that start being synced by the change.
        stops: files that stop being synced; they are deleted nowhere.
        started: the first of them, as the next.
        warning: a sentence about a pattern that matches no file.
        ignore_files: ``.gitignore`` and ``.ravenignore`` of the root, and on the way to the folder ``under``.
    """

    changed: bool
    root: str
    include: list[str]
    exclude: list[str]
    selected_folders: list[str] | None
    excluded_folders: list[str]
    starts: int
    stops: int
    started: list[str]
    stopped: list[str]
    warning: str | None
    ignore_files: list[IgnoreFileDocument]
