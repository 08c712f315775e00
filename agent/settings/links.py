"""Accounts and linked folders: immutable records, and functions that return a changed copy.

``registry_file.py`` reads and writes them.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.core.model import Mode
from agent.core.scope import SyncPreference
from agent.settings.server_url import origin_of

LOCAL_HUB: Final = "local"
"""Name of the embedded hub among the servers."""
LOCAL_FILES: Final = "local-files"
"""Name of the embedded hub's second account, whose API takes files of any content."""
LOCAL_ACCOUNTS: Final = frozenset({LOCAL_HUB, LOCAL_FILES})
"""Accounts of the embedded hub, which need no login."""


RAVEN: Final = "raven"
"""The dialect of an account that names none."""
SCAIDRIVE: Final = "scaidrive"
PINAKES: Final = "pinakes"


def has_workspaces(dialect: str) -> bool:
    """Return True if an account of this dialect needs a workspace."""
    return dialect == RAVEN


def account_hint(name: str, known: Collection[str]) -> str:
    """Return the next step where no account has this name: the nearest known name, then a login."""
    import difflib

    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    login = "raven-agent login URL"
    return f"did you mean {near[0]!r}? For another account: {login}" if near else login


def has_preferences(dialect: str) -> bool:
    """Return True if servers of this dialect keep preferences of each machine."""
    return dialect == SCAIDRIVE


@dataclass(frozen=True, slots=True)
class ServerEntry:
    """One account on one server.

    Attributes:
        name: unique in this registry.
        url: origin and path prefix, no slash at the end.
        workspace: the workspace id sent with every call.
        dialect: name of the adapter for it.
        connector_id: the id of this machine on the server; None until registered.
        machine_id: the machine the connector was registered for; another machine registers its own.
        insecure_http: the user allowed plain http to another machine.
        declared_in: the configuration file that declares it; None for one given by ``login``.
        token_file: path of its token, as declared; empty for a token given by ``login``.
        machine_name: the setting of that name as it was last sent to the server; empty for the host name.
        pin: sha256 of the one certificate to accept, in hexadecimal; empty to check it by its name.
    """

    name: str
    url: str
    workspace: str
    dialect: str = RAVEN
    connector_id: str | None = None
    machine_id: str | None = None
    insecure_http: bool = False
    declared_in: str | None = None
    token_file: str = ""
    pin: str = ""
    machine_name: str = ""

    @property
    def origin(self) -> str:
        """Scheme, host and port. A token is sent to this origin only."""
        return origin_of(self.url)

    @property
    def login_hint(self) -> str:
        """Hint that says how to sign in. ``login`` refuses an account whose declaration names its token file."""
        if self.token_file:
            return f"put a valid token into {self.token_file}"
        if self.pin and self.declared_in is None:
            return f"raven-agent hub invite on the hub's machine, and here: raven-agent join INVITE --name {self.name}"
        dialect = "" if self.dialect == RAVEN else f" --dialect {self.dialect}"
        return f"raven-agent login {self.url} --name {self.name}{dialect}"

    @property
    def missing_token_message(self) -> str:
        """Message for an account without a token."""
        if self.token_file:
            return f"there is no token in {self.token_file}"
        return "there is no token for this account"


@dataclass(frozen=True, slots=True)
class DeclarationRef:
    """The declaration that a link was made for.

    Attributes:
        file: the configuration file that holds it.
        root: the folder as written there; symbolic links in it may lead to the root that was linked.
        text: its content when it was last applied, so that a change is detected.
    """

    file: str
    root: str
    text: str


