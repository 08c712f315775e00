"""Invite another machine to the hub of this one: a line and a QR code that are good once, for 10 minutes."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from agent.ui.page_route import PageRoute
from agent.ui.qr_code import qr_code
from agent.ui.visit import Visit


def invite(visit: Visit) -> Response:
    """Make an invite and show it. It is in no address and in no later page."""
    typed = {name: visit.form.text(name).strip() for name in ("listen", "url")}
    made = visit.call("invite", **{name: value for name, value in typed.items() if value})
    words = [word for name, value in typed.items() if value for word in (f"--{name}", value)]
    return visit.page("invite.html", made=made, code=qr_code(made["invite"]), typed=typed, words=words)


ROUTES: Final = (PageRoute("/servers/invite", invite, "POST"),)
