"""invite."""

from __future__ import annotations

from msgspec import Struct


class InviteParams(Struct, frozen=True, kw_only=True):
    """The invite to make.

    Attributes:
        listen: HOST:PORT at which the embedded hub listens for other machines; by default the setting, else
            0.0.0.0:8675.
        url: the hub's address as the other machine sees it, for a hub behind a proxy.
    """

    listen: str | None = None
    url: str | None = None


class InviteDocument(Struct, frozen=True, kw_only=True):
    """An invite to the embedded hub, for one machine.

    Attributes:
        invite: the text that ``join`` takes. It holds a one-time code and no token.
        join: the command for the other machine.
        expires_at: end of the invite.
        addresses: the hub's addresses in the invite, the likeliest one first.
        only_here: true if no other machine can reach them.
        listen: the address at which the hub listens for other machines; empty if it does not.
        opened: true if it did not listen there before.
    """

    invite: str
    join: str
    expires_at: str
    addresses: list[str]
    only_here: bool
    listen: str
    opened: bool
