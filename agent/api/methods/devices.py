"""devices, change_device: the devices of an account on its server, where the server lets their user change them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from agent.api.methods.common import RequestRefused
from agent.api.schema.devices import (
    DeviceAction,
    DeviceChangeDocument,
    DeviceChangeParams,
    DeviceDocument,
    DevicesParams,
)
from agent.core.errors import UsageError
from agent.remotes.device_admin import DeviceAdmin
from agent.runtime import linking
from agent.runtime.agent import Agent

_INSTEAD: Final = (
    "raven-agent status --machines lists its machines; raven-agent config set machine_name NAME renames this one; "
    "raven-agent hub tokens, on the hub's machine, lists the tokens to revoke"
)


def devices(agent: Agent, params: DevicesParams) -> list[DeviceDocument]:
    """List the devices of an account on its server, with this machine first. Registers nothing.

    Raises:
        RequestRefused: the server does not let their user list them.
        RemoteError: the server cannot be reached, or refuses.
    """
    if params.server is None and not agent.registry.servers:
        # A list must not start the embedded hub and make it one of the accounts.
        return []
    name = linking.select_account(agent, params.server)
    return ordered(_listed(agent, name, _admin(agent, name)))


def change_device(agent: Agent, params: DeviceChangeParams) -> DeviceChangeDocument:
    """Rename a device, switch it on or off, delete it, or end its token, on the server. Deletes no file.

    Raises:
        UsageError: no device is meant, or several are, or no new name was given.
        RequestRefused: the server does not offer it, or this machine would delete itself.
        RemoteError: the server cannot be reached, or refuses.
    """
    server = linking.select_account(agent, params.server)
    admin = _admin(agent, server)
    found = meant(_listed(agent, server, admin), params.device)
    _change(admin, found, params)
    return DeviceChangeDocument(
        changed=True,
        id=found.id,
        name=params.name if params.action is DeviceAction.RENAME and params.name else found.name,
        server=server,
        action=params.action.value,
        this_machine=found.this_machine,
    )


def ordered(found: Sequence[DeviceDocument]) -> list[DeviceDocument]:
    """Return this machine first, then the others by the time they were last seen, newest first."""
    newest = sorted(found, key=lambda device: device.seen_at or "", reverse=True)
    return sorted(newest, key=lambda device: not device.this_machine)


def meant(found: Sequence[DeviceDocument], wanted: str) -> DeviceDocument:
    """Return the device of this id or name, or else of this beginning of an id.

    Raises:
        UsageError: none matches, or several do.
    """
    matches = [one for one in found if wanted in (one.id, one.name)]
    matches = matches or [one for one in found if wanted and one.id.startswith(wanted)]
    if len(matches) != 1:
        words = "several devices are" if matches else "no device is"
        raise UsageError(f"{words} called {wanted!r}", "raven-agent devices lists them; give the id")
    return matches[0]


def _listed(agent: Agent, server: str, admin: DeviceAdmin) -> list[DeviceDocument]:
    own = agent.server(server).own_connector
    return [
        DeviceDocument(
            id=device.id,
            name=device.name,
            server=server,
            platform=device.platform,
            version=device.version,
            this_machine=device.is_this or device.id == own,
            active=device.active,
            seen_at=device.seen_at,
        )
        for device in admin.devices()
    ]


def _admin(agent: Agent, server: str) -> DeviceAdmin:
    found = agent.server(server).remote().device_admin
    if found is None:
        words = f"{server} is a Raven account, and only ScaiDrive and Pinakes accounts have devices"
        raise RequestRefused(words, _INSTEAD)
    return found


def _change(admin: DeviceAdmin, found: DeviceDocument, params: DeviceChangeParams) -> None:
    match params.action:
        case DeviceAction.RENAME:
            if not params.name:
                raise UsageError("a new name is needed", "raven-agent devices rename ID NAME")
            admin.rename(found.id, params.name)
        case DeviceAction.DISABLE:
            admin.set_active(found.id, False)
        case DeviceAction.ENABLE:
            admin.set_active(found.id, True)
        case DeviceAction.DELETE:
            if found.this_machine:
                # It would register itself again with its next call.
                raise RequestRefused(f"{found.name} is this machine", "raven-agent logout forgets the account here")
            admin.delete(found.id)
        case DeviceAction.NEW_TOKEN:
            if not admin.has_tokens:
                words = f"a device of {found.server} has no token of its own"
                raise RequestRefused(words, "sign the machine in with another token there: raven-agent login")
            admin.renew_token(found.id)
