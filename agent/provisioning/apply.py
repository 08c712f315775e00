"""Apply declarations: accounts and links are created, changed and removed with their tables in the configuration.

A declaration is the administrator's consent, so nothing is asked. The link of a removed declaration is unlinked, and
nothing is deleted on either side. A declaration that cannot be applied now is retried; an invalid one is refused alone.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from shlex import quote
from typing import Final

from agent.core.errors import AgentError, RemoteError
from agent.core.model import Mode
from agent.disk.selection.review import risky_patterns
from agent.disk.selection.rules import Rules
from agent.provisioning.plan import as_declared, gone_servers, gone_sources, link_of, mark, refused, standing
from agent.remotes.protocol import RemoteSource
from agent.runtime import linking
from agent.runtime.agent import Agent
from agent.settings import links as reg
from agent.settings.declarations import (
    DeclarationKind,
    DeclarationOutcome,
    Declarations,
    DeclarationState,
    DeclaredServer,
    DeclaredSource,
)
from agent.settings.errors import CredentialsError, DeclarationError
from agent.settings.links import ServerEntry, SourceEntry

log = logging.getLogger(__name__)

FIRST_RETRY_SECONDS: Final = 2.0
LAST_RETRY_SECONDS: Final = 60.0


class Provisioner:
    """Applies the declarations on a thread of its own, so that the start waits for no server."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._wanted = Declarations()
        self._outcomes: tuple[DeclarationOutcome, ...] = ()
        self._wake = threading.Event()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="declared", daemon=True)

    @property
    def outcomes(self) -> tuple[DeclarationOutcome, ...]:
        """The state of each declaration, as far as the provisioner has come. From any thread."""
        return self._outcomes

    def set_desired(self, wanted: Declarations) -> None:
        """Replace the declarations; the thread applies them soon."""
        for refusal in set(wanted.refusals) - set(self._wanted.refusals):
            log.error("[[%s]] %s in %s is refused: %s", refusal.kind, refusal.name, refusal.file, refusal.message)
        self._wanted = wanted
        self._outcomes = standing(wanted, self._agent.registry)
        self._wake.set()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop: no further declaration is applied."""
        self._ending.set()
        self._wake.set()

    def _run(self) -> None:
        pause = FIRST_RETRY_SECONDS
        while True:
            asked = self._wake.wait(pause if self._unfinished() else None)
            self._wake.clear()
            if self._ending.is_set():
                return
            pause = FIRST_RETRY_SECONDS if asked else min(pause * 2, LAST_RETRY_SECONDS)
            try:
                self._outcomes = self._apply(self._wanted)
            except Exception:
                log.exception("the declarations could not be applied; they are retried")

    def _unfinished(self) -> bool:
        return any(outcome.state is DeclarationState.WAITING for outcome in self._outcomes)

    def _apply(self, wanted: Declarations) -> tuple[DeclarationOutcome, ...]:
        agent = self._agent
        with agent.links_lock:
            for link in gone_sources(wanted, agent.registry):
                self._release(link)
        outcomes = [refused(refusal) for refusal in wanted.refusals]
        for server in wanted.servers:
            outcomes.append(self._tried(DeclarationKind.SERVER, server.name, server.file, _server_work(agent, server)))
        for source in wanted.sources:
            outcomes.append(
                self._tried(DeclarationKind.SOURCE, source.name, source.file, _source_work(agent, source, wanted))
            )
        with agent.links_lock:
            for entry in gone_servers(wanted, agent.registry):
                _release_account(agent, entry)
        return tuple(outcomes)

    def _release(self, link: SourceEntry) -> None:
        unsent = linking.remove_link(self._agent, link)
        tail = f"; {unsent} changes of it had not been sent" if unsent else ""
        log.warning("%s is no longer declared: unlinked, nothing deleted%s", link.root, tail)

    def _tried(self, kind: DeclarationKind, name: str, file: str, work: Callable[[], None]) -> DeclarationOutcome:
        if self._ending.is_set():
            return DeclarationOutcome(kind, name, file, DeclarationState.WAITING)
        try:
            with self._agent.links_lock:
                work()
        except (RemoteError, CredentialsError) as error:
            return self._logged(
                DeclarationOutcome(kind, name, file, DeclarationState.WAITING, error.code, error.message, error.hint)
            )
        except AgentError as error:
            code = DeclarationError.code
            return self._logged(
                DeclarationOutcome(kind, name, file, DeclarationState.REFUSED, code, error.message, error.hint)
            )
        except OSError as error:
            words = f"{error.filename}: {error.strerror}" if error.filename else str(error)
            return self._logged(DeclarationOutcome(kind, name, file, DeclarationState.WAITING, "disk", words))
        return DeclarationOutcome(kind, name, file, DeclarationState.APPLIED)

    def _logged(self, outcome: DeclarationOutcome) -> DeclarationOutcome:
        if outcome not in self._outcomes:
            log.warning("[[%s]] %s in %s: %s", outcome.kind, outcome.name, outcome.file, outcome.message)
        return outcome


def _release_account(agent: Agent, entry: ServerEntry) -> None:
    """Remove an account without links. With links made by hand it stays, as an account given by login."""
    if agent.registry.sources_of(entry.name):
        kept = replace(entry, declared_in=None, token_file="")
        agent.change_registry(lambda registry: reg.with_server(registry, kept))
    else:
        agent.change_registry(lambda registry: reg.without_server(registry, entry.name))
    agent.drop_server(entry.name)
    log.warning("the account %s is no longer declared", entry.name)


def _server_work(agent: Agent, server: DeclaredServer) -> Callable[[], None]:
    def work() -> None:
        known = agent.registry.server(server.name)
        new = ServerEntry(server.name, server.url, "", token_file=server.token_file)
        same = known is not None and known.origin == new.origin
        workspace = server.workspace or (known.workspace if known and same else "") or _named_workspace(agent, new)
        if known is not None and agent.registry.sources_of(known.name):
            if not same:
                raise DeclarationError(
                    f"the account {known.name!r} is linked to {known.url}", "declare the new address under a new name"
                )
            if known.workspace != workspace:
                raise DeclarationError(
                    f"the account {known.name!r} has folders in the workspace {known.workspace}",
                    "declare the new workspace under a new name",
                )
        entry = as_declared(known if known and same else new, server, workspace)
        if known is not None and known.workspace != workspace:
            entry = replace(entry, connector_id=None, machine_id=None)
        if entry != known:
            agent.change_registry(lambda registry: reg.with_server(registry, entry))
            linking.reconnect_account(agent, entry.name)

    return work


def _named_workspace(agent: Agent, entry: ServerEntry) -> str:
    said = agent.credentials.workspace_of(entry)
    if not said:
        raise DeclarationError(f"the token of {entry.name} names no workspace, or is not there yet", 'workspace = "ID"')
    return said


def _source_work(agent: Agent, source: DeclaredSource, wanted: Declarations) -> Callable[[], None]:
    def work() -> None:
        if source.server is None and any(refusal.kind is DeclarationKind.SERVER for refusal in wanted.refusals):
            raise DeclarationError(
                "which server it belongs to is not certain while a [[server]] is refused", 'server = "NAME" says it'
            )
        link = link_of(agent.registry, source)
        if link is None:
            _link(agent, source)
        elif link.declared is None or link.declared.text != source.text:
            _follow(agent, link, source)
        elif link.declared != mark(source):
            moved = replace(link, declared=mark(source))
            agent.change_registry(lambda registry: reg.with_source(registry, moved))

    return work


def _link(agent: Agent, source: DeclaredSource) -> None:
    root = source.root.resolve()
    linking.require_linkable(agent, root)
    name = linking.select_account(agent, source.server)
    former = None if source.source else _former(agent, name, source)
    joined = former or linking.find_source(agent.server(name).remote(), source.source)
    mode = linking.choose_mode(joined, source.mode)
    include, exclude = _patterns(None if former else joined, source)
    draft = SourceEntry(
        agent.registry.next_key, name, joined.id if joined else "", source.name, root, mode, include, exclude,
        agent.clock(), declared=mark(source),
    )  # fmt: skip
    linking.clear_index(agent, draft.key)
    linking.create_link(agent, draft, joined)
    log.info("%s is linked with %s, as %s declares", root, name, source.file)


def _former(agent: Agent, server: str, source: DeclaredSource) -> RemoteSource | None:
    """Return the source of that name which this machine created before; None if there is none.

    A declaration that returns, or a link that was cut short after the server's answer, uses it again.
    """
    line = agent.connection(server)
    linked = {s.source_id for s in agent.registry.sources_of(server)}
    found = [
        s
        for s in line.remote.sources()
        if s.connector_id == line.connector_id and s.name == source.name and s.id not in linked
    ]
    if len(found) > 1:
        ids = ", ".join(sorted(s.id for s in found))
        raise DeclarationError(f"this machine has made several sources called {source.name!r}: {ids}", 'source = "ID"')
    return found[0] if found else None


def _patterns(joined: RemoteSource | None, source: DeclaredSource) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the joined source's own patterns, followed by the declared ones.

    Patterns of the source that select dotfiles or secrets are left out unless the declaration has them too: only an
    administrator of this machine accepts them.
    """
    joined_include = tuple(joined.include) if joined else ()
    private = {one for one in risky_patterns(Rules(include=joined_include)) if one not in source.include}
    if private:
        log.warning(
            "patterns that select dotfiles or secrets are not used; to accept them, declare them in %s: %s",
            source.file, ", ".join(sorted(private)),
        )  # fmt: skip
    include = (*(pattern for pattern in joined_include if pattern not in private), *source.include)
    exclude = (*(joined.exclude if joined else ()), *source.exclude)
    return tuple(dict.fromkeys(include)), tuple(dict.fromkeys(exclude))


def _follow(agent: Agent, link: SourceEntry, source: DeclaredSource) -> None:
    """Change a link to its declaration."""
    if source.server not in (None, link.server):
        raise DeclarationError(
            f"{link.root} is linked with {link.server}", f"raven-agent unlink {quote(str(link.root))} first"
        )
    joined = linking.find_source(agent.server(link.server).remote(), source.source)
    if joined is not None and joined.id != link.source_id:
        raise DeclarationError(
            f"{link.root} is linked with another source", f"raven-agent unlink {quote(str(link.root))} first"
        )
    mode = link.mode
    if source.mode not in (None, link.mode):
        own = next((s for s in agent.server(link.server).remote().sources() if s.id == link.source_id), None)
        mode = linking.choose_mode(own, source.mode)
    include, exclude = _patterns(joined, source)
    entry = replace(link, name=source.name, mode=Mode(mode), include=include, exclude=exclude, declared=mark(source))
    agent.restart_with(entry)
    log.info("%s follows %s", link.root, source.file)
