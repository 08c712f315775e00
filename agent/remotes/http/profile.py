"""The conventions of one dialect's HTTP API, as data: paths, headers, envelope, and the meaning of refusals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from msgspec import Struct

from agent.core.errors import ProblemKind


class Refusal(NamedTuple):
    """The meaning of an answer outside 2xx.

    Attributes:
        kind: decides what happens next.
        sentence: for people, with ``{server}`` for the server's name and address.
        complete: the status and the server's own words add nothing to the sentence.
    """

    kind: ProblemKind
    sentence: str
    complete: bool = False


Unwrap = Callable[[Any], Any]
"""Returns the data inside a decoded answer. Raises GARBLED if the envelope contradicts itself."""

Meaning = Callable[[int, str, Any], Refusal | None]
"""Returns the meaning of (status, endpoint, decoded body), or None for the general meaning of the status.

The endpoint is the one of the request, without ids. The body is None if it is no JSON.
"""

Words = Callable[[Any], str | None]
"""Returns the server's own words from a decoded error body; None if there are none."""


def bare(value: Any) -> Any:
    """Return the answer itself: it has no envelope."""
    return value


def general(status: int, endpoint: str, body: Any) -> Refusal | None:
    """Return None: every status has its general meaning."""
    return None


def words_of(body: Any) -> str | None:
    """Return the words under ``message``, ``detail`` or ``error``, in the forms that are common."""
    if not isinstance(body, dict):
        return None
    for key in ("message", "detail", "error"):
        found = _joined(body.get(key))
        if found:
            return found
    return None


def _joined(value: Any) -> str | None:
    match value:
        case str():
            return value
        case list():
            return "; ".join(text for item in value if (text := _joined(item)))
        case {"message": str(text)} | {"msg": str(text)}:
            return text
    return None


class ApiProfile(Struct, frozen=True):
    """Conventions of one dialect's HTTP API.

    Attributes:
        base_path: path between the server's address and an endpoint; it ends with "/".
        address_ending: ending that a person may add to the address, and that ``base_path`` begins with.
        headers: sent with every request beside the token.
        unwrap: see ``Unwrap``.
        list_key: the key of the list in the envelope of a streamed list.
        content_fields: fields with the text of a file. A token in them is not replaced, as they must match their hash.
        path_fields: fields with the path of a file. An answer with the token in them is refused.
        meaning: see ``Meaning``.
        words: see ``Words``.
        hangs_up_above: bytes of a request above which a connection that breaks means that the server refused the size;
            None if it does not mean that.
        rate_limited: the answers state how many calls are left, in ``X-RateLimit-*``.
    """

    base_path: str
    address_ending: str = ""
    headers: Mapping[str, str] = MappingProxyType({})
    unwrap: Unwrap = bare
    list_key: bytes = b"data"
    content_fields: frozenset[str] = frozenset()
    path_fields: frozenset[str] = frozenset()
    meaning: Meaning = general
    words: Words = words_of
    hangs_up_above: int | None = None
    rate_limited: bool = False


PLAIN: Final = ApiProfile("")
"""An API without any convention of its own."""
