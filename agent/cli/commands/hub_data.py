"""Commands on a hub's data: tokens, backups, restoration and migration."""

from __future__ import annotations

import contextlib
import datetime as dt
import time
from pathlib import Path
from typing import Any

import click

from agent.cli import confirmations, render
from agent.cli.command import App, command
from agent.cli.commands.hub_place import HubPlace, hub_errors, place_options
from agent.cli.exit_codes import ExitCode
from agent.cli.file_param import FILE
from agent.cli.humanize import clock
from agent.cli.output import TextLine, View
from agent.core.humanize import machine_names
from agent.settings.owner_only_files import ensure_private


@command("token")
@click.option("--workspace", required=True, metavar="ID", help="The workspace the token is for.")
@click.option("--user", required=True, metavar="ID", help="The user it speaks for.")
@click.option("--days", type=click.IntRange(min=1), metavar="N", help="How long it is good for; by default 90.")
@place_options
def token_command(app: App, *, place: HubPlace, workspace: str, user: str, days: int | None) -> ExitCode:
    """Print a token and nothing else. It is listed by `hub tokens` and can be revoked."""
    lifetime = days or app.settings().hub_token_days
    with hub_errors():
        from agent.hub.auth import DAY_SECONDS, hub_secret, mint, token_id
        from agent.hub.store.token_registry import IssuedToken, TokenRegistry

        now = int(time.time() * 1000)
        ensure_private(place.folder)
        token = mint(
            hub_secret(place.folder, place.secret_file), workspace=workspace, user=user, now=now, days=lifetime
        )
        expires = now + lifetime * DAY_SECONDS * 1000
        with contextlib.closing(place.store()) as store:
            TokenRegistry(store).add(IssuedToken(token_id(token), workspace, user, now, expires))
    app.output.data({"token": token}, lambda document: [TextLine(document["token"])])
    return ExitCode.DONE


@command("tokens")
@place_options
def tokens_command(app: App, *, place: HubPlace) -> ExitCode:
    """List the tokens given out by `hub token` and for invites. The tokens themselves are not stored."""
    with hub_errors():
        from agent.hub.store.token_registry import TokenRegistry

        with contextlib.closing(place.existing_store()) as store:
            documents = [_token_document(token) for token in TokenRegistry(store).all()]
    app.output.data(documents, _token_list)
    return ExitCode.DONE


@command("revoke")
@click.argument("token", metavar="ID|MACHINE")
@place_options
def revoke_command(app: App, *, place: HubPlace, token: str) -> ExitCode:
    """Revoke a token. Every hub refuses it within 5 seconds.

    By its id or its machine's from `hub tokens`, by the machine's id from `status --machines`, or by a machine's name.

    From then on its machine sends and gets nothing. It notices that it is signed out when it next asks: within 30
    seconds if it waits for changes.
    """
    with hub_errors():
        from agent.hub.store.token_registry import TokenRegistry

        with contextlib.closing(place.existing_store()) as store:
            revoked = TokenRegistry(store).revoke(token, int(time.time() * 1000))
    app.output.done(_token_document(revoked), confirmations.hub_revoke)
    return ExitCode.DONE


def _token_document(token: Any) -> dict[str, object]:
    return {
        "id": token.id,
        "workspace": token.workspace,
        "user": token.user,
        "machine": token.machine,
        "machine_id": token.connector,
        "created_at": _time(token.created_at),
        "expires_at": _time(token.expires_at),
        "revoked_at": _time(token.revoked_at),
    }


def _time(milliseconds: int | None) -> str | None:
    if milliseconds is None:
        return None
    return dt.datetime.fromtimestamp(milliseconds // 1000, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _token_list(document: Any) -> View:
    # As status --machines names them: machines of one name have the beginning of their id beside it.
    names = machine_names((row["machine_id"] or "", row["machine"] or "") for row in document)
    return render.grid(
        ("ID", "MACHINE", "WORKSPACE", "USER", "CREATED", "ENDS", "REVOKED"),
        [(row["id"], name if row["machine_id"] else row["machine"] or "-", row["workspace"], row["user"],
          *(clock(row[name]) if row[name] else "-" for name in ("created_at", "expires_at", "revoked_at")))
         for row, name in zip(document, names, strict=True)],
        "no tokens; raven-agent hub token and hub invite give them",
    )  # fmt: skip


@command("backup")
@click.argument("file", type=FILE)
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@click.option("--without-secret", is_flag=True, help="Leave out the secret that signs tokens.")
@place_options
def backup_command(app: App, *, place: HubPlace, file: Path, force: bool, without_secret: bool) -> ExitCode:
    """Write a consistent copy of the hub's database and secret to FILE, while it serves.

    FILE is never inside the hub's folder. PostgreSQL is copied with pg_dump.
    """
    target = file.absolute()
    with hub_errors():
        from agent.hub.store.backup import Overwrite, backup

        backup(
            place.data(),
            target,
            Overwrite.REPLACE if force else Overwrite.REFUSE,
            with_secret=not without_secret,
        )
    document = {"file": str(target), "bytes": target.stat().st_size, "with_secret": not without_secret}
    app.output.done(document, confirmations.hub_backup)
    return ExitCode.DONE


@command("restore")
@click.argument("file", type=FILE)
@click.option("--force", is_flag=True, help="Replace existing data; the old files are kept beside the new ones.")
@place_options
def restore_command(app: App, *, place: HubPlace, file: Path, force: bool) -> ExitCode:
    """Restore a backup into a hub that does not run. Agents notice that their server went back in time."""
    with hub_errors():
        from agent.hub.listening import FolderLock
        from agent.hub.store.backup import Overwrite, restore

        ensure_private(place.folder)
        data = place.data()
        with FolderLock(place.folder):
            restore(file.absolute(), data, Overwrite.REPLACE if force else Overwrite.REFUSE)
            place.store().close()
    document = {
        "file": str(file.absolute()),
        "restored": str(place.folder),
        "embedded": place.folder.absolute() == app.home.hub_dir.absolute(),
    }
    app.output.done(document, confirmations.hub_restore)
    return ExitCode.DONE


@command("migrate")
@place_options
def migrate_command(app: App, *, place: HubPlace) -> ExitCode:
    """Bring the database to this release's schema. `hub serve` does the same at its start."""
    # A new hub is prepared so too, before its first start.
    with hub_errors(), contextlib.closing(place.store()) as store:
        result = store.migrated
    document = {"changed": result.before != result.after, "before": result.before, "schema": result.after}
    app.output.done(document, confirmations.hub_migrate)
    return ExitCode.DONE
