"""Accounts and linked folders: written by the agent, small, and never lost with the index.

A ``Registry`` is an immutable record; the helpers return a changed copy. ``save`` replaces the file as a whole and
makes it durable before it returns.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
import os
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from agent.core.errors import AgentError, UsageError
from agent.core.model import Mode
from agent.core.net import is_loopback
from agent.settings.settings import Home, ensure_private, write_atomically

SCHEMA: Final = 1

LOCAL_HUB: Final = "local"
"""Name of the embedded hub among the servers."""

_FOREVER: Final = "until_resumed"
_PORTS: Final = {"http": 80, "https": 443}


class RegistryError(AgentError):
    """The registry cannot be read or written; nothing is assumed about what it said."""

    code = "registry"


@dataclass(frozen=True, slots=True)
class ServerEntry:
    """One account on one server.

    Attributes:
        name: unique in this registry.
        url: origin and path prefix, no slash at the end.
        workspace: the workspace id sent with every call.
        dialect: which adapter speaks to it.
        connector_id: this machine as the server knows it; None until registered.
        machine_id: the machine the connector was registered for; another one registers anew.
        insecure_http: the user allowed plain http off loopback.
        declared_in: the configuration file that declares it; None for one given by ``login``.
        token_file: where its token lies, as declared; empty for one given by ``login``.
    """

    name: str
    url: str
    workspace: str
    dialect: str = "raven"
    connector_id: str | None = None
    machine_id: str | None = None
    insecure_http: bool = False
    declared_in: str | None = None
    token_file: str = ""

    @property
    def origin(self) -> str:
        """Scheme, host and port: what a token may be sent to."""
        return origin_of(self.url)

    @property
    def login_hint(self) -> str:
        """What a person does to sign in: ``login`` refuses an account whose token lies where a declaration says."""
        if self.token_file:
            return f"put a token that holds into {self.token_file}"
        return f"raven-agent login {self.url} --name {self.name}"

    @property
    def missing_token_message(self) -> str:
        """What is said where this account has no token."""
        if self.token_file:
            return f"there is no token in {self.token_file}"
        return "there is no token for this account"


@dataclass(frozen=True, slots=True)
class DeclarationRef:
    """The declaration a link was made for.

    Attributes:
        file: the configuration file it stands in.
        root: the folder as written there; links in it may lead to the root that was linked.
        text: all it said when it was carried out last, so that a change of it is noticed.
    """

    file: str
    root: str
    text: str


@dataclass(frozen=True, slots=True)
class SourceEntry:
    """One linked folder.

    Attributes:
        key: the index's number for it; small, stable, never used again.
        server: name of its server.
        source_id: the server's id.
        name: as shown.
        root: absolute path.
        mode: which way changes travel here.
        include, exclude: this machine's own patterns, after the source's.
        linked_at: seconds since the epoch.
        paused_until: seconds since the epoch, ``math.inf`` until resumed, None when not paused.
        root_device, root_inode: the folder as it was linked, so that another one in its place is noticed.
        declared: the declaration it follows; None for one linked by hand.
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


@dataclass(frozen=True, slots=True)
class Registry:
    """All accounts and links. ``next_key`` only ever grows."""

    servers: tuple[ServerEntry, ...] = ()
    sources: tuple[SourceEntry, ...] = ()
    next_key: int = 1

    def server(self, name: str) -> ServerEntry | None:
        """The account of that name."""
        return next((s for s in self.servers if s.name == name), None)

    def source_at(self, root: Path) -> SourceEntry | None:
        """The link whose root is exactly this folder."""
        return next((s for s in self.sources if s.root == root), None)

    def source_over(self, path: Path) -> SourceEntry | None:
        """The link whose root is this path or holds it."""
        return next((s for s in self.sources if path == s.root or s.root in path.parents), None)

    def sources_of(self, server: str) -> tuple[SourceEntry, ...]:
        """The links of one account."""
        return tuple(s for s in self.sources if s.server == server)


def with_server(registry: Registry, server: ServerEntry) -> Registry:
    """Adds the account, or replaces the one of the same name in its place; links are kept."""
    if registry.server(server.name) is None:
        return dataclasses.replace(registry, servers=(*registry.servers, server))
    servers = tuple(server if s.name == server.name else s for s in registry.servers)
    return dataclasses.replace(registry, servers=servers)


def without_server(registry: Registry, name: str) -> Registry:
    """Forgets the account; its links stay and wait for a login of the same name."""
    return dataclasses.replace(registry, servers=tuple(s for s in registry.servers if s.name != name))


def with_source(registry: Registry, source: SourceEntry) -> Registry:
    """Adds the link, or replaces the one with the same key in its place. A new link takes ``next_key`` as its key."""
    if any(s.key == source.key for s in registry.sources):
        sources = tuple(source if s.key == source.key else s for s in registry.sources)
    else:
        sources = (*registry.sources, source)
    return dataclasses.replace(registry, sources=sources, next_key=max(registry.next_key, source.key + 1))


def without_source(registry: Registry, key: int) -> Registry:
    """Forgets the link; its key is not used again."""
    return dataclasses.replace(registry, sources=tuple(s for s in registry.sources if s.key != key))


def without_foreign_connectors(registry: Registry, machine: str) -> Registry:
    """The registry without the connectors of another machine; the same one where there are none.

    They are there after a disk was cloned or a home was copied: both machines would pass for one.
    """
    servers = tuple(
        dataclasses.replace(s, connector_id=None, machine_id=None) if s.machine_id not in (None, machine) else s
        for s in registry.servers
    )
    return registry if servers == registry.servers else dataclasses.replace(registry, servers=servers)


