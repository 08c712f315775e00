"""Facts about network addresses that need no look-up."""

from __future__ import annotations

from typing import Final

DEFAULT_DOOR_PORT: Final = 8675
"""Port of the embedded hub for other machines. Its own machine uses another one, without encryption."""


def host_and_port(text: str) -> tuple[str, int | None]:
    """Split ``HOST:PORT``, ``[v6]:PORT``, ``HOST`` or ``:PORT``; "" and None for what is left out.

    Raises:
        ValueError: it is none of these.
    """
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        return text.strip("[]"), None
    if not (port.isascii() and port.isdigit() and int(port) <= 65_535) or (":" in host and not host.startswith("[")):
        raise ValueError(f"{text!r} is not HOST:PORT")
    return host.strip("[]"), int(port)


def is_loopback(host: str) -> bool:
    """Return True if traffic to this host never leaves this machine.

    Accepts ``localhost`` and every name below it (RFC 6761), 127.0.0.0/8 and ``::1``, with or without brackets. No name
    is resolved: the owner of any other name could point it at 127.0.0.1 later.
    """
    import ipaddress  # a command that talks to no server need not load it

    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback
