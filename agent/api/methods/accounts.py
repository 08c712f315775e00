"""login, logout, and the embedded hub."""

from __future__ import annotations

from dataclasses import replace
from shlex import quote
from urllib.parse import urlsplit

from msgspec.structs import replace as replace_struct

from agent.api.methods.common import readable
from agent.api.schema.accounts import (
    HubDocument,
    HubParams,
    LoginDocument,
    LoginParams,
    LogoutDocument,
    LogoutParams,
)
from agent.core.errors import RemoteError, UsageError
from agent.runtime import linking
from agent.runtime.agent import Agent
from agent.settings import links as reg
from agent.settings.credentials import check_token, expires_at
from agent.settings.links import ServerEntry, has_workspaces
from agent.settings.server_url import clean_url, origin_of
from agent.settings.token_pair import TokenPair


def login(agent: Agent, params: LoginParams) -> LoginDocument:
    """Check an account and store it. The same name replaces the token and keeps the links.

    Raises:
        UsageError: the name is taken, or no workspace is known.
        RemoteError: the server does not take the token, or cannot be reached.
    """
    from agent.remotes.detect import AUTO, detect_dialect
    from agent.remotes.dialects import extends_session, require_dialect

    url = clean_url(params.url, insecure_http=params.insecure_http)
    pinned = _pinned(agent, params, url)
    if params.dialect == AUTO:
        # A certificate that only the pin trusts would end the detection. The account knows the dialect already.
        found = pinned.dialect if pinned is not None else detect_dialect(url, agent.settings.ca_file)
        params = replace_struct(params, dialect=found)
    if pinned is not None and params.name is None and _is_same(pinned, params):
        params = replace_struct(params, name=pinned.name)
    require_dialect(params.dialect)
    entry = _account(agent, params, url)
    if pinned is not None and not entry.pin:
        entry = replace(entry, pin=pinned.pin)
    if extends_session(entry.dialect):
        _store_session(agent, entry, params)
    elif params.refresh_token:
        _store_pair(agent, entry, params)
    else:
        check_token(params.token)
        _check(agent, entry, params.token)
        agent.credentials.store(entry, params.token)
    agent.change_registry(lambda registry: reg.with_server(registry, entry))
    linking.reconnect_account(agent, entry.name)
    token = agent.credentials.token_for(entry)
    return LoginDocument(
        changed=True,
        name=entry.name,
        url=url,
        workspace=entry.workspace,
        stored_in=token.origin.value if token else None,
        folders=sum(1 for _ in agent.registry.sources_of(entry.name)),
    )


def _pinned(agent: Agent, params: LoginParams, url: str) -> ServerEntry | None:
    """Return an account at this address whose certificate is pinned, the one of the wanted name and dialect first."""
    found = [one for one in agent.registry.servers if one.pin and one.origin == origin_of(url)]
    wanted = [one for one in found if one.name == params.name or (params.name is None and _is_same(one, params))]
    return next(iter([*wanted, *found]), None)


def _is_same(known: ServerEntry, params: LoginParams) -> bool:
    """Return True if the login is one to this account's workspace and dialect."""
    if params.dialect not in ("auto", known.dialect):
        return False
    return not has_workspaces(known.dialect) or params.workspace in (None, "", known.workspace)


def _account(agent: Agent, params: LoginParams, url: str) -> ServerEntry:
    """Return the account to store: a new one, or the known one of that name with the new address."""
    name = params.name or str(urlsplit(url).hostname)
    if name in reg.LOCAL_ACCOUNTS:
        raise UsageError(f"the name {name} is the embedded hub's", "give another with --name")
    if not params.workspace and has_workspaces(params.dialect):
        raise UsageError("the token names no workspace", "give it with --workspace")
    known = agent.registry.server(name)
    workspace = (params.workspace or "") if has_workspaces(params.dialect) else ""
    entry = ServerEntry(name, url, workspace, params.dialect, insecure_http=params.insecure_http)
    if known is None:
        return entry
    if known.origin != origin_of(url) and agent.registry.sources_of(name):
        raise UsageError(
            f"the account {name!r} is linked to {known.url}", "choose another --name, or unlink its folders first"
        )
    same = (known.origin, known.workspace, known.dialect) == (entry.origin, entry.workspace, entry.dialect)
    if known.declared_in is not None:
        if known.token_file or not same:
            what = f"with its token in {known.token_file}" if known.token_file else f"for {known.url}"
            raise UsageError(f"the account {name!r} is declared in {known.declared_in}, {what}", "change it there")
        # The declaration decides everything but the token.
        return known
    return replace(known, url=url, insecure_http=entry.insecure_http) if same else entry


def _store_pair(agent: Agent, entry: ServerEntry, params: LoginParams) -> None:
    """Store a new pair with its account, then check it.

    The refresh token that it replaces is worth nothing any more, so both are stored before anything else can fail: a
    pair without an account would be found by no later command.

    Raises:
        RemoteError: the server takes no token, or cannot be reached. In a failed check the account stays.
    """
    pair = _pair(agent, entry, params)
    agent.credentials.store(entry, pair.to_text())
    agent.change_registry(lambda registry: reg.with_server(registry, entry))
    linking.reconnect_account(agent, entry.name)
    try:
        _check(agent, entry, pair.access)
    except RemoteError as error:
        kept = f"the account {entry.name} is kept with its new token; when the server answers again: raven-agent doctor"
        raise RemoteError(error.problem, kept) from error


