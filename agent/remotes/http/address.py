"""The address of a server, and the certificates it is trusted by."""

from __future__ import annotations

import enum
import hashlib
import hmac
import ssl
from pathlib import Path
from typing import Final

import httpx

from agent.core.errors import UsageError
from agent.core.net import is_loopback

WRONG_CERTIFICATE: Final = "the certificate is not the pinned one"
"""Text of the error for a server with another certificate than the pinned one."""


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


class PinnedContext(ssl.SSLContext):
    """TLS settings that accept one certificate and no other, whatever its name, its issuer and its dates.

    Attributes:
        pin: sha256 of the certificate in hexadecimal.
    """

    pin: str

    @classmethod
    def for_pin(cls, pin: str) -> PinnedContext:
        """Return the settings for the certificate with this hash."""
        made = cls(ssl.PROTOCOL_TLS_CLIENT)
        # The library would check names and issuers, which such a certificate does not have. ``accepts`` checks more.
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
        made.pin = pin.lower()
        return made

    def accepts(self, session: ssl.SSLSocket | ssl.SSLObject) -> bool:
        """Return True if the other side of a session has proved the pinned certificate."""
        # By position: the library's inner object, which some layers give out, takes no keywords.
        found = session.getpeercert(True)
        return found is not None and hmac.compare_digest(hashlib.sha256(found).hexdigest(), self.pin)


def trusted_certificates(ca_file: Path | None, pin: str = "") -> ssl.SSLContext:
    """Return the system's certificates, and those of ``ca_file``; for a ``pin`` the one certificate with that sha256.

    Raises:
        UsageError: the file cannot be read.
    """
    if pin:
        return PinnedContext.for_pin(pin)
    context = ssl.create_default_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except (OSError, ssl.SSLError) as exc:
            raise UsageError(f"cannot read certificates from {ca_file}") from exc
    return context
