"""The sockets of a hub: one for its own machine or for all, and a door for other machines beside it."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

from agent.hub.certificate import fingerprint, is_self_signed, own_certificate
from agent.hub.door import Door
from agent.hub.hub_settings import HubSettings
from agent.hub.listening import ServeError, is_exposed, open_door, open_listener


@dataclass(frozen=True, slots=True)
class Listeners:
    """The open sockets of a hub.

    Attributes:
        main: the socket of ``HubSettings.host``.
        outer: the socket of ``HubSettings.door``, if it was wanted and could be opened.
        certificate, key: PEM files of the encrypted ones; None without encryption.
    """

    main: socket.socket
    outer: socket.socket | None
    certificate: Path | None
    key: Path | None
    door: Door | None
    door_error: str

    @property
    def sockets(self) -> list[socket.socket]:
        """All of them."""
        return [self.main] if self.outer is None else [self.main, self.outer]

    def close(self) -> None:
        """Close them."""
        for one in self.sockets:
            one.close()


def open_listeners(settings: HubSettings) -> Listeners:
    """Open the sockets. A door that cannot be opened is reported; the socket of this machine has to be.

    Raises:
        ServeError: the address or the certificate cannot be used.
    """
    certificate, key = settings.tls_cert, settings.tls_key
    exposed = is_exposed(settings.host) and not settings.behind_proxy
    try:
        if certificate is None and (exposed or settings.door is not None):
            certificate = own_certificate(settings.data_dir)
        pin = fingerprint(certificate) if certificate is not None and is_self_signed(certificate) else None
    except (OSError, ValueError) as error:
        raise ServeError(f"The certificate cannot be used: {error}.") from error
    main = open_listener(settings.data_dir, settings.host, settings.port)
    port = int(main.getsockname()[1])
    if settings.door is None:
        seen = is_exposed(settings.host)
        door = Door(settings.host, port, pin, encrypted=certificate is not None) if seen else None
        return Listeners(main, None, certificate, key, door, "")
    try:
        outer = open_door(*settings.door)
    except ServeError as error:
        # Other machines have to wait, and this one does not.
        return Listeners(main, None, certificate, key, None, str(error))
    door = Door(settings.door[0], int(outer.getsockname()[1]), pin)
    return Listeners(main, outer, certificate, key, door, "")
