"""The address of a server, and the certificates it is trusted by."""

from __future__ import annotations

import enum
import ssl
from pathlib import Path

import httpx

from agent.core.errors import UsageError
from agent.core.net import is_loopback


class PlainHttp(enum.Enum):
    """Permission to send a token unencrypted to another machine."""

    REFUSE = "refuse"
    ALLOW = "allow"


def checked_address(base_url: str, plain_http: PlainHttp) -> httpx.URL:
    """Return the address of a server.

    Raises:
        UsageError: it is no address, or is plain http to another machine without permission.
    """
    try:
        url = httpx.URL(base_url.strip())
    except httpx.InvalidURL as exc:
        raise UsageError(f"not a server address: {base_url}") from exc
    if url.userinfo:
        raise UsageError("a server address must not hold a user name or password")
    if url.scheme not in ("http", "https") or not url.host or url.query or url.fragment:
        raise UsageError(f"not a server address: {base_url}", "it looks like https://raven.example.org")
    if url.scheme == "http" and plain_http is PlainHttp.REFUSE and not is_loopback(url.host):
        raise UsageError(
            f"{base_url} is not encrypted: the token could be read on the way",
            "use https, or pass --insecure-http if the network is trusted",
        )
    return url


def trusted_certificates(ca_file: Path | None) -> ssl.SSLContext:
    """Return the system's certificates, and those of ``ca_file``.

    Raises:
        UsageError: the file cannot be read.
    """
    context = ssl.create_default_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except (OSError, ssl.SSLError) as exc:
            raise UsageError(f"cannot read certificates from {ca_file}") from exc
    return context
