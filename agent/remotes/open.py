"""The factory of adapters: the dialect of an account chooses the adapter. No other place builds one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from agent.core.errors import UsageError
from agent.remotes.http.client import HttpClient, PlainHttp
from agent.remotes.protocol import Remote
from agent.remotes.raven.adapter import RavenRemote

_ADAPTERS: Final[dict[str, Callable[[HttpClient], Remote]]] = {"raven": RavenRemote}
"""The adapter of each dialect, by the name in the account. A new dialect is one more entry."""


def open_remote(
    dialect: str,
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
        dialect: the name of the server's protocol, as the account has it.
        token: called before every request; "" means that there is none.
        workspace: the id of the account's workspace.
        name: the account's name, shown in messages beside the address.
        ca_file: a file of certificates to trust beside the system's; empty for none.
        insecure_http: allow plain http to another machine.

    Raises:
        UsageError: the dialect is not known, or the address, the proxy or ``ca_file`` cannot be used.
    """
    adapter = _ADAPTERS.get(dialect)
    if adapter is None:
        known = ", ".join(sorted(_ADAPTERS))
        raise UsageError(f"this release does not speak the dialect {dialect!r}", f"it speaks: {known}")
    plain = PlainHttp.ALLOW if insecure_http else PlainHttp.REFUSE
    trusted = Path(ca_file) if ca_file else None
    return adapter(HttpClient(url, token, workspace, name=name, ca_file=trusted, plain_http=plain))
