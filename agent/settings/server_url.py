"""Addresses of servers: checked, and brought into one form."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit, urlunsplit

from agent.core.errors import UsageError
from agent.core.net import is_loopback

_PORTS: Final = {"http": 80, "https": 443}


def origin_of(url: str) -> str:
    """Return ``scheme://host:port`` in lower case with the port always written, so that equal origins are equal texts.

    Raises:
        UsageError: not an http or https address.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in _PORTS or not parts.hostname:
        raise UsageError(
            f"{_without_secrets(url)!r} is not an http or https address", "for example https://raven.example"
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}:{port or _PORTS[parts.scheme]}"


def clean_url(url: str, *, insecure_http: bool = False) -> str:
    """Return the address as the registry keeps it: no user, query, fragment, trailing slash, or trailing ``/api``
    (the adapter adds that).

    Raises:
        UsageError: not an http(s) address, a password in it, or plain http off loopback without ``insecure_http``.
    """
    origin_of(url)
    parts = urlsplit(url)
    if parts.username or parts.password:
        raise UsageError("an address with a user or password in it is not taken", "give the token with --token-stdin")
    if parts.scheme == "http" and not insecure_http and not is_loopback(parts.hostname or ""):
        raise UsageError(
            f"plain http would send the token to {parts.hostname} unencrypted", "use https, or add --insecure-http"
        )
    prefix = parts.path.rstrip("/").removesuffix("/api").rstrip("/")
    return urlunsplit((parts.scheme, parts.netloc.lower(), prefix, "", ""))


def _without_secrets(url: str) -> str:
    return url.rsplit("@", 1)[-1]
