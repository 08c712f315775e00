"""An account of the hub's third API in this process: its requests, and what other people do to its files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from agent.hub.answers import HubError
from agent.hub.auth import JwtTokens, mint
from agent.hub.domain.contents import received_content, row_of, type_of
from agent.hub.domain.ids import new_uuid
from agent.hub.domain.model import Caller, NewId, VersionOrigin
from agent.hub.domain.ports import Growth, StoreSession
from agent.hub.pinakes.context import PinakesContext, account_of, account_source, account_writer
from agent.hub.pinakes.face import PinakesFace, match
from agent.hub.pinakes.hashes import ContentHashes
from agent.hub.raven.endpoints import Hub
from agent.hub.store.blobs import TableBlobs
from agent.hub.store.sql_store import SqlStore
from hub.fixtures import SECRET, STRANGER, USER, WORKSPACE
from strict_raven.wire import Response

CHUNK = 8
"""Bytes of a chunk, so that small contents are uploads of several."""
LARGEST = 4096
"""Bytes of the largest file that this hub takes."""
CALLER = Caller(USER, WORKSPACE)
_LAST = "\U0010ffff"
_MANY = 10_000


class HubAccount:
    """One user's account.

    Args:
        clock: seconds since the epoch.
        days: life of the bearer token.

    Attributes:
        bearer: a token of the user.
    """

    def __init__(
        self, store: SqlStore, clock: Callable[[], float], algorithm: str, days: float, new_id: NewId = new_uuid
    ) -> None:
        self.store = store
        self._clock = clock
        self._new_id = new_id
        tokens = JwtTokens(SECRET)
        self._hub = Hub(store, self._now, new_id, tokens=tokens)
        blobs = TableBlobs(store)
        self.context = PinakesContext(
            store, blobs, self._now, new_id, lambda _: None, ContentHashes(store, blobs, algorithm),
            lambda token: tokens.signed_in(token, self._now()), lambda _: False, new_id, CHUNK, LARGEST,
        )  # fmt: skip
        self._face = PinakesFace(self.context)
        self.bearer = mint(SECRET, workspace=WORKSPACE, user=USER, now=self._now(), days=days)

    def _now(self) -> int:
        return int(self._clock() * 1000)

    def handle(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Response:
        """Answer one request; header names are lower case."""
        plain, _, query = path.partition("?")
        found = match(method, unquote(plain))
        if found is None:
            return Response(404, {"content-type": "application/json"}, b'{"error":"not here"}')
        try:
            caller = self._hub.signed_in(headers)
        except HubError as error:
            answer = self._face.failed(error)
        else:
            answer = self._face.handle(found, caller, query, headers, body, limited=False)
        return Response(answer.status, answer.headers, answer.read())

    def hash(self, content: bytes) -> str:
        """A content's hash in the algorithm of this API."""
        made = self.context.hashes.new()
        made.update(content)
        return made.hexdigest()

    def reading(self, act: Callable[[StoreSession, Any], Any], default: Any) -> Any:
        """What a reader of the account finds, in one snapshot; the default while there is no account."""
        account_of(self.context, CALLER)

        def read() -> Any:
            with self.store.read() as session:
                source = account_source(self.context, session, CALLER)
                return default if source is None else act(session, source)

        return self.context.hashes.retrying(read)

    # What other people do

    def put(self, path: str, content: bytes) -> None:
        """Create or replace a file."""
        received = received_content(self.context.blobs, self._new_id, content)
        with account_writer(self.context, CALLER) as (session, transaction):
            transaction.load_heads([path])
            row = row_of(self.context.blobs, session, transaction.source.workspace_number, received)
            if row is not None:
                transaction.add_content(received.hash, row)
            transaction.upsert(
                path, received.hash, VersionOrigin.CONNECTOR, self._new_id(), hidden=received.hidden,
                content_type=type_of(path, None, hidden=received.hidden), detail={"by": STRANGER},
            )  # fmt: skip

    def remove(self, path: str) -> None:
        """Delete a file."""
        with account_writer(self.context, CALLER, Growth.SMALL) as (_, transaction):
            transaction.load_heads([path])
            transaction.delete(path, self._new_id(), detail={"by": STRANGER})

    def move(self, moves: Mapping[str, str]) -> None:
        """Move files to free paths, in one transaction."""
        with account_writer(self.context, CALLER, Growth.SMALL) as (_, transaction):
            for old, new in moves.items():
                transaction.load_heads([old, new])
                transaction.move(old, new, self._new_id(), {"by": STRANGER})

    # What there is

    def heads(self) -> dict[str, bytes]:
        """Path -> content of every file."""

        def read(session: StoreSession, source: Any) -> dict[str, bytes]:
            found: dict[str, bytes] = {}
            for each in session.files_below(source.number, "", _LAST, _MANY):
                content = session.content_bytes(source.workspace_number, each.head.hash or "")
                assert content is not None
                found[each.head.path] = content
            return found

        return dict(self.reading(read, {}))

    def snapshot(self) -> bytes:
        """A copy of all it holds."""
        return self.store.snapshot()

    def restore(self, copy: bytes) -> None:
        """Hold what a copy holds, and nothing else."""
        self.store.restore(copy)
        self.context.accounts.clear()
