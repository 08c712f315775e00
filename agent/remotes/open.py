"""The only place that builds an adapter for a server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from agent.remotes.http.client import HttpClient, PlainHttp
from agent.remotes.protocol import Remote
from agent.remotes.raven.adapter import RavenRemote


def open_remote(
    url: str,
    token: Callable[[], str],
    workspace: str,
    *,
    name: str = "",
    ca_file: str = "",
    insecure_http: bool = False,
) -> Remote:
    """Return an adapter for the server at ``url``. Nothing is sent before its first call.

    Args:
        token: called before every request; "" means that there is none.
        workspace: the id of the account's workspace.
        name: the account's name, shown in messages beside the address.
        ca_file: a file of certificates to trust beside the system's; empty for none.
        insecure_http: allow plain http to another machine.

    Raises:
        UsageError: the address, the proxy or ``ca_file`` cannot be used.
    """
    plain = PlainHttp.ALLOW if insecure_http else PlainHttp.REFUSE
    trusted = Path(ca_file) if ca_file else None
    return RavenRemote(HttpClient(url, token, workspace, name=name, ca_file=trusted, plain_http=plain))
