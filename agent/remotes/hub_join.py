"""The exchange of an invite's one-time code for a token, at the hub that made the invite."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from agent.core.errors import ProblemKind, RemoteError
from agent.remotes.fields import maybe_text, row, text
from agent.remotes.http.client import HttpClient, Timeouts
from agent.remotes.http.decode import DecodeLimits
from agent.remotes.http.profile import ApiProfile, Refusal, words_of
from agent.remotes.http.request import ApiRequest, encode_json

_TIMEOUTS: Final = Timeouts(connect=4.0, read=15.0, write=15.0)
"""An invite names every address of its hub's machine, and most of them lead nowhere."""


class JoinAnswer(Struct, frozen=True):
    """A token for an invite. Its ``repr`` leaves the token out.

    Attributes:
        hub: the name of the hub's machine, for people.
    """

    token: str
    workspace: str
    hub: str

    def __repr__(self) -> str:
        return f"JoinAnswer(workspace={self.workspace!r}, hub={self.hub!r})"


def _meaning(status: int, endpoint: str, body: Any) -> Refusal | None:
    if status == 401:
        words = words_of(body) or "it does not take the invite"
        return Refusal(ProblemKind.SIGNED_OUT, f"{{server}}: {_lower(words)}", complete=True)
    if status == 404:
        return Refusal(ProblemKind.NOT_FOUND, "{server} is no hub that takes invites", complete=True)
    return None


def _lower(words: str) -> str:
    clean = "".join(char for char in words[:200] if char.isprintable() and char not in "{}")
    return clean[:1].lower() + clean[1:]


_PROFILE: Final = ApiProfile(base_path="api/hub/", address_ending="/api", meaning=_meaning)


def exchange(url: str, pin: str, code: str, machine: str, *, ca_file: str = "") -> JoinAnswer:
    """Exchange the code at one address.

    Args:
        pin: sha256 of the one certificate to accept; empty to check it by its name.
        machine: the name of this machine, which the hub lists beside the token.

    Raises:
        UsageError: the address cannot be used.
        RemoteError: SIGNED_OUT if the hub does not take the code; OFFLINE if the address leads to no hub, or to one
            with another certificate. The code was not sent then.
    """
    trusted = Path(ca_file) if ca_file else None
    http = HttpClient(url, lambda: code, _PROFILE, ca_file=trusted, pin=pin, timeouts=_TIMEOUTS)
    try:
        answer = row(
            http.request(
                ApiRequest("POST", "join", body=encode_json({"name": machine}), limits=DecodeLimits.RECORD)
            ).data,
            "token",
        )
    finally:
        http.close()
    return JoinAnswer(text(answer, "token"), text(answer, "workspace"), maybe_text(answer, "hub") or "")


def first_answer(urls: list[str], ask: Callable[[str], JoinAnswer]) -> tuple[str, JoinAnswer]:
    """Ask one address after the other, and return the first that answers with its answer.

    Raises:
        RemoteError: the hub's refusal; or, if no address led to it, the failure of the first one.
    """
    failure: RemoteError | None = None
    for url in urls:
        try:
            return url, ask(url)
        except RemoteError as error:
            if error.problem.kind is ProblemKind.SIGNED_OUT:
                raise
            failure = failure or error
    assert failure is not None
    raise failure
