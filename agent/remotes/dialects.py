"""The factory of adapters: the dialect of an account chooses the adapter. No other place builds one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from agent.core.errors import UsageError
from agent.remotes.dialect_parts import AdapterOptions as AdapterOptions
from agent.remotes.dialect_parts import Dialect
from agent.remotes.http.address import PlainHttp
from agent.remotes.http.client import HttpClient
from agent.remotes.issued_tokens import IssuedTokens
from agent.remotes.protocol import Remote
from agent.remotes.wrappers import ObservedRemote, Observer, log_call


def _raven() -> Dialect:
    from agent.remotes.raven.dialect import RAVEN

    return RAVEN


def _scaidrive() -> Dialect:
    from agent.remotes.scaidrive.dialect import SCAIDRIVE

    return SCAIDRIVE


def _pinakes() -> Dialect:
    from agent.remotes.pinakes.dialect import PINAKES

    return PINAKES


_DIALECTS: Final[dict[str, Callable[[], Dialect]]] = {"raven": _raven, "scaidrive": _scaidrive, "pinakes": _pinakes}
"""Return the parts of a dialect, by the name in the account. A new dialect is one more entry.

Imported when an account has it: most machines speak one dialect, and the others cost memory and time at each start.
"""


_DEFAULTS: Final = AdapterOptions()


def open_remote(
    dialect: str,
    url: str,
    token: Callable[[], str],
    workspace: str,
    *,
    name: str = "",
    ca_file: str = "",
    pin: str = "",
    insecure_http: bool = False,
    options: AdapterOptions = _DEFAULTS,
    observers: Sequence[Observer] = (),
) -> Remote:
    """Return an adapter for the server at ``url``. Nothing is sent before its first call. Each call is logged.

    Args:
        dialect: the name of the server's protocol, as the account has it.
        token: called before every request; "" means that there is none.
        workspace: the id of the account's workspace.
        name: the account's name, shown in messages beside the address.
        ca_file: a file of certificates to trust beside the system's; empty for none.
        pin: sha256 of the one certificate to accept; empty to check it by its name.
        insecure_http: allow plain http to another machine.
        options: see ``AdapterOptions``.
        observers: take a record of each call when it ends.

    Raises:
        UsageError: the dialect or its hash is not known, or the address, the proxy or ``ca_file`` cannot be used.
    """
    parts = _parts(dialect)
    http = _client(parts, url, token, workspace, name, ca_file, pin, insecure_http=insecure_http)
    return ObservedRemote(parts.adapter(http, options), log_call, *observers)


def renew_tokens(
    dialect: str,
    url: str,
    refresh: str,
    *,
    name: str = "",
    ca_file: str = "",
    pin: str = "",
    insecure_http: bool = False,
) -> IssuedTokens:
    """Exchange a refresh token for a new pair. The arguments are those of ``open_remote``.

    Raises:
        UsageError: the dialect's tokens are not renewed, or the address cannot be used.
        RemoteError: SIGNED_OUT if the server does not take the token; any other failed call.
    """
    parts = _parts(dialect)
    if parts.renew is None:
        raise UsageError(f"tokens of the dialect {dialect!r} are not renewed", "give an access token")
    return parts.renew(
        lambda token: _client(parts, url, token, "", name, ca_file, pin, insecure_http=insecure_http), refresh
    )


def extends_session(dialect: str) -> bool:
    """Return True if an access token of the dialect is renewed by itself, without a refresh token."""
    return _parts(dialect).extends


def sources_overlap(dialect: str, one: str, other: str) -> bool:
    """Return True if two sources of one account have files in common, so that only one of them may be linked."""
    return _parts(dialect).overlap(one, other)


def require_dialect(dialect: str) -> None:
    """Raise UsageError if this release does not know the dialect."""
    _parts(dialect)


def _parts(dialect: str) -> Dialect:
    load = _DIALECTS.get(dialect)
    if load is None:
        known = ", ".join(sorted(_DIALECTS))
        raise UsageError(f"this release does not speak the dialect {dialect!r}", f"it speaks: {known}")
    return load()


def _client(
    parts: Dialect,
    url: str,
    token: Callable[[], str],
    workspace: str,
    name: str,
    ca_file: str,
    pin: str,
    *,
    insecure_http: bool,
) -> HttpClient:
    plain = PlainHttp.ALLOW if insecure_http else PlainHttp.REFUSE
    trusted = Path(ca_file) if ca_file else None
    return HttpClient(url, token, parts.profile(workspace), name=name, ca_file=trusted, pin=pin, plain_http=plain)
