"""Checks of each account: its token, its server's address, clock and certificate, and the server's features."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from agent.core.errors import AgentError, ProblemKind, RemoteError
from agent.core.humanize import count_of
from agent.core.net import is_loopback
from agent.doctor.rows import CheckRow, failed, ok, unknown
from agent.remotes.dialects import AdapterOptions, open_remote
from agent.remotes.http.probe import Probe, probe
from agent.remotes.protocol import Capabilities, Remote
from agent.runtime.device_secret import StoredDeviceSecret
from agent.runtime.machine_names import needs_rename
from agent.runtime.server_session import EXPIRY_UNCLEAR, expiry_words
from agent.settings.credentials import CredentialStore
from agent.settings.links import LOCAL_ACCOUNTS, ServerEntry
from agent.settings.settings import Settings

SKEW_SECONDS: Final = 60.0
"""Seconds: with a larger difference of the clocks, tokens seem expired or not yet valid."""
CERTIFICATE_DAYS: Final = 14
"""Days: a certificate that ends sooner was not renewed automatically."""

_NO_ANSWER: Final = "the server was not reached"
_OLD_NAME: Final = "the server may show a former name: it cannot rename a machine, or was not reached since"


def account(
    entry: ServerEntry,
    settings: Settings,
    credentials: CredentialStore,
    *,
    remote: Callable[[], tuple[Remote, Capabilities]] | None,
    max_bytes: int | None,
    register: Callable[[Remote], None] | None = None,
) -> Iterator[CheckRow]:
    """Make all checks of one account.

    Args:
        remote: returns the adapter of the running agent and the server's features; None if no agent runs.
        max_bytes: bytes of the largest content that the server takes; None until it is known.
        register: registers this machine as a connector, as the first ``link`` will; None if it is registered already.
    """
    if entry.name in LOCAL_ACCOUNTS and remote is None:
        yield unknown(f"server {entry.name}", "the embedded hub runs with the agent, and no agent runs")
        return
    if entry.name not in LOCAL_ACCOUNTS:
        yield _token(entry, credentials)
        yield from _line(entry, settings)
    if entry.connector_id is not None and needs_rename(entry, settings):
        yield unknown(f"name {entry.name}", _OLD_NAME)
    yield from _answers(entry, remote or (lambda: _own_remote(entry, settings, credentials)), max_bytes, register)


def _token(entry: ServerEntry, credentials: CredentialStore) -> CheckRow:
    check, login = f"credentials {entry.name}", entry.login_hint
    try:
        token = credentials.token_for(entry)
    except AgentError as error:
        return failed(check, error.message, error.hint or login)
    if token is None:
        return failed(check, entry.missing_token_message, login)
    place = f"from the {token.origin.value.replace('_', ' ')}"
    if token.stored is not None:
        return ok(check, f"a token {place}, which the agent renews by itself")
    if token.expires_at is None and token.expiry_unclear:
        return unknown(check, f"a token {place}: {EXPIRY_UNCLEAR}")
    if token.expires_at is None:
        return ok(check, f"a token {place}, which does not say when it ends")
    left = token.expires_at - time.time()
    words = expiry_words(entry.name, left)
    if words is not None:
        return failed(check, f"{words} ({place})", login)
    return ok(check, f"a token {place}, good for {int(left // 86400)} days")


def _line(entry: ServerEntry, settings: Settings) -> Iterator[CheckRow]:
    """Check the server's clock and certificate."""
    clock, tls = f"clock {entry.name}", f"tls {entry.name}"
    ca_file = Path(settings.ca_file) if settings.ca_file else None
    try:
        found = probe(
            entry.url,
            ca_file,
            entry.pin,
            trust_env=not is_loopback(urlsplit(entry.url).hostname or ""),
            server=f"{entry.name} ({entry.url})",
        )
    except RemoteError as error:
        yield unknown(clock, _NO_ANSWER)
        if "certificate" in error.message:
            repin = f'put the sha256 of its present certificate into {entry.declared_in}: pin = "…"'
            pinned = repin if entry.declared_in is not None else entry.login_hint
            renew = "have its certificate renewed, or name its authority: raven-agent config set ca_file FILE"
            remedy = pinned if entry.pin else error.hint or renew
            yield failed(tls, error.message, remedy)
        else:
            yield unknown(tls, _NO_ANSWER)
        return
    except (OSError, ssl.SSLError) as error:
        yield unknown(clock, _NO_ANSWER)
        remedy = f"raven-agent config set ca_file FILE, in place of {ca_file}"
        yield failed(tls, f"the certificates in {ca_file} cannot be used: {error}", remedy)
        return
    yield _skew(clock, found)
    yield _encryption(tls, entry, found)


