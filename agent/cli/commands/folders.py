"""link, unlink, move, rules, sources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import click

from agent.cli import confirmations, render
from agent.cli.command import (
    MODES,
    App,
    command,
    dry_run_option,
    exclude_option,
    include_option,
    without_none,
    yes_option,
)
from agent.cli.completions import ACCOUNT, SOURCE
from agent.cli.exit_codes import ExitCode, for_sync
from agent.cli.humanize import count_of, file_path, folder_path, path_params
from agent.core.errors import AgentError, UsageError

if TYPE_CHECKING:
    from agent.cli.client import Client

server_option = click.option(
    "--server", type=ACCOUNT, metavar="NAME", help="The account; not needed when there is one."
)


@command("link")
@click.argument("folder")
@server_option
@click.option("--name", metavar="NAME", help="Name of the source; by default the folder's.")
@click.option("--mode", type=MODES, help="Which way changes travel; by default both.")
@include_option
@exclude_option
@click.option("--source", type=SOURCE, metavar="ID|NAME", help="Join this source of the server.")
@click.option("--create", is_flag=True, help="Make FOLDER if it does not exist.")
@dry_run_option
@yes_option
@click.option("--wait", is_flag=True, help="Stay until the first pass is done, and exit as sync does.")
def link_command(
    app: App,
    *,
    folder: str,
    server: str | None,
    name: str | None,
    mode: str | None,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    source: str | None,
    create: bool,
    dry_run: bool,
    yes: bool,
    wait: bool,
) -> ExitCode:
    """Keep FOLDER in step with a source on a server.

    Says first what would be uploaded, downloaded, adopted, parked and skipped. Asks where both sides hold files. A
    folder that was unlinked goes on with its source; with --name it gets another one.
    """
    params = {
        **path_params("folder", folder_path(folder)),
        **without_none(server=server, name=name, mode=mode, source=source),
        "include": list(include),
        "exclude": list(exclude),
        "create": create,
    }
    with app.connect() as client:
        if dry_run:
            document = client.call("link", {**params, "dry_run": True})
            app.output.data(document, render.link)
            return ExitCode.DONE
        linked = link_with_consent(app, client, params, yes)
        if not wait:
            app.output.done(linked, render.link)
            if not client.is_daemon:
                from agent.service import in_background

                words = f"raven-agent sync, or {in_background(app.home)}"
                app.output.note(f"nothing is sent yet, as no agent runs: {words}")
            return ExitCode.DONE
        passed = client.call("sync", {**path_params("folder", folder_path(folder)), "dry_run": False})
    app.output.done({**linked, "sync": passed}, render.link)
    return for_sync(passed)


def link_with_consent(
    app: App, client: Client, params: Mapping[str, Any], yes: bool, again: str = ""
) -> dict[str, Any]:
    """Link, after a yes where both sides hold files, the source's patterns select private files, or another program's
    ignore file is not read.

    Args:
        again: the command that links later, where this one cannot be repeated.

    Raises:
        Declined: the answer was no.
        UsageError: an answer is needed and there is no terminal to ask on.
    """
    flag = f"{again} --yes".strip()
    accepted = {"accept_private": True} if yes else {}
    if not yes:
        planned = client.call("link", {**params, "dry_run": True})
        if needs_consent(planned):
            words = render.plan_line(planned).text
            app.confirm(f"Both sides hold files ({words}). Link them?", flag)
        private = planned.get("private")
        if private:
            words = ", ".join(private)
            app.confirm(f"The source selects dotfiles or files with secrets ({words}). Sync them?", flag)
            accepted = {"accept_private": True}
        ignores = planned.get("unread_ignores")
        if ignores:
            words = f"{', '.join(ignores)} is not read here; .ravenignore is"
            app.confirm(f"{words}. Sync also what it leaves out ({render.plan_line(planned).text})?", flag)
    done: dict[str, Any] = client.call("link", {**params, **accepted, "dry_run": False})
    return done


def needs_consent(planned: Mapping[str, Any]) -> bool:
    """Return True if a link would mix two sets of files, or park a file. To fill an empty side needs no question."""
    plan = planned.get("plan") or {}
    here = plan.get("upload") or plan.get("adopt") or plan.get("skip")
    return bool(plan.get("park") or (plan.get("download") and here))


@command("unlink")
@click.argument("folder")
@dry_run_option
@yes_option
def unlink_command(app: App, folder: str, dry_run: bool, yes: bool) -> ExitCode:
    """Stop syncing FOLDER. Deletes nothing on either side.

    Asks only if something has not reached the server; without a terminal --yes is needed then. A later link of the
    same folder goes on with the same source.
    """
    params = path_params("folder", folder_path(folder))
    if dry_run:
        app.output.data(app.call("unlink", {**params, "dry_run": True}), confirmations.unlink)
        return ExitCode.DONE
    with app.connect() as client:
        try:
            document = client.call("unlink", {**params, "force": yes})
        except AgentError as error:
            if error.code != "unsent":
                raise
            app.confirm(f"{error.message}. Unlink all the same?", "--yes")
            document = client.call("unlink", {**params, "force": True})
    app.output.done(document, confirmations.unlink)
    return ExitCode.DONE


@command("move")
@click.argument("old")
@click.argument("new")
def move_command(app: App, old: str, new: str) -> ExitCode:
    """Record that the folder OLD is now at NEW.

    The source stays the same; nothing is sent again.
    """
    # OLD may be a link to NEW by now, so its last part is taken as it is.
    params = {**path_params("old", file_path(old)), **path_params("new", folder_path(new))}
    app.output.done(app.call("move", params), confirmations.move)
    return ExitCode.DONE


@command("rules")
@click.argument("folder")
@include_option
@exclude_option
@click.option("--remove", multiple=True, metavar="GLOB", help="Take this pattern away; may be repeated.")
@click.option("--only", multiple=True, metavar="GLOB", help="Sync these patterns and no others; may be repeated.")
@click.option(
    "--folder",
    "keep_folder",
    multiple=True,
    metavar="PATH",
    help="Keep this folder of the server's; '.' keeps all; may be repeated.",
)
@click.option(
    "--no-folder", multiple=True, metavar="PATH", help="Leave out this folder of the server's; may be repeated."
)
@click.option("--under", metavar="PATH", help="List the ignore files on the way to this folder, too.")
@dry_run_option
@yes_option
def rules_command(
    app: App,
    *,
    folder: str,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    remove: tuple[str, ...],
    only: tuple[str, ...],
    keep_folder: tuple[str, ...],
    no_folder: tuple[str, ...],
    under: str | None,
    dry_run: bool,
    yes: bool,
) -> ExitCode:
    """Show or change the patterns for FOLDER.

    Only this machine's. --include adds to the patterns, the defaults too; --only replaces them. --folder and
    --no-folder change the selective sync that the server keeps for this machine. Names the files that start
    or stop being synced, and asks when files stop; deletes none.
    """
    both = set(remove) & {*include, *exclude, *only}
    if both:
        raise UsageError(f"{sorted(both)[0]!r} is both added and removed")
    params = {
        **path_params("folder", folder_path(folder)),
        "include": list(include),
        "exclude": list(exclude),
        "remove": list(remove),
        "only": list(only),
        "keep_folder": list(keep_folder),
        "no_folder": list(no_folder),
        "dry_run": dry_run,
        **without_none(under=under),
    }
    with app.connect() as client:
        if (exclude or remove or only or keep_folder or no_folder) and not dry_run and not yes:
            planned = client.call("rules", {**params, "dry_run": True})
            if planned.get("stops"):
                names = ", ".join(planned["stopped"][:5])
                files = count_of(planned["stops"], "file")
                app.confirm(f"{files} would stop being synced: {names}. They are deleted nowhere. Go on?", "--yes")
        document = client.call("rules", params)
    app.output.data(document, confirmations.rules)
    return ExitCode.DONE


def _list_sources(app: App, server: str | None) -> ExitCode:
    """Show the sources of one account or of all. An account that cannot be asked hides none of the others.

    Raises:
        AgentError: an account cannot be asked; the others are shown before.
    """
    from agent.settings.registry_file import load_registry

    known: list[str | None] = (
        [server] if server else [entry.name for entry in load_registry(app.home.registry_file).servers]
    )
    rows: list[Any] = []
    failed: AgentError | None = None
    with app.connect() as client:
        for name in known or [None]:
            try:
                rows += client.call("sources", without_none(server=name))
            except AgentError as error:
                failed = failed or error
    if failed is None or rows:
        app.output.data(rows, render.sources)
    if failed is not None:
        raise failed
    return ExitCode.DONE


_SOURCE_WORDS: Final = {"rename": 3, "archive": 2, "delete": 2}
"""The changes of a source, and the number of words each takes."""


@command("sources")
@click.argument("words", nargs=-1, type=SOURCE, metavar="[rename ID NAME | archive ID | delete ID]")
@server_option
@click.option("--undo", is_flag=True, help="With archive: bring an archived source back.")
@yes_option
def sources_command(app: App, words: tuple[str, ...], server: str | None, undo: bool, yes: bool) -> ExitCode:
    """List the servers' sources, of all accounts or of one.

    With the folder each is linked to here, if any. The changes are made on the server, for all machines: an archived
    source can be read and takes no edits; a deleted one is gone with its history. No file on any disk is deleted.
    """
    action = words[0] if words else ""
    if words and (action not in _SOURCE_WORDS or len(words) != _SOURCE_WORDS[action]):
        raise UsageError(
            "that is no change of a source", "sources rename ID NAME, sources archive ID, sources delete ID"
        )
    if undo and action != "archive":
        raise UsageError("--undo goes with archive", "a deleted source cannot be brought back")
    if not words:
        return _list_sources(app, server)
    if action == "delete" and not yes:
        app.confirm(
            f"Delete the source {words[1]} on the server, with its history? No file on any disk is deleted.", "--yes"
        )
    params = without_none(
        source=words[1],
        server=server,
        action="restore" if undo else action,
        name=words[2] if action == "rename" else None,
    )
    app.output.done(app.call("change_source", params), confirmations.change_source)
    return ExitCode.DONE
