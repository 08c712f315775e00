"""``join``: use the hub of another machine, with an invite."""

from __future__ import annotations

from collections.abc import Mapping
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

from agent.cli import confirmations, render
from agent.cli.command import App, command, without_none, yes_option
from agent.cli.commands.folders import link_with_consent
from agent.cli.exit_codes import ExitCode
from agent.cli.humanize import folder_path, path_params, typed_path
from agent.core.errors import UsageError

if TYPE_CHECKING:
    from agent.cli.client import Client


@command("join")
@click.argument("invite")
@click.argument("folder", required=False)
@click.option("--name", metavar="NAME", help="Name of the account; by default the hub's own.")
@click.option("--source", metavar="ID|NAME", help="The hub's source to sync with; not needed when there is one.")
@click.option("--all-files", is_flag=True, help="Sync files of any kind and size, not only notes.")
@yes_option
def join_command(
    app: App, *, invite: str, folder: str | None, name: str | None, source: str | None, all_files: bool, yes: bool
) -> ExitCode:
    """Use the hub of another machine, with an invite.

    INVITE is the line that `hub invite` printed there.

    Accepts the certificate that the invite names and no other, and stores the token. With FOLDER, also links it.
    """
    from agent.settings.links import RAVEN, SCAIDRIVE

    if folder is None and source is not None:
        raise UsageError("--source is for a FOLDER", "raven-agent join INVITE FOLDER --source NAME")
    root = None if folder is None else folder_path(folder)
    with app.connect() as client:
        if root is not None:
            _require_unlinked(app, root)
        asked = without_none(invite=invite, name=name, dialect=SCAIDRIVE if all_files else RAVEN)
        joined = client.call("join", asked)
        found = client.call("sources", {"server": joined["name"]})
        if root is None:
            app.output.done(joined, lambda document: confirmations.join(document, found))
            return ExitCode.DONE
        app.output.note(confirmations.join(joined, found)[0].text)
        params: dict[str, Any] = {
            **path_params("folder", root),
            **without_none(server=joined["name"], source=_chosen(joined, found, source, root)),
            "include": ["**"] if all_files else [],
            "exclude": [],
            "create": True,
        }
        # The invite is used up from here on: the command to repeat is the link.
        linked = link_with_consent(app, client, params, yes, again=_link_words(root, params))
        app.output.done({**joined, "link": linked}, lambda document: render.link(document["link"]))
        _next_step(app, client)
    return ExitCode.DONE


def _link_words(root: str, params: Mapping[str, Any]) -> str:
    """Return the command that links the folder with the joined account."""
    words = f"raven-agent link {typed_path(root)} --server {params['server']}"
    if params.get("source"):
        words += f" --source {quote(params['source'])}"
    return words + "".join(f" --include {quote(pattern)}" for pattern in params["include"])


def _require_unlinked(app: App, root: str) -> None:
    """Refuse a folder that is linked already, before the invite is used up."""
    from pathlib import Path

    from agent.settings.registry_file import load_registry

    known = load_registry(app.home.registry_file).source_at(Path(root))
    if known is not None:
        raise UsageError(
            f"{root} is linked with {known.server} already", "join without a folder, or raven-agent unlink FOLDER first"
        )


def _chosen(joined: dict[str, Any], found: list[dict[str, Any]], wanted: str | None, root: str) -> str | None:
    """Return the id of the source to join; None to make a new one, where the hub has none.

    Raises:
        UsageError: the hub has several, and none has the folder's name.
    """
    if wanted is not None:
        return wanted
    own = root.rstrip("/").rpartition("/")[2]
    rows = found if len(found) <= 1 else [row for row in found if row["name"] == own]
    if found and len(rows) != 1:
        names = ", ".join(str(row["name"]) for row in found)
        raise UsageError(
            f"joined, but the hub has several sources: {names}",
            f"raven-agent link {root} --server {joined['name']} --source NAME",
        )
    return str(rows[0]["id"]) if rows else None


def _next_step(app: App, client: Client) -> None:
    if not client.is_daemon:
        from agent.service import in_background

        step = in_background(app.home)
        words = step if "raven-agent run" in step else f"raven-agent run, or {step}"
        app.output.note(f"no agent runs here, so nothing is synced yet: {words}")