@dataclass(frozen=True, slots=True)
class SourceEntry:
    """One linked folder.

    Attributes:
        key: its number in the index; small, stable, never reused.
        server: name of its server.
        source_id: the server's id.
        name: as shown.
        root: absolute path.
        mode: direction in which changes travel.
        include, exclude: this machine's patterns, after the source's.
        linked_at: seconds since the epoch.
        paused_until: seconds since the epoch, ``math.inf`` until resumed, None when not paused.
        root_device, root_inode: identity of the folder at link time, so that another folder in its place is detected.
        declared: the declaration it follows; None for a folder linked by hand.
        preference: the server's selective sync for this machine, as last read; None if the server has none.
    """

    key: int
    server: str
    source_id: str
    name: str
    root: Path
    mode: Mode
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    linked_at: float
    paused_until: float | None = None
    root_device: int | None = None
    root_inode: int | None = None
    declared: DeclarationRef | None = None
    preference: SyncPreference | None = None

    @property
    def pause_until(self) -> float | None:
        """End of the pause in seconds since the epoch: a person's, or one without end by the server's preference."""
        is_off = self.preference is not None and not self.preference.enabled
        return math.inf if is_off else self.paused_until


@dataclass(frozen=True, slots=True)
class UnlinkedSource:
    """A link that was removed. It is kept for the time of the trash, and as long as its trash holds something.

    People find their trash by it, and a link of the same folder goes on with the same source.

    Attributes:
        source: the link as it was.
        at: time of the unlink, seconds since the epoch.
    """

    source: SourceEntry
    at: float


@dataclass(frozen=True, slots=True)
class Registry:
    """All accounts and links. ``next_key`` only grows."""

    servers: tuple[ServerEntry, ...] = ()
    sources: tuple[SourceEntry, ...] = ()
    next_key: int = 1
    unlinked: tuple[UnlinkedSource, ...] = ()

    def server(self, name: str) -> ServerEntry | None:
        """Return the account of that name, if there is one."""
        return next((s for s in self.servers if s.name == name), None)

    def source_at(self, root: Path) -> SourceEntry | None:
        """Return the link whose root is exactly this folder."""
        return next((s for s in self.sources if s.root == root), None)

    def source_over(self, path: Path) -> SourceEntry | None:
        """Return the link whose root is this path or contains it."""
        return next((s for s in self.sources if path == s.root or s.root in path.parents), None)

    def sources_of(self, server: str) -> tuple[SourceEntry, ...]:
        """Return the links of one account."""
        return tuple(s for s in self.sources if s.server == server)


def with_server(registry: Registry, server: ServerEntry) -> Registry:
    """Add the account, or replace the one of the same name in its place. Links are kept."""
    if registry.server(server.name) is None:
        return dataclasses.replace(registry, servers=(*registry.servers, server))
    servers = tuple(server if s.name == server.name else s for s in registry.servers)
    return dataclasses.replace(registry, servers=servers)


def without_server(registry: Registry, name: str) -> Registry:
    """Remove the account. Its links stay and wait for a login of the same name."""
    return dataclasses.replace(registry, servers=tuple(s for s in registry.servers if s.name != name))


def with_source(registry: Registry, source: SourceEntry) -> Registry:
    """Add the link, or replace the one with the same key in its place. A new link takes ``next_key`` as its key."""
    if any(s.key == source.key for s in registry.sources):
        sources = tuple(source if s.key == source.key else s for s in registry.sources)
    else:
        sources = (*registry.sources, source)
    return dataclasses.replace(registry, sources=sources, next_key=max(registry.next_key, source.key + 1))


def without_source(registry: Registry, key: int, now: float) -> Registry:
    """Remove the link and remember it among the unlinked ones. Its key is not used again."""
    gone = tuple(UnlinkedSource(s, now) for s in registry.sources if s.key == key)
    return dataclasses.replace(
        registry,
        sources=tuple(s for s in registry.sources if s.key != key),
        unlinked=(*registry.unlinked, *gone),
    )


def without_unlinked(registry: Registry, keys: Collection[int]) -> Registry:
    """Forget unlinked sources, for good."""
    return dataclasses.replace(registry, unlinked=tuple(u for u in registry.unlinked if u.source.key not in keys))


def without_foreign_connectors(registry: Registry, machine: str) -> Registry:
    """Remove the connectors of another machine; return the same object where there are none.

    A cloned disk or a copied home carries them. With them, the server would take two machines for one.
    """
    servers = tuple(
        dataclasses.replace(s, connector_id=None, machine_id=None) if s.machine_id not in (None, machine) else s
        for s in registry.servers
    )
    return registry if servers == registry.servers else dataclasses.replace(registry, servers=servers)
