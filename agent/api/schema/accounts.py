"""login, logout, ensure_local_hub."""

from __future__ import annotations

from msgspec import Struct


class LoginParams(Struct, frozen=True, kw_only=True):
    """An account to check and store.

    Attributes:
        token: the access token; empty to get one with ``refresh_token``.
        name: by default the address's host.
        insecure_http: allow plain http to another machine.
        dialect: protocol of the server: raven, scaidrive or pinakes; auto asks the server, without a token.
        refresh_token: renews the access token; empty for a token that is not renewed.
    """

    url: str
    token: str = ""
    workspace: str | None = None
    name: str | None = None
    insecure_http: bool = False
    dialect: str = "raven"
    refresh_token: str = ""


class JoinParams(Struct, frozen=True, kw_only=True):
    """An invite to take.

    Attributes:
        invite: the line that ``hub invite`` printed.
        name: name of the account; by default the hub's own.
        dialect: protocol of the account: raven, or scaidrive for files of any kind.
    """

    invite: str
    name: str | None = None
    dialect: str = "raven"


class LoginDocument(Struct, frozen=True, kw_only=True):
    """The stored account.

    Attributes:
        stored_in: keyring or file, or where the token comes from.
        folders: linked folders of the account; they go on.
    """

    changed: bool
    name: str
    url: str
    workspace: str
    stored_in: str | None
    folders: int = 0


class LogoutParams(Struct, frozen=True, kw_only=True):
    """The account to forget.

    Attributes:
        name: not needed when there is one.
    """

    name: str | None = None


class LogoutDocument(Struct, frozen=True, kw_only=True):
    """The forgotten account.

    Attributes:
        linked: folders that stay linked and wait for the next login of that name.
        data: folder of the embedded hub, whose data stays; null for any other account.
    """

    changed: bool
    name: str
    linked: list[str]
    data: str | None = None


class HubParams(Struct, frozen=True, kw_only=True):
    """The embedded hub.

    Attributes:
        port: port to listen on, if it is not running yet.
    """

    port: int | None = None


class HubDocument(Struct, frozen=True, kw_only=True):
    """The embedded hub.

    Attributes:
        changed: true if it was started.
        data: folder of its data.
        listen: address at which other machines reach it; null if none can.
        listen_error: reason why the address of ``hub_listen`` could not be opened; empty otherwise.
    """

    changed: bool
    name: str
    url: str
    data: str
    listen: str | None = None
    listen_error: str = ""
