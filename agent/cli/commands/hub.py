"""Commands of the hub alone: serving and inviting. Those on its data are in `hub_data`."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

import click

from agent.cli.command import CONTEXT, App, command
from agent.cli.commands.hub_data import (
    backup_command,
    migrate_command,
    restore_command,
    revoke_command,
    token_command,
    tokens_command,
)
from agent.cli.commands.hub_limits import limit_command, prune_command, workspaces_command
from agent.cli.commands.hub_place import HubPlace, data_option, hub_errors, place_options
from agent.cli.exit_codes import ExitCode
from agent.cli.file_param import FILE
from agent.cli.output import OutputFormat, TextLine, Verbosity, View
from agent.core.errors import UsageError
from agent.runtime.hub_process import USER, WORKSPACE
from agent.settings.owner_only_files import ensure_private


@click.group("hub", context_settings=CONTEXT)
def hub_command() -> None:
    """The document server that comes with the agent."""


@command("serve")
@click.option("--listen", metavar="HOST:PORT", help="Where to listen; by default 127.0.0.1:8674.")
@click.option("--tls-cert", type=FILE, metavar="FILE", help="Certificate (PEM).")
@click.option("--tls-key", type=FILE, metavar="FILE", help="Its key (PEM).")
@click.option("--behind-proxy", is_flag=True, help="A proxy in front of it has the certificate.")
@click.option("--public-key", type=FILE, metavar="FILE", help="Tokens are signed elsewhere; check them with this key.")
@click.option(
    "--write-threads",
    type=click.IntRange(1, 64),
    metavar="N",
    help="Requests that write at once; by default 2 with SQLite, 12 with PostgreSQL.",
)
@click.option(
    "--rate-limit",
    type=click.IntRange(min=1),
    metavar="N",
    help="Requests a minute that one token may make of this process; by default there is no limit.",
)
@place_options
def serve_command(
    app: App,
    *,
    place: HubPlace,
    listen: str | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    behind_proxy: bool,
    public_key: Path | None,
    write_threads: int | None,
    rate_limit: int | None,
) -> ExitCode:
    """Run the hub alone, until interrupted. Off loopback it wants TLS or --behind-proxy."""
    host, port = _listen(listen)
    ensure_private(place.folder)
    _configure_log(app)
    with hub_errors():
        from agent.daemon.sd_notify import SdNotify
        from agent.hub.serve import DEFAULT_HOST, HubReady, HubSettings, ServiceHooks, serve

        settings = HubSettings(
            place.folder,
            host=host or DEFAULT_HOST,
            port=port,
            database_url=place.url,
            secret_file=place.secret_file,
            tls_cert=tls_cert,
            tls_key=tls_key,
            behind_proxy=behind_proxy,
            public_key=public_key,
            write_threads=write_threads,
            rate_limit=rate_limit,
        )

        manager = SdNotify.taken_from(os.environ)

        def ready(hub: HubReady) -> None:
            app.output.each({"url": hub.url, "pid": hub.pid}, lambda _: [TextLine(f"serving {hub.url}")])
            manager.ready(f"serving {hub.url}")

        serve(settings, ready, ServiceHooks(manager.alive, manager.feed_every, lambda: manager.stopping("stopping")))
    return ExitCode.DONE


def _configure_log(app: App) -> None:
    if app.settings().log_format == "json":
        from agent.hub.logs import log_as_json

        log_as_json()
    elif app.output.loudness < Verbosity.VERBOSE:
        from agent.cli.logsetup import log_as_hub

        log_as_hub()


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
        raise UsageError("--data names a hub that is not the embedded one: give --url and --workspace too")
    address = clean_url(url or _embedded_address(app), insecure_http=True)
    space = workspace or WORKSPACE
    login = ["raven-agent", "login", address, "--workspace", space, "--token-stdin"]
    only_here = _only_here(address)
    if address.startswith("http:") and not only_here:
        login.append("--insecure-http")
    token = ["raven-agent", "hub", "token", "--workspace", space, "--user", user]
    if data is not None:
        token += ["--data", str(data.absolute())]
    document = {
        "login": shlex.join(login),
        "token_command": shlex.join(token),
        "url": address,
        "workspace": space,
        "only_here": only_here,
    }
    if app.output.form is OutputFormat.HUMAN:
        app.output.note("run there:")
    app.output.data(document, _invitation)
    app.output.note(f"and give it on standard input what this prints here: {document['token_command']}")
    if only_here:
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


for _made in (
    serve_command,
    token_command,
    tokens_command,
    revoke_command,
    invite_command,
    backup_command,
    restore_command,
    migrate_command,
    workspaces_command,
    limit_command,
    prune_command,
):
    hub_command.add_command(_made)
