"""history, show, restore, trash."""

from __future__ import annotations

import base64
import sys

import click

from agent.cli import confirmations, render
from agent.cli.command import App, after_option, command, limit_option, without_none
from agent.cli.commands.sync import folder_params
from agent.cli.completions import TRASH_ID, VERSION
from agent.cli.exit_codes import ExitCode, for_history
from agent.cli.humanize import file_path, path_params
from agent.cli.output import TextLine, is_terminal
from agent.core.errors import UsageError


@command("history")
@click.argument("path")
@limit_option
@after_option
def history_command(app: App, path: str, limit: int | None, after: str | None) -> ExitCode:
    """List the versions of PATH.

    Those on the server and those in the local trash.
    """
    params = {**path_params("path", file_path(path)), **without_none(limit=limit, after=after)}
    document = app.call("history", params)
    versions = document["versions"] if isinstance(document, dict) else document
    app.output.data(versions, render.history)
    if isinstance(document, dict) and document.get("error"):
        app.output.note(f"only the local trash is listed: {document['error']['message']}")
    return for_history(document)


@command("show", prints_data=False)
@click.argument("path")
@click.option(
    "--version", type=VERSION, metavar="HASH", help="This version, as history shows it; the first digits are enough."
)
def show_command(app: App, path: str, version: str | None) -> ExitCode:
    """Write the content of one version of PATH.

    By default of the one that the server has now. Bytes come as they are, but for a terminal, where characters that
    could steer it are shown by their codes.
    """
    document = app.call("show", {**path_params("path", file_path(path)), **without_none(version=version)})
    content = base64.b64decode(document["content_base64"])
    if is_terminal(sys.stdout):
        lines = content.decode("utf-8", "replace").splitlines()
        app.output.data(lines, lambda shown: [TextLine(line.expandtabs(8)) for line in shown])
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    return ExitCode.DONE


@command("restore")
@click.argument("path")
@click.option(
    "--version", type=VERSION, metavar="HASH", help="This version, as history shows it; the first digits are enough."
)
@click.option("--trash", "trash_id", type=TRASH_ID, metavar="ID", help="This entry, as trash shows it.")
@click.option("--to", metavar="FILE", help="Write it there instead of to PATH.")
def restore_command(app: App, path: str, version: str | None, trash_id: str | None, to: str | None) -> ExitCode:
    """Bring a version of PATH back. What is there goes to the trash first."""
    if (version is None) == (trash_id is None):
        raise UsageError("exactly one of --version and --trash is needed", "raven-agent history PATH")
    params = {**path_params("path", file_path(path)), **without_none(version=version, trash_id=trash_id)}
    if to is not None:
        params |= path_params("to", file_path(to))
    app.output.done(app.call("restore", params), confirmations.restore)
    return ExitCode.DONE


@command("trash")
@click.argument("folder", required=False, metavar="[FOLDER|prune]")
@limit_option
@after_option
def trash_command(app: App, folder: str | None, limit: int | None, after: str | None) -> ExitCode:
    """List what was replaced or removed here.

    "trash prune" drops what is past its time; a folder of that name is written ./prune.
    """
    if folder == "prune":
        if limit is not None or after is not None:
            raise UsageError("trash prune takes no --limit or --after")
        app.output.done(app.call("trash_prune", {}), confirmations.trash_prune)
        return ExitCode.DONE
    params = {**folder_params(folder), **without_none(limit=limit, after=after)}
    app.output.data(app.call("trash", params), render.trash)
    return ExitCode.DONE
