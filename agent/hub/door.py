"""The door: the address at which other machines reach a hub, and the certificate they find there.

A running hub notes it in its folder, where `hub invite` reads it.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import orjson

from agent.core.net import is_loopback
from agent.settings.owner_only_files import write_atomically

DOOR_FILE: Final = "door.json"

_SIOCGIFADDR: Final = 0xC0206921 if sys.platform == "darwin" else 0x8915
_ANY: Final = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 - compared, not bound
_FAR: Final = ("192.0.2.1", "10.255.255.254", "192.168.255.254", "172.31.255.254")
"""Addresses of other networks. The route to the first one that has a route leads through the main interface."""


@dataclass(frozen=True, slots=True)
class Door:
    """An address of a hub for other machines.

    Attributes:
        host: as it was given, such as ``0.0.0.0``.
        pin: the certificate's sha256 in hexadecimal; None if clients check the certificate by its name.
        encrypted: False behind a proxy.
    """

    host: str
    port: int
    pin: str | None
    encrypted: bool = True

    def addresses(self) -> list[str]:
        """Return ``HOST:PORT`` for each address that another machine may use, the likeliest one first."""
        hosts = interface_addresses() if self.host in _ANY else [self.host]
        return [f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}" for host in hosts]


def note_door(folder: Path, door: Door | None) -> None:
    """Write the door into the hub's folder, or remove the note of an earlier one.

    On a full disk the note is missing, and the hub serves all the same.
    """
    path = folder / DOOR_FILE
    with contextlib.suppress(OSError):
        if door is None:
            path.unlink(missing_ok=True)
        else:
            write_atomically(path, orjson.dumps(asdict(door)))


def noted_door(folder: Path) -> Door | None:
    """Return the door that the hub of this folder noted at its last start; None if there is none."""
    try:
        return Door(**orjson.loads((folder / DOOR_FILE).read_bytes()))
    except (OSError, TypeError, ValueError):
        return None


def interface_addresses() -> list[str]:
    """Return the IPv4 addresses of this machine's interfaces, without loopback, the one with the main route first."""
    found = [host for host in (_towards(far) for far in _FAR) if host is not None]
    for _, name in socket.if_nameindex():
        with contextlib.suppress(OSError):
            found.append(_address_of(name))
    return [host for host in dict.fromkeys(found) if not is_loopback(host) and not _is_unusable(host)]


def _is_unusable(host: str) -> bool:
    address = ipaddress.ip_address(host)
    return address.is_link_local or address.is_unspecified


def _towards(far: str) -> str | None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            # Sends nothing: for a datagram socket this only looks up the route.
            asking.connect((far, 9))
        except OSError:
            return None
        return str(asking.getsockname()[0])


def _address_of(interface: str) -> str:
    import fcntl

    request = interface.encode()[:15].ljust(256, b"\0")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        return socket.inet_ntoa(fcntl.ioctl(asking.fileno(), _SIOCGIFADDR, request)[20:24])