def load(path: Path) -> Registry:
    """What the file says; an empty registry when there is no file.

    Raises:
        RegistryError: unreadable, damaged, or written by a newer release. Never an empty registry instead.
    """
    try:
        document = json.loads(path.read_bytes())
        schema = document["schema"]
    except FileNotFoundError:
        return Registry()
    except OSError as error:
        raise RegistryError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(path) from error
    if not isinstance(schema, int) or schema > SCHEMA:
        raise RegistryError(f"{path} was written by a newer release", "update raven-agent")
    try:
        return Registry(
            tuple(ServerEntry(**row) for row in document["servers"]),
            tuple(_source_from(row) for row in document["sources"]),
            int(document["next_key"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(path) from error


def save(path: Path, registry: Registry) -> None:
    """Replace the file, 0600, durable when this returns.

    Raises:
        RegistryError: the disk refused; the old file stands.
    """
    document = {
        "schema": SCHEMA,
        "next_key": registry.next_key,
        "servers": [dataclasses.asdict(s) for s in registry.servers],
        "sources": [_source_row(s) for s in registry.sources],
    }
    try:
        ensure_private(path.parent)
        write_atomically(path, json.dumps(document, indent=1, allow_nan=False).encode())
    except OSError as error:
        raise RegistryError(f"cannot write {path}: {error.strerror}") from error


def _damaged(path: Path) -> RegistryError:
    return RegistryError(f"{path} is damaged", "put back a copy, or move it away and link the folders again")


def _source_row(source: SourceEntry) -> dict[str, Any]:
    until = source.paused_until
    row = dataclasses.asdict(source)
    row["root"] = str(source.root)
    row["mode"] = source.mode.value
    row["paused_until"] = _FOREVER if until is not None and math.isinf(until) else until
    return row


def _source_from(row: Mapping[str, Any]) -> SourceEntry:
    until = row["paused_until"]
    changed = {
        "root": Path(row["root"]),
        "mode": Mode(row["mode"]),
        "include": tuple(row["include"]),
        "exclude": tuple(row["exclude"]),
        "paused_until": math.inf if until == _FOREVER else until,
        "declared": DeclarationRef(**row["declared"]) if row.get("declared") else None,
    }
    return SourceEntry(**{**row, **changed})


def origin_of(url: str) -> str:
    """``scheme://host:port`` in lower case, the port always written, so that equal origins are equal strings.

    Raises:
        UsageError: not an http or https address.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in _PORTS or not parts.hostname:
        raise UsageError(
            f"{_without_secrets(url)!r} is not an http or https address", "for example https://raven.example"
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}:{port or _PORTS[parts.scheme]}"


def clean_url(url: str, *, insecure_http: bool = False) -> str:
    """The address in the form the registry keeps: no user, query, fragment, closing slash, or closing ``/api``
    (the adapter adds that).

    Raises:
        UsageError: not an http(s) address, a password in it, or plain http off loopback without ``insecure_http``.
    """
    origin_of(url)
    parts = urlsplit(url)
    if parts.username or parts.password:
        raise UsageError("an address with a user or password in it is not taken", "give the token with --token-stdin")
    if parts.scheme == "http" and not insecure_http and not is_loopback(parts.hostname or ""):
        raise UsageError(
            f"plain http would send the token to {parts.hostname} unencrypted", "use https, or add --insecure-http"
        )
    prefix = parts.path.rstrip("/").removesuffix("/api").rstrip("/")
    return urlunsplit((parts.scheme, parts.netloc.lower(), prefix, "", ""))


def _without_secrets(url: str) -> str:
    return url.rsplit("@", 1)[-1]


def machine_id(home: Home, env: Mapping[str, str] | None = None) -> str:
    """A stable id of this machine that tells nothing about it: 32 hexadecimal digits.

    A home copied to another machine yields another id there. ``RAVEN_AGENT_MACHINE_ID`` stands over the system's, for
    containers that all have their image's. Without either, an id is made and kept.
    """
    env = os.environ if env is None else env
    system = env.get("RAVEN_AGENT_MACHINE_ID") or _system_id()
    if system:
        return hashlib.sha256(f"raven-agent:{os.getuid()}:{system}".encode()).hexdigest()[:32]
    kept = home.state_dir / "machine-id"
    try:
        return kept.read_text("ascii").strip()
    except FileNotFoundError:
        made = uuid.uuid4().hex
        ensure_private(home.state_dir)
        write_atomically(kept, made.encode())
        return made


def _system_id() -> str:
    if sys.platform == "darwin":
        return _host_uuid()
    for candidate in (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id")):
        with contextlib.suppress(OSError, UnicodeDecodeError):
            found = candidate.read_text("ascii").strip()
            # systemd writes this word into an image that has yet to become a machine.
            if found and found != "uninitialized":
                return found
    return ""


def _host_uuid() -> str:
    """macOS keeps no such file; the kernel knows the machine."""
    import ctypes

    made = ctypes.create_string_buffer(16)
    wait = (ctypes.c_long * 2)(1, 0)
    try:
        failed = ctypes.CDLL(None).gethostuuid(made, wait)
    except (AttributeError, OSError):
        return ""
    return "" if failed else made.raw.hex()
