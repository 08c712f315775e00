"""The parts of a dialect, which its own package puts together in ``dialect.py``."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from agent.remotes.book import BookOf, no_books
from agent.remotes.http.client import HttpClient
from agent.remotes.http.profile import ApiProfile
from agent.remotes.issued_tokens import IssuedTokens, SecretStore
from agent.remotes.protocol import Remote


class AdapterOptions(NamedTuple):
    """Values that some dialects need beside the connection.

    Attributes:
        books: returns what the index knows of a source; used by dialects that translate its ids or hashes.
        content_hash: algorithm of the content hashes of a server that does not state it; empty for the usual one.
        device_secret: keeps the device's token over restarts, where the server issues one; None: until the end.
    """

    books: BookOf = no_books
    content_hash: str = ""
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
