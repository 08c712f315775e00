"""Tell the dialect of a server by the refusals of requests that carry no token."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import httpx
import orjson

from agent.core.errors import UsageError
from agent.core.net import is_loopback
from agent.remotes.http.failures import HTTPX_ERRORS, of_exception

AUTO: Final = "auto"
"""In place of a dialect: the server is asked."""
_SECONDS: Final = 10.0
_MAX_ANSWER: Final = 64 * 1024
_UNAUTHORIZED: Final = 401


class _Trait(NamedTuple):
    """A request that only servers of one dialect refuse in this form.

    Attributes:
        field: a field of the refusal that no other dialect has.
    """

    dialect: str
    method: str
    path: str
    field: str


_TRAITS: Final = (
    _Trait("raven", "POST", "/api/local-sync/sources/list", "statusCode"),
    _Trait("scaidrive", "GET", "/api/v1/users/me", "detail"),
    _Trait("pinakes", "GET", "/api/sync/devices", "error"),
    _Trait("pinakes", "GET", "/api/v1/sync/devices", "error"),
)
"""In this order, as a server may have several APIs: the one with the most promises first."""


def detect_dialect(url: str, ca_file: str = "") -> str:
    """Return the dialect of the server at ``url``. No request carries a token.

    Raises:
        UsageError: the server answers in none of the known forms.
        RemoteError: it cannot be reached, or its certificate is not trusted.
    """
    trust = ssl.create_default_context()
    if ca_file:
        trust.load_verify_locations(Path(ca_file))
    proxied = not is_loopback(urlsplit(url).hostname or "")
    try:
        with httpx.Client(verify=trust, trust_env=proxied, timeout=_SECONDS) as client:
            found = next((each.dialect for each in _TRAITS if _has(client, url.rstrip("/"), each)), None)
    except HTTPX_ERRORS as error:
        raise of_exception(error, 0, None, url) from error
    if found is None:
        known = ", ".join(dict.fromkeys(each.dialect for each in _TRAITS))
        raise UsageError(f"{url} answers like none of the known servers", f"choose --dialect: {known}")
    return found


def _has(client: httpx.Client, url: str, trait: _Trait) -> bool:
    body = b"{}" if trait.method == "POST" else None
    headers = {"accept": "application/json", "accept-encoding": "identity", "content-type": "application/json"}
    with client.stream(trait.method, url + trait.path, content=body, headers=headers) as answer:
        if answer.status_code != _UNAUTHORIZED:
            return False
        received = bytearray()
        for piece in answer.iter_bytes():
            received += piece
            if len(received) > _MAX_ANSWER:
                return False
    return trait.field in _fields(bytes(received))


def _fields(body: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
