"""login, logout, and the embedded hub."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from agent.api.methods.common import Params
from agent.core.errors import RemoteError, UsageError
from agent.runtime import linking
from agent.runtime.agent import Agent
from agent.settings import links as reg
from agent.settings.links import ServerEntry
from agent.settings.server_url import clean_url, origin_of


def login(agent: Agent, params: Params) -> dict[str, Any]:
    """Check an account and store it; the same name replaces the token and keeps the links."""
    url = clean_url(str(params["url"]), insecure_http=bool(params.get("insecure_http")))
    name = str(params.get("name") or urlsplit(url).hostname)
    if name == reg.LOCAL_HUB:
        raise UsageError("the name local is the embedded hub's", "give another with --name")
    workspace = params.get("workspace")
    if not workspace:
        raise UsageError("the token names no workspace", "give it with --workspace")
    known = agent.registry.server(name)
    if known is not None and known.origin != origin_of(url) and agent.registry.sources_of(name):
        raise UsageError(
            f"the account {name!r} is linked to {known.url}", "choose another --name, or unlink its folders first"
        )
    entry = ServerEntry(name, url, str(workspace), insecure_http=bool(params.get("insecure_http")))
    same = known is not None and known.origin == entry.origin and known.workspace == entry.workspace
    if known is not None and known.declared_in is not None:
        if known.token_file or not same:
            what = f"with its token in {known.token_file}" if known.token_file else f"for {known.url}"
            raise UsageError(f"the account {name!r} is declared in {known.declared_in}, {what}", "change it there")
        # What is declared stands; only its token is given by hand.
        entry = known
    elif known is not None and same:
        entry = replace(known, url=url, insecure_http=entry.insecure_http)
    _check(entry, str(params["token"]), agent.settings.ca_file)
    agent.credentials.store(entry, str(params["token"]))
    agent.change_registry(lambda registry: reg.with_server(registry, entry))
    linking.reconnect_account(agent, name)
    token = agent.credentials.token_for(entry)
    return {
        "changed": True,
        "name": name,
        "url": url,
        "workspace": entry.workspace,
        "stored_in": token.origin.value if token else None,
    }


def _check(entry: ServerEntry, token: str, ca_file: str) -> None:
    """Ask the server whether it takes the token. Raises RemoteError."""
    from agent.remotes.open import open_remote

    remote = open_remote(
        entry.url, lambda: token, entry.workspace, name=entry.name, ca_file=ca_file, insecure_http=entry.insecure_http
    )
    try:
        remote.sources()
    except RemoteError as error:
        raise RemoteError(error.problem, error.hint or "check the address, the workspace and the token") from error
    finally:
        remote.close()


def logout(agent: Agent, params: Params) -> dict[str, Any]:
    """Forget an account's token and the account; its links stay and wait for the next login of that name."""
    name = params.get("name")
    names = [server.name for server in agent.registry.servers if server.name != reg.LOCAL_HUB]
    if name is None:
        if len(names) != 1:
            raise UsageError("say which account", f"one of: {', '.join(names) or 'none'}")
        name = names[0]
    entry = agent.server_entry(str(name))
    if entry.declared_in is not None and entry.token_file:
        raise UsageError(
            f"the account {entry.name!r} is declared in {entry.declared_in}, with its token in {entry.token_file}",
            "take its [[server]] out there, then: raven-agent config reload",
        )
    agent.credentials.forget(entry)
    if not agent.registry.sources_of(entry.name) and entry.declared_in is None:
        agent.change_registry(lambda registry: reg.without_server(registry, entry.name))
    agent.drop_server(entry.name)
    return {"changed": True, "name": entry.name}


def ensure_local_hub(agent: Agent, params: Params) -> dict[str, Any]:
    """Have the embedded hub run."""
    port = params.get("port")
    if port is not None and not agent.hub.running:
        agent.hub.use_port(int(port))
    return {"changed": not agent.hub.running, "name": reg.LOCAL_HUB, "url": agent.hub.ensure()}
