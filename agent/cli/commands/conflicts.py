"""Parked conflicts: conflicts, diff, resolve."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent.cli import render
from agent.cli.command import App, after_option, command, dry_run_option, folder_option, limit_option, without_none
from agent.cli.commands.sync import folder_params
from agent.cli.editor import edit_text
from agent.cli.exit_codes import ExitCode, for_resolutions
from agent.core.errors import AgentError, UsageError
from agent.core.model import Resolution

if TYPE_CHECKING:
    from agent.cli.client import Client

MARKERS = ("<<<<<<< ", ">>>>>>> ")


class NotMerged(AgentError):
    """The text a person gave back is no finished merge."""

    code = "not_merged"


@command("conflicts")
@folder_option
@limit_option
@after_option
def conflicts_command(app: App, folder: str | None, limit: int | None, after: str | None) -> ExitCode:
    """List parked conflicts."""
    params = {**folder_params(folder), **without_none(limit=limit, after=after)}
    app.output.data(app.call("conflicts", params), render.conflicts)
    return ExitCode.DONE


@command("diff")
@click.argument("conflict", metavar="ID")
def diff_command(app: App, conflict: str) -> ExitCode:
    """Show one conflict.

    Both sides, and the proposed three-way merge.
    """
    app.output.data(app.call("diff", {"id": conflict, "cwd": str(Path.cwd())}), render.diff)
    return ExitCode.DONE


@dataclass(frozen=True, slots=True)
class _Asked:
    ids: tuple[str, ...]
    path_glob: str | None
    everything: bool
    choice: Resolution
    file: str | None
    edit: bool
    proposed: bool

    def check(self) -> None:
        if (bool(self.ids), self.path_glob is not None, self.everything).count(True) != 1:
            raise UsageError("say which conflicts: by ID, with --path, or with --all", "raven-agent conflicts")
        ways = (self.file is not None, self.edit, self.proposed).count(True)
        if self.choice is not Resolution.MANUAL_MERGE and ways:
            raise UsageError("--file, --edit and --proposed go with manual_merge")
        if self.choice is Resolution.MANUAL_MERGE and ways != 1:
            raise UsageError("manual_merge takes exactly one of --file, --edit and --proposed")
        if (self.file is not None or self.edit) and len(self.ids) != 1:
            raise UsageError("--file and --edit need exactly one ID")


@command("resolve")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.argument("choice", type=click.Choice([c.value for c in Resolution]), metavar="CHOICE")
@click.option("--path", "path_glob", metavar="GLOB", help="All conflicts whose path matches.")
@click.option("--all", "everything", is_flag=True, help="All conflicts.")
@click.option("--file", metavar="FILE", help="The merged text; - reads standard input.")
@click.option("--edit", is_flag=True, help="Finish the proposed merge in $VISUAL or $EDITOR.")
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
    proposed: bool,
    dry_run: bool,
) -> ExitCode:
    """Resolve conflicts.

    CHOICE is keep_local, keep_raven or manual_merge. Works offline too: the resolution is queued. What
    loses can be brought back with history and restore.
    """
    asked = _Asked(ids, path_glob, everything, Resolution(choice), file, edit, proposed)
    asked.check()
    params: dict[str, Any] = {
        "ids": list(ids),
        "cwd": str(Path.cwd()),
        **without_none(path_glob=path_glob),
        "all": everything,
        "choice": choice,
        "proposed": proposed,
        "dry_run": dry_run,
    }
    if file is not None:
        params["text"] = _read(file)
    with app.connect() as client:
        if edit:
            # The id now carries the generation that was edited: had either side moved since, the agent refuses it.
            params["ids"], params["text"] = _edited(client, ids[0])
        document = client.call("resolve", params)
    app.output.done(document, render.resolve)
    return for_resolutions(document)


def _read(name: str) -> str:
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        return data.decode("utf-8")
    except OSError as error:
        raise UsageError(f"cannot read {name}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise UsageError(f"{name} is not UTF-8 text") from None


def _edited(client: Client, conflict: str) -> tuple[list[str], str]:
    shown = client.call("diff", {"id": conflict, "cwd": str(Path.cwd())})
    start = next((shown[side] for side in ("merged", "local", "remote") if shown.get(side) is not None), "")
    try:
        text = edit_text(start, Path(str(shown["path"])).suffix or ".txt")
    except UnicodeDecodeError:
        raise NotMerged("the edited text is not UTF-8; nothing was changed") from None
    if any(line.startswith(MARKERS) for line in text.splitlines()):
        raise NotMerged(
            "conflict markers are left in the text; nothing was changed",
            "finish the merge; a text that is meant to hold such lines goes through --file",
        )
    return [shown["id"]], text
