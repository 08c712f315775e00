"""Commands of the hub alone. Those on its data are in `hub_data`."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Final

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
from agent.cli.commands.hub_invite import invite_command
from agent.cli.commands.hub_limits import limit_command, prune_command, workspaces_command
from agent.cli.commands.hub_place import HubPlace, hub_errors, place_options
from agent.cli.commands.hub_purge import purge_command
from agent.cli.exit_codes import ExitCode
from agent.cli.file_param import FILE
from agent.cli.output import TextLine, Verbosity
from agent.core.errors import UsageError
from agent.core.net import host_and_port
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
@click.option(
    "--pinakes-hash",
    type=click.Choice(["sha256", "blake3"]),
    default="sha256",
    help="Content hashes of the Pinakes API; blake3 needs the package blake3.",
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
    pinakes_hash: str,
) -> ExitCode:
    """Run the hub alone, until interrupted.

    Off loopback it is encrypted: with --tls-cert, by a proxy, or with a certificate of its own, which `join` pins.
    """
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
            pinakes_hash=pinakes_hash,
            name=app.settings().machine_name,
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


_LISTEN_EXAMPLE: Final = "for example 127.0.0.1:8674 or [::1]:8674"


def _listen(text: str | None) -> tuple[str | None, int | None]:
    """Return host and port as they were given; None for what is left out."""
    if text is None:
        return None, None
    try:
        host, port = host_and_port(text)
    except ValueError as error:
        raise UsageError(str(error), _LISTEN_EXAMPLE) from None
    if host and port is None:
        # A word without a port is most often a typing error.
        try:
            socket.getaddrinfo(host, None)
        except OSError:
            raise UsageError(f"{text!r} is not HOST:PORT", _LISTEN_EXAMPLE) from None
    return host or None, port


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
    purge_command,
):
    hub_command.add_command(_made)
