"""The factory of adapters: the dialect of an account chooses the adapter. No other place builds one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from agent.core.errors import UsageError
from agent.remotes.book import BookOf, no_books
from agent.remotes.http.address import PlainHttp
from agent.remotes.http.client import HttpClient
from agent.remotes.http.profile import ApiProfile
from agent.remotes.issued_tokens import IssuedTokens, SecretStore
from agent.remotes.pinakes.adapter import PinakesRemote
from agent.remotes.pinakes.hashing import SHA256
from agent.remotes.pinakes.profile import pinakes_profile
from agent.remotes.pinakes.scope import sources_overlap as pinakes_overlap
from agent.remotes.pinakes.tokens import extend
from agent.remotes.protocol import Remote
from agent.remotes.raven.adapter import RavenRemote
from agent.remotes.raven.profile import raven_profile
from agent.remotes.scaidrive.adapter import ScaiDriveRemote
from agent.remotes.scaidrive.profile import scaidrive_profile
from agent.remotes.scaidrive.tokens import renew
from agent.remotes.wrappers import ObservedRemote, Observer, log_call


class AdapterOptions(NamedTuple):
    """Values that some dialects need beside the connection.

    Attributes:
        books: returns what the index knows of a source; used by dialects that translate its ids or hashes.
        content_hash: algorithm of the server's content hashes, where that is not known.
        device_secret: keeps the device's token over restarts, where the server issues one; None: until the end.
    """

    books: BookOf = no_books
    content_hash: str = SHA256
    device_secret: SecretStore | None = None


def _never(one: str, other: str) -> bool:
    return False


class Dialect(NamedTuple):
    """The parts of one dialect.

    Attributes:
        profile: returns the conventions of its HTTP API for a workspace.
        adapter: returns its adapter over a client.
        renew: exchanges a refresh token, given a function that returns a client; None if its tokens are not renewed.
        extends: the access token itself is renewed, and there is no refresh token.
        overlap: returns True if two sources have files in common.
    """

    profile: Callable[[str], ApiProfile]
    adapter: Callable[[HttpClient, AdapterOptions], Remote]
    renew: Callable[[Callable[[Callable[[], str]], HttpClient], str], IssuedTokens] | None = None
    extends: bool = False
    overlap: Callable[[str, str], bool] = _never


def _pinakes(http: HttpClient, options: AdapterOptions) -> Remote:
    return PinakesRemote(http, options.books, algorithm=options.content_hash, secret=options.device_secret)


_DIALECTS: Final = {
    "raven": Dialect(raven_profile, lambda http, _: RavenRemote(http)),
    "scaidrive": Dialect(scaidrive_profile, lambda http, options: ScaiDriveRemote(http, options.books), renew),
    "pinakes": Dialect(pinakes_profile, _pinakes, extend, extends=True, overlap=pinakes_overlap),
}
"""The dialects, by the name in the account. A new dialect is one more entry."""


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
    parts = _DIALECTS.get(dialect)
    if parts is None:
        known = ", ".join(sorted(_DIALECTS))
        raise UsageError(f"this release does not speak the dialect {dialect!r}", f"it speaks: {known}")
    return parts


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