def _pair(agent: Agent, entry: ServerEntry, params: LoginParams) -> TokenPair:
    """Return the tokens to store; an access token that was not given is requested.

    Raises:
        UsageError: the dialect's tokens are not renewed.
        RemoteError: the server does not take the refresh token, or cannot be reached.
    """
    from agent.remotes.dialects import renew_tokens

    check_token(params.refresh_token)
    if params.token:
        check_token(params.token)
        return TokenPair(params.token, params.refresh_token, agent.clock(), expires_at(params.token) or 0.0)
    issued = renew_tokens(
        entry.dialect,
        entry.url,
        params.refresh_token,
        name=entry.name,
        ca_file=agent.settings.ca_file,
        pin=entry.pin,
        insecure_http=entry.insecure_http,
    )
    now = agent.clock()
    return TokenPair(issued.access, issued.refresh, now, now + issued.seconds)


def _store_session(agent: Agent, entry: ServerEntry, params: LoginParams) -> None:
    """Store a session that is extended by itself, with its end.

    Raises:
        UsageError: a refresh token was given.
        RemoteError: the server does not take the session, or cannot be reached.
    """
    from agent.remotes.dialects import renew_tokens

    if params.refresh_token:
        raise UsageError(f"a session of {entry.dialect} has no refresh token", "give its token with --token-stdin")
    check_token(params.token)
    _check(agent, entry, params.token)
    issued = renew_tokens(
        entry.dialect,
        entry.url,
        params.token,
        name=entry.name,
        ca_file=agent.settings.ca_file,
        pin=entry.pin,
        insecure_http=entry.insecure_http,
    )
    now = agent.clock()
    agent.credentials.store(entry, TokenPair(issued.access, issued.refresh, now, now + issued.seconds).to_text())


def _check(agent: Agent, entry: ServerEntry, token: str) -> None:
    """Ask the server for its sources with this token. Raises RemoteError if it does not take the token."""
    from agent.remotes.dialects import AdapterOptions, open_remote

    remote = open_remote(
        entry.dialect,
        entry.url,
        lambda: token,
        entry.workspace,
        name=entry.name,
        ca_file=agent.settings.ca_file,
        pin=entry.pin,
        insecure_http=entry.insecure_http,
        options=AdapterOptions(content_hash=agent.settings.pinakes_hash),
    )
    try:
        remote.sources()
    except RemoteError as error:
        raise RemoteError(error.problem, error.hint or "check the address, the workspace and the token") from error
    finally:
        remote.close()


def logout(agent: Agent, params: LogoutParams) -> LogoutDocument:
    """Forget an account and its token. Its links stay and wait for the next login of that name.

    Raises:
        UsageError: no account is meant, it is that of the embedded hub and has links, or its token is declared.
    """
    if params.name in reg.LOCAL_ACCOUNTS:
        return _forget_hub(agent, params.name)
    names = [server.name for server in agent.registry.servers if server.name not in reg.LOCAL_ACCOUNTS]
    if params.name is None and not names:
        raise UsageError("there is no account to forget", "raven-agent servers lists them")
    if params.name is None and len(names) > 1:
        raise UsageError("several accounts are known", f"choose one of: {', '.join(names)}")
    entry = agent.server_entry(names[0] if params.name is None else params.name)
    if entry.declared_in is not None and entry.token_file:
        raise UsageError(
            f"the account {entry.name!r} is declared in {entry.declared_in}, with its token in {entry.token_file}",
            "take its [[server]] out there, then: raven-agent config reload",
        )
    agent.credentials.forget(entry)
    linked = agent.registry.sources_of(entry.name)
    if not linked and entry.declared_in is None:
        agent.change_registry(lambda registry: reg.without_server(registry, entry.name))
    agent.drop_server(entry.name)
    return LogoutDocument(changed=True, name=entry.name, linked=[readable(str(source.root)) for source in linked])


def _forget_hub(agent: Agent, name: str) -> LogoutDocument:
    """Forget an account of the embedded hub. The hub's data stays, and the next link with that name uses it again.

    Raises:
        UsageError: there is no such account, or a folder is linked with it: no login would bring that one back.
    """
    entry = agent.registry.server(name)
    if entry is None:
        raise UsageError(f"there is no account {name} to forget", "raven-agent servers lists the accounts")
    roots = [readable(str(source.root)) for source in agent.registry.sources_of(name)]
    if roots:
        raise UsageError(
            f"the embedded hub's account {name} syncs {', '.join(roots)}",
            f"raven-agent unlink {quote(roots[0])} first; no file is deleted",
        )
    agent.credentials.forget(entry)
    agent.change_registry(lambda registry: reg.without_server(registry, name))
    agent.drop_server(name)
    return LogoutDocument(changed=True, name=name, linked=[], data=readable(str(agent.home.hub_dir)))


def ensure_local_hub(agent: Agent, params: HubParams) -> HubDocument:
    """Start the embedded hub unless it runs."""
    if params.port is not None and not agent.hub.running:
        agent.hub.use_port(params.port)
    changed = not agent.hub.running
    url = agent.hub.ensure()
    return HubDocument(
        changed=changed,
        name=reg.LOCAL_HUB,
        url=url,
        data=readable(str(agent.home.hub_dir)),
        listen=agent.hub.door.listen if agent.hub.door is not None else None,
        listen_error=agent.hub.door_error,
    )
