"""The name of this machine for servers, and the change of a name that a server knows already."""

from __future__ import annotations

import logging
import socket

from agent.core.errors import RemoteError
from agent.remotes.protocol import Remote
from agent.settings.links import ServerEntry
from agent.settings.settings import Settings

log = logging.getLogger(__name__)


def machine_name(settings: Settings) -> str:
    """Return the name of this machine for servers: the setting ``machine_name``, or the host name."""
    return settings.machine_name or socket.gethostname()


def needs_rename(entry: ServerEntry, settings: Settings) -> bool:
    """Return True if the setting was changed since it was last sent to the server.

    The setting is compared, and not the name. A host name that changes with the network renames no machine, and a name
    given with ``devices rename`` stays.
    """
    return entry.machine_name != settings.machine_name


def send_name(remote: Remote, entry: ServerEntry, connector: str, settings: Settings) -> str:
    """Send this machine's name to the server where the setting was changed; return the setting that it has now.

    A refusal stops no sync: it is logged, and the next start tries again.
    """
    if not needs_rename(entry, settings):
        return entry.machine_name
    name = machine_name(settings)
    try:
        renamed = remote.rename_connector(connector, name)
    except RemoteError as error:
        log.warning("%s does not take the machine's name %r: %s", entry.name, name, error.message)
        return entry.machine_name
    if not renamed:
        log.warning("%s cannot rename a machine: it keeps the name of its first registration", entry.name)
        return entry.machine_name
    log.info("this machine is now called %r on %s", name, entry.name)
    return settings.machine_name
