"""Dependencies of the endpoints, the account of a workspace, the device of a request, and refusals."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, TypeVar

import msgspec

from agent.core.model import Mode
from agent.hub.answers import HubError
from agent.hub.auth import SignedIn
from agent.hub.domain.drive_model import Device
from agent.hub.domain.drive_ports import Blobs
from agent.hub.domain.locked_source import UnknownSource, locked_source
from agent.hub.domain.model import Caller, Clock, Connector, NewId, Source, SourceStatus
from agent.hub.domain.ports import Growth, Store, StoreSession
from agent.hub.domain.source_transaction import SourceTransaction
from agent.hub.domain.text import storable
from agent.hub.pinakes.hashes import ContentHashes
from agent.hub.pinakes.wire import DEVICE_TOKEN_HEADER

DEFAULT_CHUNK: Final = 4_194_304
LEAST_CHUNK: Final = 65_536
MOST_CHUNK: Final = 16_777_216
LARGEST_FILE: Final = 2**42
"""Bytes of the largest file, 4 TiB."""
SESSION_MS: Final = 24 * 3_600_000
"""Milliseconds by which a session is extended."""
ACCOUNT_NAME: Final = "pinakes"
"""Name of the source that is made for a workspace that has none."""
_PAUSED_SECONDS: Final = 60

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PinakesContext:
    """Dependencies of the endpoints.

    Attributes:
        committed: called with a source's id after a transaction that added events to it is durable.
        hashes: the hashes of contents, in the algorithm of this API.
        signed_in: returns the caller of one of the hub's tokens, None for an invalid one.
        is_revoked: returns True for the public id of a revoked token of the hub.
        new_token: makes a secret of at least 128 bits.
        chunk_size: bytes of a chunk of an upload if the client asks for no size.
        largest_file: bytes of the largest file that is taken.
        accounts: ids of the sources that are accounts, by workspace: a cache, as an account never changes.
    """

    store: Store
    blobs: Blobs
    clock: Clock
    new_id: NewId
    committed: Callable[[str], None]
    hashes: ContentHashes
    signed_in: Callable[[str], SignedIn | None]
    is_revoked: Callable[[str], bool]
    new_token: Callable[[], str]
    chunk_size: int = DEFAULT_CHUNK
    largest_file: int = LARGEST_FILE
    accounts: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PinakesRequest:
    """One request.

    Attributes:
        ids: the variable parts of its path, in order.
        query: the last value of each name.
        headers: by lower-case name.
    """

    caller: Caller
    ids: tuple[str, ...]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    def decoded(self, kind: type[T]) -> T:
        """Return the JSON body.

        Raises:
            HubError: 400 if it is none of this kind.
        """
        try:
            found = msgspec.json.decode(self.body, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise HubError(400, f"The body is not valid: {error}") from None
        if not _has_only_storable_texts(msgspec.to_builtins(found)):
            raise HubError(400, "A text must not contain NUL or lone surrogates")
        return found


def _has_only_storable_texts(value: object) -> bool:
    if isinstance(value, str):
        return storable(value)
    parts = value if isinstance(value, list) else value.values() if isinstance(value, dict) else ()
    return all(map(_has_only_storable_texts, parts))


def secret_hash(token: str) -> str:
    """Return the sha256 under which a token is stored."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def account_of(context: PinakesContext, caller: Caller) -> str | None:
    """Return the id of the source that is the workspace's account, or None while the workspace has no source.

    It is the oldest source in both directions, chosen when it is first needed. Reading makes none: a person who signs
    in here first and links a folder through another API then wants that source.
    """
    known = context.accounts.get(caller.workspace)
    if known is not None:
        return known
    with context.store.read() as session:
        number = session.account_source(caller.workspace)
        source = None if number is None else session.source_by_number(caller.workspace, number)
        has_sources = bool(_in_both_directions(session, caller))
    if source is not None:
        context.accounts[caller.workspace] = source.id
        return source.id
    return _choose(context, caller) if has_sources else None


def _choose(context: PinakesContext, caller: Caller) -> str:
    with context.store.write(Growth.SMALL) as session:
        source = _chosen(context, session, caller)
    context.accounts[caller.workspace] = source.id
    return source.id


def _in_both_directions(session: StoreSession, caller: Caller) -> list[Source]:
    return [each for each in session.sources(caller.workspace) if each.mode is Mode.BIDIRECTIONAL]


def _chosen(context: PinakesContext, session: StoreSession, caller: Caller) -> Source:
    number = session.locked_account(caller.workspace)
    found = None if number is None else session.source_by_number(caller.workspace, number)
    if found is None:
        both = _in_both_directions(session, caller)
        found = both[-1] if both else _made(context, session, caller)
        session.save_account(caller.workspace, found.number)
    return found


def _made(context: PinakesContext, session: StoreSession, caller: Caller) -> Source:
    now, connector, made = context.clock(), context.new_id(), context.new_id()
    # Raven's API shows a source with the connector that created it.
    session.add_connector(
        Connector(connector, caller.workspace, caller.user, ACCOUNT_NAME, ACCOUNT_NAME, None, now, now, now)
    )
    source = Source(
        0, made, caller.workspace, caller.user, ACCOUNT_NAME, Mode.BIDIRECTIONAL, connector, SourceStatus.ACTIVE,
        (), (), 0, 0, now, now,
    )  # fmt: skip
    session.add_source(source)
    found = session.source(caller.workspace, made)
    assert found is not None
    return found


def account_source(context: PinakesContext, session: StoreSession, caller: Caller) -> Source | None:
    """Return the workspace's account as a reader's snapshot has it. Call `account_of` before the snapshot begins."""
    known = context.accounts.get(caller.workspace)
    return None if known is None else session.source(caller.workspace, known)


@contextmanager
def account_writer(
    context: PinakesContext, caller: Caller, growth: Growth = Growth.CONTENT
) -> Iterator[tuple[StoreSession, SourceTransaction]]:
    """Open one transaction on the locked account. A workspace without a source gets one.

    Raises:
        HubError: 503 while the source is paused for all machines.
    """
    account = account_of(context, caller) or _choose(context, caller)
    try:
        with locked_source(context, caller.workspace, account, growth) as (session, transaction):
            if transaction.source.status is not SourceStatus.ACTIVE:
                raise HubError(503, f"The account is {transaction.source.status.value}", retry_after=_PAUSED_SECONDS)
            yield session, transaction
    except UnknownSource as missing:
        # It was deleted a moment ago; the next call chooses another one.
        raise HubError(503, "The account's source was deleted", retry_after=_PAUSED_SECONDS) from missing


def device_of(session: StoreSession, request: PinakesRequest) -> Device:
    """Return the device that a request names with its token.

    Raises:
        HubError: 401 without a valid token, and while the device is switched off.
    """
    token = request.headers.get(DEVICE_TOKEN_HEADER, "")
    caller = request.caller
    found = session.device_by_token(caller.workspace, caller.user, secret_hash(token)) if token else None
    if found is None:
        raise HubError(401, "The device token is missing or not valid")
    if not found.is_active:
        raise HubError(401, "The device is switched off")
    return found
