"""Requests of Pinakes' API: in the spelling that the server answers to, and in the name of this machine's device."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Protocol, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from agent.core.errors import Problem, ProblemKind
from agent.remotes.http.client import HttpClient
from agent.remotes.http.decode import DecodeLimits
from agent.remotes.http.download import download
from agent.remotes.http.failures import RemoteCallError, SideEffect
from agent.remotes.http.request import ApiRequest, ContentStream, encode_json
from agent.remotes.pinakes.profile import SPELLINGS
from agent.remotes.protocol import Sink

MISSING: Final = (ProblemKind.NOT_FOUND, ProblemKind.GONE)
DEVICE_HEADER: Final = "x-device-token"
_UNAUTHORIZED: Final = 401
_NOT_FOUND: Final = 404

T = TypeVar("T")


class PinakesLimits(Struct, frozen=True):
    """Sizes in bytes, and rows a page. Tests use small ones.

    Attributes:
        inline: the largest content that heads and pages carry.
        chunk: the size of a chunk to request; None lets the server choose.
        page: changes requested at once; the server's most is 1,000.
        contents: contents in bytes after which a page ends.
        together: changes in one report.
    """

    inline: int = 1 << 20
    chunk: int | None = None
    page: int = 500
    contents: int = 8 << 20
    together: int = 50


class DeviceTokens(Protocol):
    """The token by which this machine names itself to the server."""

    def token(self) -> str:
        """Return the token; "" if there is none yet."""
        ...

    def replaced(self, refused: str) -> str:
        """Return another token in place of a refused one; "" if there is none. Raises RemoteError."""
        ...


class PinakesCalls:
    """Single requests of one account. Safe to use from several threads.

    A request is sent again only if it was refused without an effect: under another spelling, or with a refused device
    token. Each happens once.
    """

    def __init__(self, http: HttpClient, limits: PinakesLimits) -> None:
        self._http = http
        self.limits = limits
        self.device: DeviceTokens | None = None
        self._spelling = SPELLINGS[0]
        self._confirmed = False

    # Requests of the device

    def get(
        self, endpoint: str, ids: tuple[str, ...] = (), query: Mapping[str, str | int] | None = None,
        limits: DecodeLimits = DecodeLimits.PAGE,
    ) -> Any:  # fmt: skip
        """Return the data of a GET."""
        return self.send(ApiRequest("GET", endpoint, ids, query or {}, limits=limits))

    def post(self, endpoint: str, ids: tuple[str, ...] = (), body: Mapping[str, Any] | None = None) -> Any:
        """Return the data of a POST."""
        encoded = None if body is None else encode_json(body)
        return self.send(ApiRequest("POST", endpoint, ids, body=encoded, limits=DecodeLimits.PAGE))

    def send(self, request: ApiRequest) -> Any:
        """Return the data of any request; None for an empty answer, where that is a success."""
        return self._in_spelling(request, lambda each: self._as_device(each, lambda one: self._http.request(one).data))

    def download(
        self, request: ApiRequest, size: int, offset: int, sink: Sink, accept: Callable[[Mapping[str, str]], None]
    ) -> None:
        """Stream a content; see ``remotes.http.download``."""

        def use(each: ApiRequest) -> None:
            download(self._http, each, size, offset, sink, accept)

        self._in_spelling(request, lambda each: self._as_device(each, use))

    @contextlib.contextmanager
    def stream(self, request: ApiRequest) -> Iterator[ContentStream]:
        """Send a request and give its answer in pieces; see ``HttpClient.stream``."""
        with contextlib.ExitStack() as stack:

            def use(each: ApiRequest) -> ContentStream:
                return stack.enter_context(self._http.stream(each))

            yield self._in_spelling(request, lambda each: self._as_device(each, use))

    # Requests of the account

    def send_as_account(
        self, method: str, endpoint: str, ids: tuple[str, ...] = (), body: Mapping[str, Any] | None = None
    ) -> Any:
        """Return the data of a request about devices, which names none."""
        encoded = None if body is None else encode_json(body)
        request = ApiRequest(
            method, endpoint, ids, body=encoded, limits=DecodeLimits.PAGE, may_be_empty=method == "DELETE"
        )
        return self._in_spelling(request, lambda each: self._http.request(each).data)

    def _in_spelling(self, request: ApiRequest, use: Callable[[ApiRequest], T]) -> T:
        spelling = self._spelling
        try:
            answer = use(replace(request, endpoint=spelling + request.endpoint))
        except RemoteCallError as failure:
            if failure.status != _NOT_FOUND or self._confirmed:
                raise
            # Nothing has answered yet, so the address may know the other spelling only.
            spelling = next(each for each in SPELLINGS if each != spelling)
            try:
                answer = use(replace(request, endpoint=spelling + request.endpoint))
            except RemoteCallError as other:
                raise (failure if other.status == _NOT_FOUND else other) from other
        self._spelling, self._confirmed = spelling, True
        return answer

    def _as_device(self, request: ApiRequest, use: Callable[[ApiRequest], T]) -> T:
        token = "" if self.device is None else self.device.token()
        try:
            return use(_named(request, token))
        except RemoteCallError as failure:
            if failure.status != _UNAUTHORIZED or not token or self.device is None:
                raise
            # Session and device are refused alike. If the session may name the device anew, the device was meant.
            another = self.device.replaced(token)
            if not another:
                raise
        return use(_named(request, another))


def _named(request: ApiRequest, token: str) -> ApiRequest:
    return replace(request, headers={**request.headers, DEVICE_HEADER: token}) if token else request


def not_there(words: str) -> RemoteCallError:
    """Return the failure of a call about something that the server does not have."""
    return RemoteCallError(Problem(ProblemKind.NOT_FOUND, words), SideEffect.NONE)
