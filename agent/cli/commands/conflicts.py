"""Parked conflicts: conflicts, diff, drafts, resolve."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent.cli import confirmations, render
from agent.cli.command import (
    App,
    after_option,
    command,
    dry_run_option,
    folder_option,
    limit_option,
    match_option,
    without_none,
)
from agent.cli.commands.sync import folder_params
from agent.cli.completions import VERSION
from agent.cli.editor import edit_text, needs_terminal, run_and_wait
from agent.cli.exit_codes import ExitCode, for_resolutions
from agent.cli.humanize import file_path, path_params, short_home, working_directory_param
from agent.cli.merge_tool import find_tool, sides_as_files
from agent.cli.param_types import RESOLUTION
from agent.core.errors import AgentError, UsageError
from agent.core.model import Resolution

if TYPE_CHECKING:
    from agent.cli.client import Client
    from agent.settings.drafts import Draft, Drafts

MARKERS = ("<<<<<<< ", ">>>>>>> ")


class NotMerged(AgentError):
    """The text that a person gave is no finished merge."""

    code = "not_merged"


@command("conflicts")
@folder_option
@limit_option
@after_option
@click.option(
    "--kind", type=click.Choice(["edit_edit", "edit_delete", "delete_edit", "no_base"]), help="Only this kind."
)
@match_option
@click.option("--order", type=click.Choice(["oldest", "newest", "path", "kind"]), help="Order of the list.")
def conflicts_command(
    app: App,
    *,
    folder: str | None,
    limit: int | None,
    after: str | None,
    kind: str | None,
    match: str | None,
    order: str | None,
) -> ExitCode:
    """List parked conflicts."""
    chosen = without_none(limit=limit, after=after, kind=kind, match=match)
    params = {**folder_params(folder), **chosen, **without_none(order=order)}
    document = app.call("conflicts", params)
    app.output.data(document, render.conflicts)
    if folder is None and not chosen:
        _note_old_drafts(app, {row["draft"]["file"] for row in document if row.get("draft")})
    return ExitCode.DONE


def _note_old_drafts(app: App, listed: set[str]) -> None:
    """Name the drafts whose conflict is over: their texts may be nowhere else."""
    for draft in _drafts(app).list():
        if str(draft.file) not in listed:
            app.output.note(f"kept merge of a conflict that is over: {short_home(str(draft.file))}")


def _drafts(app: App) -> Drafts:
    from agent.settings.drafts import Drafts

    return Drafts(app.home.drafts_dir)


@command("diff")
@click.argument("conflict", metavar="ID")
@click.option(
    "--version",
    "versions",
    type=VERSION,
    multiple=True,
    metavar="HASH",
    help="Compare this version of the file ID with the file, or with a second --version.",
)
def diff_command(app: App, conflict: str, versions: tuple[str, ...]) -> ExitCode:
    """Show one conflict.

    Both sides, and the proposed three-way merge. With --version, ID is the path of a file, and two of its versions
    are compared.
    """
    if versions:
        params = {**path_params("path", file_path(conflict)), "versions": list(versions)}
        app.output.data(app.call("compare", params), render.compare)
        return ExitCode.DONE
    app.output.data(app.call("diff", {"id": conflict, **working_directory_param()}), render.diff)
    return ExitCode.DONE


@command("drafts")
@click.argument("conflict", metavar="[ID]", required=False)
@click.option("--rebased", is_flag=True, help="With the changes of the sides that moved since.")
@click.option("--file", metavar="FILE", help="Keep this text as the merge of ID; - reads standard input.")
def drafts_command(app: App, conflict: str | None, rebased: bool, file: str | None) -> ExitCode:
    """List your kept merges, or show the one of conflict ID.

    A kept merge is continued with resolve ID manual_merge --edit, and in the browser.
    """
    if conflict is None:
        if rebased or file is not None:
            raise UsageError("--rebased and --file need an ID", "raven-agent conflicts")
        app.output.data(app.call("drafts", {}), render.drafts)
        return ExitCode.DONE
    if file is not None:
        if rebased:
            raise UsageError("--rebased and --file exclude each other")
        app.output.done(app.call("draft_save", {"id": conflict, "text": _read(file)}), confirmations.draft_save)
        return ExitCode.DONE
    document = app.call("draft", {"id": conflict, **working_directory_param()})
    if rebased and document["moved"] and document["rebased"] is None:
        raise UsageError("the sides have moved, and the merge cannot be carried over", "look at it without --rebased")
    app.output.data(document, render.draft_rebased if rebased else render.draft)
    if document["moved"] and not rebased:
        app.output.note("a side of the conflict has moved since: --rebased shows the merge with the changes")
    return ExitCode.DONE


@dataclass(frozen=True, slots=True)
class _Request:
    """The options of ``resolve``."""

    ids: tuple[str, ...]
    path_glob: str | None
    everything: bool
    choice: Resolution
    file: str | None
    edit: bool
    tool: str | None
    proposed: bool

    def check(self) -> None:
        """Refuse options that exclude each other. Raises UsageError."""
        if (bool(self.ids), self.path_glob is not None, self.everything).count(True) != 1:
            raise UsageError("say which conflicts: by ID, with --path, or with --all", "raven-agent conflicts")
        ways = (self.file is not None, self.edit, self.tool is not None, self.proposed).count(True)
        if self.choice is not Resolution.MANUAL_MERGE and ways:
            raise UsageError("--file, --edit, --tool and --proposed go with manual_merge")
        if self.choice is Resolution.MANUAL_MERGE and ways != 1:
            raise UsageError("manual_merge takes exactly one of --file, --edit, --tool and --proposed")
        if not self.proposed and ways and len(self.ids) != 1:
            raise UsageError("--file, --edit and --tool need exactly one ID")


@command("resolve")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.argument("choice", type=RESOLUTION, metavar="CHOICE")
@click.option("--path", "path_glob", metavar="GLOB", help="All conflicts whose path matches.")
@click.option("--all", "everything", is_flag=True, help="All conflicts.")
@click.option("--file", metavar="FILE", help="The merged text; - reads standard input.")
@click.option("--edit", is_flag=True, help="Finish the proposed merge, or your kept one, in $VISUAL or $EDITOR.")
@click.option(
    "--tool", metavar="T", help="The same in a merge program: meld, kdiff3, vimdiff, ... or git's own setting."
)
@click.option("--proposed", is_flag=True, help="Take the proposed merge where it is clean.")
@dry_run_option
def resolve_command(
    app: App,
    *,
    ids: tuple[str, ...],
    choice: str,
    path_glob: str | None,
    everything: bool,
    file: str | None,
    edit: bool,
    tool: str | None,
    proposed: bool,
    dry_run: bool,
) -> ExitCode:
    """Resolve conflicts.

    CHOICE is keep_local (or mine), keep_raven (or theirs), or manual_merge. Works offline too: the
    resolution is queued. The text that loses can be brought back with history and restore.
    """
    from agent.cli.live import progress_beside

    request = _Request(ids, path_glob, everything, Resolution(choice), file, edit, tool, proposed)
    request.check()
    params: dict[str, Any] = {
        "ids": list(ids),
        **working_directory_param(),
        **without_none(path_glob=path_glob),
        "all": everything,
        "choice": choice,
        "proposed": proposed,
        "dry_run": dry_run,
    }
    if file is not None:
        params["text"] = _read(file)
    with app.connect() as client:
        if edit or tool is not None:
            document = _resolve_edited(app, client, params, tool)
        else:
            with progress_beside(app.output, client):
                document = client.call("resolve", params)
    app.output.done(document, render.resolve)
    return for_resolutions(document)


def _read(name: str) -> str:
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        return data.decode("utf-8")
    except OSError as error:
        raise UsageError(f"cannot read {name}: {error.strerror}", "give the file that holds the merge") from error
    except UnicodeDecodeError:
        raise UsageError(f"{name} is not UTF-8 text") from None


class _EditedMerge:
    """The merge that a person edits: kept as a draft from the moment the editor ends until a resolution took it."""

    def __init__(self, app: App, client: Client, conflict: str, tool: str | None) -> None:
        self._tool = None if tool is None else find_tool(tool)
        self._drafts = _drafts(app)
        self._app = app
        self.shown = client.call("diff", {"id": conflict, **working_directory_param()})
        number, _, generation = str(self.shown["id"]).partition(".")
        self._conflict, self._generation = int(number), int(generation)
        self._source = _source_key(app, self.shown)
        self.kept: Draft | None = self._drafts.get(self._source, self._conflict)

    def edit(self) -> bytes:
        """Let the person edit the kept draft, or the proposed merge, and return the text."""
        sides = (self.shown[side] for side in ("merged", "local", "remote") if self.shown.get(side) is not None)
        start = next(sides, "").encode()
        if self.kept is not None:
            start = self.kept.read()
            self._app.output.note(f"going on with your kept merge of {self.kept.conflict}.{self.kept.generation}")
        suffix = Path(str(self.shown["path"])).suffix or ".txt"
        with self._drafts.editing(self._source, self._conflict, self._generation, start, suffix) as file:
            return edit_text(file, self.keep, None if self._tool is None else self._open_tool)

    def _open_tool(self, file: Path) -> None:
        assert self._tool is not None
        if needs_terminal(self._tool.argv[0]):
            raise UsageError(f"{self._tool.argv[0]} needs a terminal", "use --file, or a program with windows")
        with sides_as_files(self.shown, file) as files:
            run_and_wait(self._tool.arguments(files), files)

    def keep(self, text: bytes) -> None:
        """Write the text to the drafts folder."""
        self.kept = self._drafts.put(self._source, self._conflict, self._generation, text)

    def forget(self) -> None:
        """Delete the draft: a resolution took its text."""
        self._drafts.delete(self._source, self._conflict)

    def words(self) -> str:
        """Name the place of the draft, or say nothing where there is none."""
        return f"; your merge is kept in {self.kept.file}" if self.kept is not None else ""

    @property
    def hint(self) -> str:
        """The command that continues."""
        return f"raven-agent resolve {self._conflict} manual_merge {self._way} continues it"

    @property
    def _way(self) -> str:
        return "--edit" if self._tool is None else f"--tool {self._tool.name}"


def _source_key(app: App, shown: dict[str, Any]) -> int:
    from agent.settings.registry_file import load_registry

    for source in load_registry(app.home.registry_file).sources:
        if source.source_id == shown["source_id"]:
            return source.key
    # Unlinked meanwhile. The text is kept all the same, under a number that no source has.
    return 0


def _resolve_edited(app: App, client: Client, params: dict[str, Any], tool: str | None) -> Any:
    """Resolve with an edited text. Whatever prevents it, the text is kept and the message says where."""
    from agent.cli.client import AnsweredError

    merge = _EditedMerge(app, client, params["ids"][0], tool)
    try:
        text = merge.edit()
        params["text"] = _finished(text)
        # The id carries the generation that was edited: if either side has moved since, the agent refuses it.
        params["ids"] = [merge.shown["id"]]
        # Kept also where it equals the proposal: the agent may be gone by now.
        merge.keep(text)
        document = client.call("resolve", params)
    except KeyboardInterrupt:
        if merge.kept is not None:
            app.output.note(f"interrupted{merge.words()}; {merge.hint}")
        raise
    except AgentError as error:
        hint = merge.hint if merge.kept else error.hint
        raise AnsweredError(error.code, f"{error.message}{merge.words()}", hint) from error
    for row in document["resolved"]:
        if row["state"] == "resolved":
            merge.forget()
        elif merge.kept is not None:
            row["draft"] = str(merge.kept.file)
            row["message"] = f"{row.get('message') or row['state']}{merge.words()}"
    return document


def _finished(text: bytes) -> str:
    """Return the edited text if it is a finished merge. Raises NotMerged."""
    try:
        decoded = text.decode("utf-8")
    except UnicodeDecodeError:
        raise NotMerged("the edited text is not UTF-8; nothing was changed") from None
    if any(line.startswith(MARKERS) for line in decoded.splitlines()):
        raise NotMerged(
            "conflict markers are left in the text; nothing was changed",
            "finish the merge; a text that is meant to hold such lines goes through --file",
        )
    return decoded