def _skew(check: str, found: Probe) -> CheckRow:
    if found.skew is None:
        return unknown(check, "the server tells no time")
    side = "behind" if found.skew > 0 else "ahead of"
    if abs(found.skew) > SKEW_SECONDS:
        detail = f"this machine's clock is {abs(found.skew):.0f} s {side} the server's"
        return failed(check, detail, "set the clock, or have it set: timedatectl set-ntp true")
    return ok(check, "within a few seconds of the server's" if abs(found.skew) > 1 else "as the server's")


def _encryption(check: str, entry: ServerEntry, found: Probe) -> CheckRow:
    if found.protocol is None:
        if is_loopback(urlsplit(entry.url).hostname or ""):
            return ok(check, "not encrypted, and it does not leave this machine")
        if entry.insecure_http:
            return ok(check, "not encrypted, as was allowed with --insecure-http")
        return failed(check, "not encrypted: the token can be read on the way", "use the server's https address")
    if found.certificate_ends is None:
        return ok(
            check, f"{found.protocol}, the certificate of the hub that was joined" if entry.pin else found.protocol
        )
    days = (found.certificate_ends - time.time()) / 86400
    if days < CERTIFICATE_DAYS:
        return failed(check, f"the certificate ends in {max(days, 0):.0f} days", "have it renewed on the server")
    return ok(check, f"{found.protocol}, certificate good for {days:.0f} days")


def _own_remote(entry: ServerEntry, settings: Settings, credentials: CredentialStore) -> tuple[Remote, Capabilities]:
    def token() -> str:
        found = credentials.token_for(entry)
        return found.value if found else ""

    remote = open_remote(
        entry.dialect,
        entry.url,
        token,
        entry.workspace,
        name=entry.name,
        ca_file=settings.ca_file,
        pin=entry.pin,
        insecure_http=entry.insecure_http,
        options=AdapterOptions(
            content_hash=settings.pinakes_hash, device_secret=StoredDeviceSecret(credentials, lambda: entry)
        ),
    )
    return remote, Capabilities()


def _answers(
    entry: ServerEntry,
    connect: Callable[[], tuple[Remote, Capabilities]],
    max_bytes: int | None,
    register: Callable[[Remote], None] | None,
) -> Iterator[CheckRow]:
    """Check that the account works, by the calls that ``link`` will make.

    A workspace without sources answers with an empty list, in which the known upstream fault does not show. Only the
    registration shows it then, so it is made before the first link, and its connector is kept.
    """
    check = f"server {entry.name}"
    try:
        remote, can = connect()
        began = time.monotonic()
        sources = remote.sources()
        took = time.monotonic() - began
        if register is not None:
            register(remote)
    except RemoteError as error:
        detail = error.message if entry.url in error.message else f"{entry.url}: {error.message}"
        yield failed(check, detail, error.hint or _remedy(entry, error))
        yield unknown(f"capabilities {entry.name}", _NO_ANSWER)
        return
    except AgentError as error:
        yield failed(check, f"{entry.url}: {error.message}", error.hint or "raven-agent servers")
        return
    yield ok(check, f"{entry.url}: answers in {took * 1000:.0f} ms, {count_of(len(sources), 'source')}")
    limit = f"files up to {max_bytes} bytes" if max_bytes is not None else "no limit met yet (1 MiB a request is usual)"
    yield ok(f"capabilities {entry.name}", f"{_words(can)}; {limit}")


def _remedy(entry: ServerEntry, error: RemoteError) -> str:
    match error.problem.kind:
        case ProblemKind.SIGNED_OUT:
            return entry.login_hint
        case ProblemKind.UPSTREAM_FAULT:
            return "have the server updated: nothing on this side can help"
        case ProblemKind.OFFLINE | ProblemKind.BUSY:
            return f"check the network and that {entry.url} is up; work is queued meanwhile"
        case ProblemKind.FORBIDDEN:
            return f"ask for the permission on {entry.url}; work is queued meanwhile"
        case ProblemKind.NO_SPACE:
            return f"free space or have the quota raised on {entry.url}; work is queued meanwhile"
        case ProblemKind.NOT_FOUND:
            return f"check the address: {entry.url} has no local sync"
        case _:
            return f"look at what answers at {entry.url}; work is queued meanwhile"


def _words(can: Capabilities) -> str:
    offered = [
        words
        for has, words in (
            (can.item_results, "answers each item"),
            (can.ordered_feed, "orders its feed"),
            (can.long_poll, "can be waited on"),
            (can.keeps_history, "keeps history"),
        )
        if has
    ]
    return ", ".join(offered) if offered else "the plain protocol, as far as it said"
