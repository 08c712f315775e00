"""Read the clock and the certificate of a server with one GET, without an account and without a token."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final

import httpx

from agent.remotes.http.address import WRONG_CERTIFICATE, PinnedContext
from agent.remotes.http.failures import HTTPX_ERRORS, of_exception

PROBE_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Probe:
    """The result of a probe.

    Attributes:
        skew: seconds by which the server's clock is ahead of ours, within one second; None without a Date header.
        protocol: the version of the encryption, as ``TLSv1.3``; None without encryption.
        certificate_ends: the time when the certificate expires, seconds since the epoch.
    """

    skew: float | None
    protocol: str | None
    certificate_ends: float | None


def probe(
    url: str,
    ca_file: Path | None = None,
    pin: str = "",
    *,
    trust_env: bool = True,
    clock: Callable[[], float] = time.time,
    server: str = "the server",
) -> Probe:
    """Probe the server at ``url``; any answer will do.

    Args:
        ca_file: certificates to trust beside the system's.
        pin: sha256 of the one certificate to accept; empty to check it by its name.
        trust_env: use the proxy that the environment names.
        server: the server in words: its name and address.

    Raises:
        RemoteCallError: it cannot be reached, or its certificate is not trusted.
        OSError: ``ca_file`` cannot be read.
    """
    trust = PinnedContext.for_pin(pin) if pin else ssl.create_default_context()
    if ca_file is not None and not pin:
        trust.load_verify_locations(ca_file)
    began = clock()
    try:
        with (
            httpx.Client(verify=trust, trust_env=trust_env, timeout=PROBE_SECONDS) as client,
            client.stream("GET", url) as response,
        ):
            middle = (began + clock()) / 2
            session = _session(response)
            if isinstance(trust, PinnedContext) and not (session is not None and trust.accepts(session)):
                raise httpx.ConnectError(WRONG_CERTIFICATE)
            protocol, ends = _encryption(session)
            return Probe(_skew(response.headers.get("date", ""), middle), protocol, ends)
    except HTTPX_ERRORS as error:
        raise of_exception(error, 0, 1, server) from error


def _skew(date: str, now: float) -> float | None:
    try:
        # The header has whole seconds: the middle of the second is the best estimate.
        return parsedate_to_datetime(date).timestamp() + 0.5 - now
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _session(response: httpx.Response) -> ssl.SSLSocket | ssl.SSLObject | None:
    stream = response.extensions.get("network_stream")
    # Through an encrypted proxy there is no socket of the session, only the object.
    ends = [stream.get_extra_info(name) for name in ("socket", "ssl_object")] if stream is not None else []
    return next((end for end in ends if isinstance(end, ssl.SSLSocket | ssl.SSLObject)), None)


def _encryption(session: ssl.SSLSocket | ssl.SSLObject | None) -> tuple[str | None, float | None]:
    if session is None:
        return None, None
    certificate = session.getpeercert() or {}
    end = certificate.get("notAfter")
    return session.version(), ssl.cert_time_to_seconds(end) if isinstance(end, str) else None
