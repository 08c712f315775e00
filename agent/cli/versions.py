"""What was there before: history, restore, trash."""

from __future__ import annotations

import click

from agent.cli import render
from agent.cli.command import App, after_option, command, given, limit_option
from agent.cli.exits import Exit
from agent.cli.syncing import folder_params
from agent.cli.words import file_path, path_params
from agent.core.errors import UsageError


@command("history")
@click.argument("path")
@limit_option
@after_option
def history_command(app: App, path: str, limit: int | None, after: str | None) -> Exit:
    """List the versions of PATH.

    Those on the server and those in the local trash.
    """
    params = {**path_params("path", file_path(path)), **given(limit=limit, after=after)}
    app.output.data(app.call("history", params), render.history)
    return Exit.DONE


@command("restore")
@click.argument("path")
@click.option("--version", metavar="HASH", help="This version, as history shows it; the first digits are enough.")
@click.option("--trash", "trash_id", metavar="ID", help="This entry, as trash shows it.")
@click.option("--to", metavar="FILE", help="Write it there instead of to PATH.")
def restore_command(app: App, path: str, version: str | None, trash_id: str | None, to: str | None) -> Exit:
    """Bring a version of PATH back. What is there goes to the trash first."""
    if (version is None) == (trash_id is None):
        raise UsageError("exactly one of --version and --trash says what to bring back", "raven-agent history PATH")
    params = {**path_params("path", file_path(path)), **given(version=version, trash_id=trash_id)}
    if to is not None:
        params |= path_params("to", file_path(to))
    app.output.done(app.call("restore", params), render.changed)
    return Exit.DONE


@command("trash")
@click.argument("folder", required=False, metavar="[FOLDER|prune]")
@limit_option
@after_option
def trash_command(app: App, folder: str | None, limit: int | None, after: str | None) -> Exit:
    """List what was replaced or removed here.

    "trash prune" drops what is past its time; a folder of that name is written ./prune.
    """
    if folder == "prune":
        if limit is not None or after is not None:
            raise UsageError("trash prune takes no --limit or --after")
        app.output.done(app.call("trash_prune", {}), render.changed)
        return Exit.DONE
    params = {**folder_params(folder), **given(limit=limit, after=after)}
    app.output.data(app.call("trash", params), render.trash)
    return Exit.DONE
