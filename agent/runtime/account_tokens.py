"""The token of one account, renewed before it ends.

A refresh token can be used once. The new pair is therefore durable before its first use. If the answer to a renewal is
lost, the old refresh token is sent again later; the server may then refuse it, and the person must sign in again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from agent.core.errors import Problem, ProblemKind, RemoteError
from agent.remotes.http.failures import RemoteCallError, SideEffect
from agent.remotes.issued_tokens import IssuedTokens
from agent.remotes.wrappers import CallRecord
from agent.settings.credentials import CredentialStore, Token
from agent.settings.links import ServerEntry
from agent.settings.token_pair import TokenPair

log = logging.getLogger(__name__)

_AGAIN_SECONDS: Final = 30.0
"""Seconds between two renewals of one account, however often its token is refused."""


class AccountTokens:
    """Reads and renews the token of one account. Safe to use from several threads; one renewal runs at a time.

    Args:
        entry: returns the account as it is now.
        renew: exchanges the refresh token of an account. Raises RemoteError.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        credentials: CredentialStore,
        entry: Callable[[], ServerEntry],
        renew: Callable[[ServerEntry, str], IssuedTokens],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._credentials = credentials
        self._entry = entry
        self._renew = renew
        self._clock = clock
        self._lock = threading.Lock()
        self._refused_access = ""
        """The access token that the server refused last."""
        self._spent_refresh = ""
        """The refresh token that the server refused. It is not sent again."""
        self._used_access = ""
        self._unstored: tuple[str, TokenPair] | None = None
        """The spent refresh token and the pair that replaces it, while the pair could not be stored."""
        self._next_try = 0.0

    def current(self) -> Token | None:
        """Return the token for the next call, renewed if it is due; None if there is none.

        Raises:
            CredentialsError: the token cannot be read, or a new one cannot be stored.
            RemoteError: the token has ended and could not be renewed.
        """
        found = self._credentials.token_for(self._entry())
        if found is None or found.stored is None:
            return found
        with self._lock:
            # Another thread may have renewed it meanwhile.
            found = self._credentials.token_for(self._entry())
            if found is not None and found.stored is not None:
                found = self._renewed(found, found.stored)
            self._used_access = "" if found is None else found.value
            return found

    def observe(self, record: CallRecord) -> None:
        """Take the end of a call: a refused token is renewed before the next one."""
        if record.problem is not None and record.problem.kind is ProblemKind.SIGNED_OUT:
            self._refused_access = self._used_access

    def _renewed(self, found: Token, pair: TokenPair) -> Token:
        now = self._clock()
        if self._unstored is not None and self._unstored[0] == pair.refresh:
            # The server knows only the newer pair: losing it would end the sign-in.
            return self._store(self._unstored[1])
        refused = bool(pair.access) and pair.access == self._refused_access
        if not (refused or pair.is_due(now)) or now < self._next_try:
            return self._if_usable(found, pair, now)
        if not pair.refresh or pair.refresh == self._spent_refresh:
            return self._if_usable(found, pair, now)
        self._next_try = now + _AGAIN_SECONDS
        entry = self._entry()
        try:
            issued = self._renew(entry, pair.refresh)
        except RemoteError as error:
            if error.problem.kind is ProblemKind.SIGNED_OUT:
                self._spent_refresh = pair.refresh
            if pair.is_usable(now) and not refused:
                log.warning("the token of %s could not be renewed: %s", entry.name, error.message)
                return found
            raise
        made = TokenPair(issued.access, issued.refresh, now, now + issued.seconds)
        self._unstored = (pair.refresh, made)
        return self._store(made)

    def _store(self, made: TokenPair) -> Token:
        """Make the pair durable before its first use. Raises CredentialsError; it is stored by a later call then."""
        entry = self._entry()
        origin = self._credentials.store(entry, made.to_text())
        self._unstored = None
        if made.access == self._refused_access:
            # A session that was extended keeps its token, which is good again.
            self._refused_access = ""
        log.info("the token of %s was renewed", entry.name)
        return Token(made.access, origin, made.ends_at, stored=made)

    def _if_usable(self, found: Token, pair: TokenPair, now: float) -> Token:
        if pair.is_usable(now) and (pair.refresh != self._spent_refresh or pair.access != self._refused_access):
            return found
        if pair.refresh != self._spent_refresh:
            # A renewal failed a moment ago.
            problem = Problem(ProblemKind.OFFLINE, f"the token of {self._entry().name} could not be renewed yet")
            raise RemoteCallError(problem, SideEffect.NONE)
        words = f"the sign-in of {self._entry().name} has ended: {self._entry().login_hint}"
        raise RemoteCallError(Problem(ProblemKind.SIGNED_OUT, words), SideEffect.NONE)
