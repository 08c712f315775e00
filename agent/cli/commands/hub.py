"""The hub by itself: serving it for others, its tokens, the line another machine logs in with, a copy of its data."""

from __future__ import annotations

import contextlib
import os
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from agent.cli import render
from agent.cli.command import CONTEXT, App, command
from agent.cli.exit_codes import ExitCode
from agent.cli.output import OutputFormat, TextLine, Verbosity, View
from agent.cli.param_types import FILE
from agent.core.errors import AgentError, UsageError
from agent.runtime.hub_process import USER, WORKSPACE
from agent.settings.owner_only_files import ensure_private

data_option = click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="The hub's folder; by default the embedded hub's.",
)


class HubCommandFailed(AgentError):
    """The hub does not start, or cannot do what was asked."""

    code = "hub"


@click.group("hub", context_settings=CONTEXT)
def hub_command() -> None:
    """The document server that comes with the agent."""


def _folder(app: App, data: Path | None) -> Path:
    if data is None:
        app.home.create()
    folder = data or app.home.hub_dir
    ensure_private(folder)
    return folder


@command("serve")
@click.option("--listen", metavar="HOST:PORT", help="Where to listen; by default 127.0.0.1:8674.")
@data_option
@click.option("--database", metavar="URL", help="A database elsewhere, for example postgresql+psycopg://…")
@click.option("--tls-cert", type=FILE, metavar="FILE", help="Certificate (PEM).")
@click.option("--tls-key", type=FILE, metavar="FILE", help="Its key (PEM).")
@click.option("--behind-proxy", is_flag=True, help="A proxy in front of it has the certificate.")
@click.option("--public-key", type=FILE, metavar="FILE", help="Tokens are signed elsewhere; check them with this key.")
def serve_command(
    app: App,
    *,
    listen: str | None,
    data: Path | None,
    database: str | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    behind_proxy: bool,
    public_key: Path | None,
) -> ExitCode:
    """Run the hub alone, until interrupted. Off loopback it wants TLS or --behind-proxy."""
    host, port = _listen(listen)
    folder = _folder(app, data)
    if app.output.loudness < Verbosity.VERBOSE:
        from agent.cli.logsetup import log_as_hub

        log_as_hub()
    with _hub_trouble():
        from agent.daemon.sd_notify import SdNotify
        from agent.hub.serve import DEFAULT_HOST, HubReady, HubSettings, ServiceHooks, serve

        settings = HubSettings(
            folder,
            host=host or DEFAULT_HOST,
            port=port,
            database_url=database,
            tls_cert=tls_cert,
            tls_key=tls_key,
            behind_proxy=behind_proxy,
            public_key=public_key,
        )

        manager = SdNotify.taken_from(os.environ)

        def ready(it: HubReady) -> None:
            app.output.each({"url": it.url, "pid": it.pid}, lambda _: [TextLine(f"serving {it.url}")])
            manager.ready(f"serving {it.url}")

        serve(settings, ready, ServiceHooks(manager.alive, manager.feed_every, lambda: manager.stopping("stopping")))
    return ExitCode.DONE


def _listen(text: str | None) -> tuple[str | None, int | None]:
    """``HOST:PORT``, ``[v6]:PORT``, ``HOST`` or ``:PORT``; None for what is left out."""
    if text is None:
        return None, None
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        return text.strip("[]") or None, None
    if not (port.isascii() and port.isdigit() and int(port) <= 65_535) or (":" in host and not host.startswith("[")):
        raise UsageError(f"{text!r} is not HOST:PORT", "for example 127.0.0.1:8674 or [::1]:8674")
    return host.strip("[]") or None, int(port)


@command("token")
@click.option("--workspace", required=True, metavar="ID", help="The workspace the token is for.")
@click.option("--user", required=True, metavar="ID", help="The user it speaks for.")
@data_option
@click.option("--days", type=click.IntRange(min=1), metavar="N", help="How long it is good for; by default 90.")
def token_command(app: App, workspace: str, user: str, data: Path | None, days: int | None) -> ExitCode:
    """Print a token and nothing else."""
    folder = _folder(app, data)
    lasting = days or app.settings().hub_token_days
    with _hub_trouble():
        from agent.hub.auth import hub_secret, mint

        now = int(time.time() * 1000)
        token = mint(hub_secret(folder), workspace=workspace, user=user, now=now, days=lasting)
    app.output.data({"token": token}, lambda document: [TextLine(document["token"])])
    return ExitCode.DONE


@command("invite")
@click.option("--url", metavar="URL", help="The hub's address as the other machine sees it.")
@click.option("--workspace", metavar="ID", help="By default the embedded hub's workspace.")
@click.option("--user", default=USER, show_default=True, metavar="ID", help="The user the token speaks for.")
@data_option
def invite_command(app: App, url: str | None, workspace: str | None, user: str, data: Path | None) -> ExitCode:
    """Print the login line for another machine, and the command here that makes its token.

    The token itself is not printed: it would end up in shell histories.
    """
    from agent.settings.server_url import clean_url

    if data is not None and (url is None or workspace is None):
        raise UsageError("another hub than the embedded one is told apart by --url and --workspace")
    address = clean_url(url or _embedded_address(app), insecure_http=True)
    space = workspace or WORKSPACE
    login = ["raven-agent", "login", address, "--workspace", space, "--token-stdin"]
    if address.startswith("http:"):
        login.append("--insecure-http")
    token = ["raven-agent", "hub", "token", "--workspace", space, "--user", user]
    if data is not None:
        token += ["--data", str(data.absolute())]
    document = {"login": shlex.join(login), "token_command": shlex.join(token), "url": address, "workspace": space}
    if app.output.form is OutputFormat.HUMAN:
        app.output.note("run there:")
    app.output.data(document, _invitation)
    app.output.note(f"and give it on standard input what this prints here: {document['token_command']}")
    if _only_here(address):
        app.output.note("no other machine can reach that address: give --url, see hub serve --listen")
    return ExitCode.DONE


def _embedded_address(app: App) -> str:
    from agent.hub.serve import PORT_FILE

    try:
        port = int((app.home.hub_dir / PORT_FILE).read_text("ascii"))
    except (OSError, ValueError):
        port = app.settings().hub_port
    return f"http://127.0.0.1:{port}"


def _invitation(document: Any) -> View:
    return [TextLine(document["login"])]


def _only_here(address: str) -> bool:
    from urllib.parse import urlsplit

    from agent.core.net import is_loopback

    return is_loopback(urlsplit(address).hostname or "")


@command("backup")
@click.argument("file", type=FILE)
@data_option
def backup_command(app: App, file: Path, data: Path | None) -> ExitCode:
    """Write a consistent copy of the hub's database to FILE, while it serves."""
    folder = data or app.home.hub_dir
    target = file.absolute()
    with _hub_trouble():
        from agent.hub.serve import DATABASE_FILE
        from agent.hub.store.backup import backup

        backup(folder / DATABASE_FILE, target)
    app.output.done({"file": str(target), "bytes": target.stat().st_size}, render.changed)
    return ExitCode.DONE


@contextlib.contextmanager
def _hub_trouble() -> Iterator[None]:
    from agent.hub.serve import ServeError
    from agent.hub.store.sql_store import StoreError

    try:
        yield
    except (ServeError, StoreError) as error:
        raise HubCommandFailed(str(error)) from error
    except OSError as error:
        raise HubCommandFailed(f"{error.filename or 'the hub'}: {error.strerror}") from error


for _made in (serve_command, token_command, invite_command, backup_command):
    hub_command.add_command(_made)
