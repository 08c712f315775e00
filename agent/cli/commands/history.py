"""history, show, restore, trash."""

from __future__ import annotations

import base64
import shlex
import sys

import click

from agent.cli import confirmations, render
from agent.cli.command import (
    App,
    after_option,
    command,
    dry_run_option,
    limit_option,
    order_option,
    without_none,
    yes_option,
)
from agent.cli.commands.sync import folder_params
from agent.cli.completions import TRASH_ID, VERSION
from agent.cli.exit_codes import ExitCode, for_history
from agent.cli.humanize import count_of, file_path, moment, path_params
from agent.cli.output import TextLine, is_terminal, writing
from agent.core.errors import UsageError

version_option = click.option(
    "--version", type=VERSION, metavar="HASH", help="This version, as history shows it; the first digits are enough."
)


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
    # The whole document says whether the server was asked.
    app.output.data(versions, lambda _: render.history(document))
    if isinstance(document, dict) and document.get("error"):
        app.output.note(f"only the local trash is listed: {document['error']['message']}")
    elif isinstance(document, dict) and not document.get("server_history", True):
        app.output.note("the server keeps no older versions; the local trash has those that were replaced here")
    return for_history(document)


@command("show", prints_data=False)
@click.argument("path")
@version_option
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
        with writing() as out:
            out.flush()
            out.buffer.write(content)
    return ExitCode.DONE


@command("restore")
@click.argument("path")
@version_option
@click.option("--trash", "trash_id", type=TRASH_ID, metavar="ID", help="This entry, as trash shows it.")
@click.option("--to", metavar="FILE", help="Write it there instead of to PATH.")
@click.option("--at", metavar="TIME", help="The folder or file PATH as it was then: 2h, 14:30 or '2026-03-01 14:30'.")
@click.option("--undo", is_flag=True, help="Undo the last --at of the folder PATH.")
@dry_run_option
@yes_option
def restore_command(
    app: App,
    *,
    path: str,
    version: str | None,
    trash_id: str | None,
    to: str | None,
    at: str | None,
    undo: bool,
    dry_run: bool,
    yes: bool,
) -> ExitCode:
    """Bring a version of PATH back. What is there goes to the trash first.

    With --at a whole folder: files of that time come back, files made later go to the trash. The deletes are then
    sent, and held like any other if they are many. The times are the server's.
    """
    if (version, trash_id, at, undo or None).count(None) != 3:
        raise UsageError(
            "exactly one of --version, --trash, --at and --undo is needed",
            f"its versions: raven-agent history {shlex.quote(path)}",
        )
    if at is not None or undo:
        if to is not None:
            raise UsageError("--to goes with --version and --trash")
        return _rewind(app, path, at, dry_run=dry_run, yes=yes)
    if dry_run:
        raise UsageError("--dry-run goes with --at and --undo")
    params = {**path_params("path", file_path(path)), **without_none(version=version, trash_id=trash_id)}
    if to is not None:
        params |= path_params("to", file_path(to))
    app.output.done(app.call("restore", params), confirmations.restore)
    return ExitCode.DONE


def _rewind(app: App, folder: str, at: str | None, *, dry_run: bool, yes: bool) -> ExitCode:
    """Show the files that would change, ask, and change them. ``at`` None undoes the last rewind."""
    wanted = {"undo": True} if at is None else {"at": moment(at).isoformat()}
    params = {**folder_params(folder), **wanted}
    with app.connect() as client:
        plan = client.call("rewind", {**params, "dry_run": True})
        due = [row for row in plan["files"] if row["step"] != "unknown"]
        if dry_run or not due:
            app.output.done(plan, confirmations.rewind)
            return ExitCode.DONE if due or not plan["files"] else ExitCode.FAILED
        if not yes:
            app.output.plan(plan, confirmations.rewind)
            app.confirm(f"change {count_of(len(due), 'file')}?", "--yes")
            params["plan"] = plan["plan"]
        document = client.call("rewind", params)
    app.output.done(document, confirmations.rewind)
    left = any(row["step"] == "unknown" for row in document["files"])
    return ExitCode.FAILED if left else ExitCode.DONE


@command("trash")
@click.argument("folder", required=False, metavar="[FOLDER|prune]")
@limit_option
@after_option
@order_option
def trash_command(app: App, folder: str | None, limit: int | None, after: str | None, order: str | None) -> ExitCode:
    """List what was replaced or removed here.

    "trash prune" drops what is past its time; a folder of that name is written ./prune.
    """
    if folder == "prune":
        if limit is not None or after is not None or order is not None:
            raise UsageError("trash prune takes no --limit, --after or --order")
        app.output.done(app.call("trash_prune", {}), confirmations.trash_prune)
        return ExitCode.DONE
    params = {**folder_params(folder), **without_none(limit=limit, after=after, order=order)}
    app.output.data(app.call("trash", params), render.trash)
    return ExitCode.DONE
