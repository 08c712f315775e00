"""One look at a server without an account: its clock and its certificate. No token is sent and nothing is asked for."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final

import httpx

from agent.remotes.http.failures import HTTPX_ERRORS, of_exception

PROBE_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Probe:
    """What was found.

    Attributes:
        skew: seconds by which the server's clock is ahead of ours, give or take one; None where it tells no time.
        protocol: of the encryption, as ``TLSv1.3``; None where there is none.
        certificate_ends: when the certificate expires, seconds since the epoch.
    """

    skew: float | None
    protocol: str | None
    certificate_ends: float | None


def probe(
    url: str, ca_file: Path | None = None, *, trust_env: bool = True, clock: Callable[[], float] = time.time
) -> Probe:
    """Look at the server at ``url``, whatever it answers.

    Args:
        ca_file: certificates to trust beside the system's.
        trust_env: whether a proxy named by the environment is used.

    Raises:
        CallFailed: it cannot be reached, or its certificate is not trusted.
        OSError: ``ca_file`` cannot be read.
    """
    trust = ssl.create_default_context()
    if ca_file is not None:
        trust.load_verify_locations(ca_file)
    began = clock()
    try:
        with (
            httpx.Client(verify=trust, trust_env=trust_env, timeout=PROBE_SECONDS) as client,
            client.stream("GET", url) as response,
        ):
            between = (began + clock()) / 2
            protocol, ends = _encryption(response)
            return Probe(_skew(response.headers.get("date", ""), between), protocol, ends)
    except HTTPX_ERRORS as error:
        raise of_exception(error, 0, 1) from error


def _skew(date: str, now: float) -> float | None:
    try:
        # The header is cut to whole seconds: its middle is the best guess.
        return parsedate_to_datetime(date).timestamp() + 0.5 - now
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _encryption(response: httpx.Response) -> tuple[str | None, float | None]:
    stream = response.extensions.get("network_stream")
    # Through a proxy's own encryption there is no socket for it, only the object.
    ends = [stream.get_extra_info(name) for name in ("socket", "ssl_object")] if stream is not None else []
    session = next((end for end in ends if isinstance(end, ssl.SSLSocket | ssl.SSLObject)), None)
    if session is None:
        return None, None
    certificate = session.getpeercert() or {}
    end = certificate.get("notAfter")
    return session.version(), ssl.cert_time_to_seconds(end) if isinstance(end, str) else None
