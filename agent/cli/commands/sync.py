"""sync, retry, pause, resume."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from agent.cli import confirmations, render
from agent.cli.command import App, command, dry_run_option, folder_option, without_none
from agent.cli.exit_codes import ExitCode, for_chosen, for_retry, for_sync
from agent.cli.humanize import file_path, folder_path, parse_duration, path_params
from agent.core.errors import UsageError

if TYPE_CHECKING:
    from agent.cli.client import Client

everywhere_option = click.option(
    "--everywhere", is_flag=True, help="The server's source, for all machines, not only this one."
)


def folder_params(folder: str | None) -> dict[str, Any]:
    """Return the FOLDER parameter; none for all folders."""
    return {} if folder is None else path_params("folder", folder_path(folder))


@command("sync")
@folder_option
@dry_run_option
@click.option("--approve-deletes", metavar="PLAN", help="Let the held deletes of this plan through.")
@click.option("--undo-deletes", is_flag=True, help="Bring the files of held deletes back instead.")
@click.option("--conflicts-ok", is_flag=True, help="Exit 0 although conflicts are parked.")
def sync_command(
    app: App,
    *,
    folder: str | None,
    dry_run: bool,
    approve_deletes: str | None,
    undo_deletes: bool,
    conflicts_ok: bool,
) -> ExitCode:
    """Make one full pass now.

    Through the running daemon if there is one. A paused folder is left out; exits with 1 if no folder takes part.
    """
    if approve_deletes and undo_deletes:
        raise UsageError("--approve-deletes and --undo-deletes exclude each other")
    params = {
        **folder_params(folder),
        **without_none(approve_deletes=approve_deletes),
        "dry_run": dry_run,
        "undo_deletes": undo_deletes,
    }
    with app.connect() as client:
        code = pass_of(app, client, params)
    return ExitCode.DONE if conflicts_ok and code is ExitCode.CONFLICTS else code


def pass_of(app: App, client: Client, params: dict[str, Any]) -> ExitCode:
    """Run a pass, with a progress line on a terminal, and show what it did."""
    from agent.cli.live import progress_beside

    with progress_beside(app.output, client):
        document = client.call("sync", params)
    app.output.done(document, render.sync)
    return for_sync(document)


@command("retry")
@click.argument("path", required=False)
def retry_command(app: App, path: str | None) -> ExitCode:
    """Try skipped or failed files again now.

    All of them, or the one at PATH.
    """
    params = {} if path is None else path_params("path", file_path(path))
    document = app.call("retry", params)
    app.output.done(document, confirmations.retry)
    return for_retry(document)


@command("pause")
@folder_option
@click.option("--for", "length", metavar="D", help="Resume by itself after this time, for example 30m or 2h.")
@everywhere_option
def pause_command(app: App, folder: str | None, length: str | None, everywhere: bool) -> ExitCode:
    """Stop syncing for a while, on this machine only."""
    if everywhere and length:
        raise UsageError("--for holds for this machine only; --everywhere has no end of its own")
    seconds = None if length is None else parse_duration(length, needs_unit=True)
    params = {**folder_params(folder), **without_none(seconds=seconds), "everywhere": everywhere}
    document = app.call("pause", params)
    app.output.done(document, confirmations.pause)
    return for_chosen(document)


@command("resume")
@folder_option
@everywhere_option
def resume_command(app: App, folder: str | None, everywhere: bool) -> ExitCode:
    """Continue after a pause.

    Also after a safety stop. Exits with 6 and says why if a folder is still stopped, with 1 if it is still paused on
    the server.
    """
    params = {**folder_params(folder), "everywhere": everywhere}
    document = app.call("resume", params)
    app.output.done(document, confirmations.resume)
    if document.get("halted"):
        return ExitCode.HALTED
    return ExitCode.FAILED if document.get("paused_on_server") else for_chosen(document)
