"""``devices``: the devices of an account on its server."""

from __future__ import annotations

from typing import Final

import click

from agent.cli import confirmations, render
from agent.cli.command import App, command, without_none, yes_option
from agent.cli.commands.folders import server_option
from agent.cli.completions import DEVICE
from agent.cli.exit_codes import ExitCode
from agent.core.errors import UsageError

_WORDS: Final = {"rename": 3, "disable": 2, "enable": 2, "delete": 2, "new-token": 2}
"""The changes of a device, and the number of words each takes."""


@command("devices")
@click.argument(
    "words",
    nargs=-1,
    type=DEVICE,
    metavar="[rename ID NAME | disable ID | enable ID | delete ID | new-token ID]",
)
@server_option
@yes_option
def devices_command(app: App, words: tuple[str, ...], server: str | None, yes: bool) -> ExitCode:
    """List the devices of a ScaiDrive or Pinakes account.

    These servers know each machine as a device of your account. The changes are made on the server: rename it,
    switch it off and on, delete one that is no longer used, or end its token (Pinakes), after which its machine gets
    a new one by itself. No file on any disk is deleted. An ID is the beginning of an id, or a name.

    A Raven account, also on the hub, has no devices: status --machines lists its machines, config set machine_name
    renames the machine where it is typed, and hub revoke ends the token of one on the hub's machine.
    """
    action = words[0] if words else ""
    if words and (action not in _WORDS or len(words) != _WORDS[action]):
        raise UsageError(
            "that is no change of a device",
            "devices rename ID NAME, devices disable|enable ID, devices delete ID, devices new-token ID",
        )
    if not words:
        app.output.data(app.call("devices", without_none(server=server)), render.devices)
        return ExitCode.DONE
    if action == "delete" and not yes:
        app.confirm(f"Delete the device {words[1]} on the server? No file on any disk is deleted.", "--yes")
    params = without_none(device=words[1], server=server, action=action, name=words[2] if action == "rename" else None)
    app.output.done(app.call("change_device", params), confirmations.change_device)
    return ExitCode.DONE
