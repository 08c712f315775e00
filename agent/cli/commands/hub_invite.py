"""``hub invite``: one line of text with which another machine joins this hub."""

from __future__ import annotations

import contextlib
import datetime as dt
import shlex
import sys
import time
from typing import TYPE_CHECKING, Any, Final

import click

from agent.cli.command import App, command
from agent.cli.commands.hub_place import HubCommandFailed, HubPlace, hub_errors, place_options
from agent.cli.exit_codes import ExitCode
from agent.cli.output import OutputFormat, TextLine, Verbosity, View, is_terminal
from agent.core.errors import UsageError
from agent.core.net import is_loopback
from agent.runtime.hub_process import USER, WORKSPACE
from agent.settings.invite import Invite
from agent.settings.links import LOCAL_ACCOUNTS, LOCAL_FILES

if TYPE_CHECKING:
    from agent.hub.door import Door
    from agent.settings.links import Registry
    from agent.settings.settings import Settings

MAX_ADDRESSES: Final = 6
"""Addresses of one invite. More would make the line long, and the first ones are the likeliest."""


@command("invite")
@click.option("--url", metavar="URL", help="The hub's address as the other machine sees it.")
@click.option(
    "--listen", metavar="HOST:PORT", help="Where the embedded hub listens for other machines; by default 0.0.0.0:8675."
)
@click.option("--workspace", metavar="ID", help="By default the embedded hub's workspace.")
@click.option("--user", default=USER, show_default=True, metavar="ID", help="The user the token speaks for.")
@click.option("--own-hub", is_flag=True, help="Invite to this machine's hub, though it joined that of another machine.")
@click.option("--no-qr", is_flag=True, help="Show no QR code on a terminal.")
@place_options
def invite_command(
    app: App,
    *,
    place: HubPlace,
    url: str | None,
    listen: str | None,
    workspace: str | None,
    user: str,
    own_hub: bool,
    no_qr: bool,
) -> ExitCode:
    """Print the one line with which another machine joins this hub. It works once, within 10 minutes.

    The embedded hub then also listens for other machines, encrypted with a certificate of its own.
    """
    embedded = place.url is None and place.folder == app.home.hub_dir
    if not embedded and workspace is None:
        raise UsageError("a hub that is not the embedded one has workspaces of its own", "give one with --workspace")
    if listen is not None and (not embedded or url is not None):
        raise UsageError("--listen is for the embedded hub, without --url", "see hub serve --listen")
    if embedded and not own_hub and (joined := joined_elsewhere(_registry(app), app.settings())):
        raise UsageError(
            f"this machine joined the hub {joined}; an invite from here would be to a second, empty hub",
            "type it on the machine of that hub; or for a hub of this machine too: raven-agent hub invite --own-hub",
        )
    opened = _open_door(app, listen) if embedded and url is None else False
    door, addresses = _reachable(app, place, url, embedded=embedded)
    with hub_errors():
        code, ends = _code(app, place, workspace or WORKSPACE, user)
    pin = door.pin if door is not None and door.pin else ""
    invite = Invite(tuple(addresses[:MAX_ADDRESSES]), pin, code)
    all_files = embedded and workspace in (None, WORKSPACE) and keeps_all_files(_registry(app))
    document = _document(invite, workspace or WORKSPACE, user, ends, all_files=all_files)
    app.output.data(document, _view(app, no_qr=no_qr))
    _notes(app, door, document, embedded=embedded, opened=opened)
    return ExitCode.DONE


def joined_elsewhere(registry: Registry, settings: Settings) -> str:
    """Return the account of another machine's hub if an invite from here would be to a hub without files; or "".

    A machine that syncs a folder with its own hub, or whose hub listens for others already, has two hubs on purpose.
    A hub behind a proxy has no pinned certificate, so its account is not known from that of another server.
    """
    if settings.hub_listen or any(source.server in LOCAL_ACCOUNTS for source in registry.sources):
        return ""
    return next((server.name for server in registry.servers if server.pin), "")


def _registry(app: App) -> Registry:
    from agent.settings.registry_file import load_registry

    return load_registry(app.home.registry_file)


def _open_door(app: App, listen: str | None) -> bool:
    """Have the embedded hub listen for other machines. Return True if it did not before."""
    from agent.core.net import DEFAULT_DOOR_PORT
    from agent.settings.config_file import set_value

    before = app.settings().hub_listen
    wanted = listen or before or f"0.0.0.0:{DEFAULT_DOOR_PORT}"
    if wanted != before:
        set_value(app.home, "hub_listen", wanted)
    with app.connect() as client:
        if client.is_daemon and wanted != before:
            client.call("reload", {})
        hub = client.call("ensure_local_hub", {})
    if hub.get("listen_error"):
        if wanted != before:
            set_value(app.home, "hub_listen", before)
            with app.connect() as client:
                if client.is_daemon:
                    client.call("reload", {})
        raise HubCommandFailed(str(hub["listen_error"]), "choose another address with --listen HOST:PORT")
    return wanted != before


