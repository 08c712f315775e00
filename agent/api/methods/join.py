"""join: an account on a hub whose certificate the invite names."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from agent.api.schema.accounts import JoinParams, LoginDocument
from agent.core.errors import ProblemKind, RemoteError, UsageError
from agent.remotes.hub_join import JoinAnswer, exchange, first_answer
from agent.runtime import linking
from agent.runtime.agent import Agent
from agent.runtime.machine_names import machine_name
from agent.settings import links as reg
from agent.settings.credentials import check_token
from agent.settings.invite import Invite
from agent.settings.links import ServerEntry, has_workspaces
from agent.settings.server_url import clean_url

_AGAIN: Final = "make another one on the hub's machine: raven-agent hub invite"
_NOT_IN_A_NAME: Final = re.compile(r"[^A-Za-z0-9._-]+")


def join(agent: Agent, params: JoinParams) -> LoginDocument:
    """Exchange an invite for a token, and store the account with the hub's certificate pinned.

    An account of the same hub gets the new address and token, and keeps its links.

    Raises:
        UsageError: the invite is damaged, or the name is taken.
        RemoteError: the hub cannot be reached, has another certificate, or does not take the invite.
    """
    from agent.remotes.dialects import require_dialect

    require_dialect(params.dialect)
    invite = Invite.from_text(params.invite)
    urls = [clean_url(url) for url in invite.urls]
    if params.name in reg.LOCAL_ACCOUNTS:
        raise UsageError(f"the name {params.name} is the embedded hub's", "give another with --name")
    url, answer = _exchanged(agent, urls, invite)
    check_token(answer.token)
    workspace = answer.workspace if has_workspaces(params.dialect) else ""
    entry = _account(agent, params.name, answer.hub, ServerEntry("", url, workspace, params.dialect, pin=invite.pin))
    # The code is used up: the token is stored before anything else can fail.
    agent.credentials.store(entry, answer.token)
    agent.change_registry(lambda registry: reg.with_server(registry, entry))
    linking.reconnect_account(agent, entry.name)
    stored = agent.credentials.token_for(entry)
    return LoginDocument(
        changed=True,
        name=entry.name,
        url=url,
        workspace=workspace,
        stored_in=stored.origin.value if stored else None,
    )


def _exchanged(agent: Agent, urls: list[str], invite: Invite) -> tuple[str, JoinAnswer]:
    def ask(url: str) -> JoinAnswer:
        return exchange(url, invite.pin, invite.code, machine_name(agent.settings), ca_file=agent.settings.ca_file)

    try:
        return first_answer(urls, ask)
    except RemoteError as error:
        hint = _AGAIN
        if error.problem.kind is ProblemKind.OFFLINE:
            tried = f"tried {', '.join(urls)}; " if len(urls) > 1 else ""
            hint = f"{tried}is the agent running there, on the same network, and the port open in its firewall?"
        raise RemoteError(error.problem, hint) from error


def _account(agent: Agent, name: str | None, hub: str, draft: ServerEntry) -> ServerEntry:
    """Return the account to store: the known one of the same hub with its new address, or a new one.

    A new account takes the wanted name, else the hub's own. A name in use gets a number, because the code is used up.
    """
    same = [server for server in agent.registry.servers if _is_same_hub(server, draft)]
    known = next((server for server in same if name in (None, server.name)), None)
    if known is not None:
        if known.origin != draft.origin:
            agent.credentials.forget(known)
        return replace(known, url=draft.url)
    files = "" if has_workspaces(draft.dialect) else "-files"
    wanted = name or (_NOT_IN_A_NAME.sub("-", hub.split(".", maxsplit=1)[0]).strip("-") or "hub") + files
    taken = {server.name for server in agent.registry.servers} | reg.LOCAL_ACCOUNTS
    free = next(one for one in (wanted, *(f"{wanted}-{n}" for n in range(2, 1000))) if one not in taken)
    return replace(draft, name=free)


def _is_same_hub(known: ServerEntry, draft: ServerEntry) -> bool:
    """Return True for an account on the same workspace of the hub. Its certificate identifies it, wherever it is."""
    same = (known.pin, known.workspace, known.dialect) == (draft.pin, draft.workspace, draft.dialect)
    return same and known.declared_in is None and (bool(draft.pin) or known.origin == draft.origin)
