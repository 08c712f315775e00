"""The port between the ASGI application and an API beside Raven's: one face of the hub."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from agent.hub.answers import Response
from agent.hub.domain.model import Caller

_SLASHES: Final = re.compile("/{2,}")


class FaceRoute(Protocol):
    """The properties of an endpoint that the application needs."""

    @property
    def name(self) -> str:
        """Name in metrics, logs and the OpenAPI tables."""

    @property
    def body_limit(self) -> int:
        """Bytes of the largest body."""

    @property
    def writes(self) -> bool:
        """True if it takes the database's write lock."""

    @property
    def needs_token(self) -> bool:
        """True if only a signed-in caller may use it."""


class FaceMatch(Protocol):
    """The endpoint of a request, and the variable parts of its path."""

    @property
    def route(self) -> FaceRoute:
        """The endpoint."""

    @property
    def ids(self) -> tuple[str, ...]:
        """The variable parts."""


class ApiFace(Protocol):
    """One API on the hub's store. It neither waits nor knows HTTP libraries."""

    def match(self, method: str, path: str) -> FaceMatch | None:
        """Return the endpoint of a request, or None if it is none of this API."""

    def description(self, path: str) -> bytes | None:
        """Return the OpenAPI document at a path, which needs no token, or None."""

    def made_token(self, token: str) -> bool:
        """Return True if a token has the form of those that this API gives out itself."""

    def session_caller(self, token: str) -> Caller | None:
        """Return the caller of such a token, or None if it is not valid. Queries the database."""

    def handle(
        self, found: FaceMatch, caller: Caller, query: str, headers: Mapping[str, str], body: bytes, *, limited: bool
    ) -> Response:
        """Answer one request of an authorized caller. Header names are lower case.

        Args:
            limited: the rate limit is enforced.
        """

    def failed(self, error: Exception) -> Response:
        """Return the response to an exception. The cause of a failure of the hub itself is not shown to the client."""


def clean_path(path: str) -> str:
    """Return a path without doubled and trailing slashes."""
    return _SLASHES.sub("/", path).removesuffix("/")


def face_of(faces: Sequence[ApiFace], method: str, path: str) -> tuple[ApiFace, FaceMatch] | None:
    """Return the API and the endpoint of a request, or None if it is of none of them."""
    for face in faces:
        found = face.match(method, path)
        if found is not None:
            return face, found
    return None


def description_of(faces: Sequence[ApiFace], method: str, path: str) -> bytes | None:
    """Return the OpenAPI document that a request asks for, or None."""
    documents = (face.description(path) for face in faces if method in ("GET", "HEAD"))
    return next((document for document in documents if document is not None), None)