def _reachable(app: App, place: HubPlace, url: str | None, *, embedded: bool) -> tuple[Door | None, list[str]]:
    """Return the hub's door, if it has one, and the addresses for the invite.

    Raises:
        UsageError: no other machine can reach the hub, or only without encryption.
    """
    from agent.hub.door import noted_door
    from agent.settings.server_url import clean_url

    door = noted_door(place.folder)
    if url is not None:
        address = clean_url(url, insecure_http=True)
        host = address.partition("://")[2].partition("/")[0]
        if address.startswith("http:") and not is_loopback(host.rpartition(":")[0] or host):
            raise UsageError(
                "an invite over plain http would show its code and the token on the way",
                "use an https address; or raven-agent hub token here, and raven-agent login --insecure-http there",
            )
        return (door if address.startswith("https:") else None), [address]
    if door is None:
        words = "the hub of this folder listens for this machine only, or was never started"
        raise UsageError(words, "raven-agent hub serve --listen HOST:PORT, or give its address with --url")
    if not door.encrypted:
        raise UsageError("the hub is behind a proxy, whose address is not known here", "give it with --url")
    addresses = door.addresses()
    if not addresses:
        raise UsageError("this machine has no network address", "connect it, or give the hub's address with --url")
    return door, addresses


def _code(app: App, place: HubPlace, workspace: str, user: str) -> tuple[str, int]:
    from agent.hub.store.invite_registry import InviteRegistry, StoredInvite

    with contextlib.closing(place.store()) as store:
        invite = StoredInvite(workspace, user, app.settings().hub_token_days)
        return InviteRegistry(store).add(invite, int(time.time() * 1000))


def keeps_all_files(registry: Registry) -> bool:
    """Return True if a folder here syncs files of any kind with the embedded hub.

    A machine that joins for texts would get none of the others, and nothing there would name them.
    """
    return any(source.server == LOCAL_FILES for source in registry.sources)


def _document(invite: Invite, workspace: str, user: str, ends: int, *, all_files: bool) -> dict[str, Any]:
    url = invite.urls[0]
    login = ["raven-agent", "login", url, "--workspace", workspace, "--token-stdin"]
    token = ["raven-agent", "hub", "token", "--workspace", workspace, "--user", user]
    return {
        "invite": invite.to_text(),
        "join": f"raven-agent join {invite.to_text()}{' --all-files' if all_files else ''}",
        "expires_at": dt.datetime.fromtimestamp(ends // 1000, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "url": url,
        "addresses": list(invite.addresses),
        "pin": invite.pin or None,
        "workspace": workspace,
        # For a machine whose release has no `join`; a login cannot pin a certificate.
        "login": None if invite.pin else shlex.join(login),
        "token_command": shlex.join(token),
        "only_here": is_loopback(url.partition("://")[2].partition("/")[0].rpartition(":")[0]),
    }


def _view(app: App, *, no_qr: bool) -> Any:
    def view(document: Any) -> View:
        return [TextLine(document["join"])]

    app.output.note("run this on the other machine, within 10 minutes; it works once:")
    shown = app.output.form is OutputFormat.HUMAN and app.output.loudness > Verbosity.QUIET and is_terminal(sys.stdout)
    if not shown or no_qr:
        return view

    def with_qr(document: Any) -> View:
        return [*view(document), *(TextLine(line) for line in qr_lines(document["invite"]))]

    return with_qr


def qr_lines(text: str) -> list[str]:
    """Return a QR code as lines of block characters, two rows of modules a line."""
    import io

    import segno

    drawn = io.StringIO()
    segno.make(text, error="l", micro=False).save(drawn, kind="txt", border=2)
    rows = drawn.getvalue().splitlines()
    rows += ["0" * len(rows[0])] * (len(rows) % 2)
    # Light modules are drawn, because most terminals are dark; a scanner takes both.
    glyphs = {"00": "\u2588", "01": "\u2580", "10": "\u2584", "11": " "}
    return [
        "".join(glyphs[a + b] for a, b in zip(*pair, strict=True)) for pair in zip(rows[::2], rows[1::2], strict=True)
    ]


def _notes(app: App, door: Door | None, document: dict[str, Any], *, embedded: bool, opened: bool) -> None:
    from agent.cli.client import daemon_of

    if document["only_here"]:
        app.output.note("no other machine can reach that address: give --url, or --listen with another one")
    typed = str(document["join"]).replace(document["invite"], "INVITE")
    app.output.note(f"add a folder to sync it there at once: {typed} ~/notes")
    if opened and door is not None:
        close = "raven-agent config unset hub_listen"
        app.output.note(f"the hub now listens on {door.host}:{door.port} for other machines, encrypted; close: {close}")
    if embedded and daemon_of(app.home) is None:
        from agent.service import in_background

        words = f"raven-agent up FOLDER, or {in_background(app.home)}"
        app.output.note(f"no agent runs here, so nobody can join yet: {words}")
