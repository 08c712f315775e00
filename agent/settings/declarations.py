"""Declared accounts and folders: the ``[[server]]`` and ``[[source]]`` tables of the configuration files.

One invalid table becomes a ``DeclarationRefusal`` with its file and the reason; the others are still valid.
"""

from __future__ import annotations

import difflib
import enum
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from msgspec import Struct

from agent.core.errors import AgentError, UsageError
from agent.core.model import Mode
from agent.settings.config_file import read_files
from agent.settings.credentials import CREDENTIALS_PREFIX
from agent.settings.errors import DeclarationError
from agent.settings.home import Home
from agent.settings.links import LOCAL_ACCOUNTS
from agent.settings.server_url import clean_url

_PIN: Final = re.compile(r"[0-9a-f]{64}")


class DeclarationKind(enum.StrEnum):
    """Kind of a declared table; the value is the table's name."""

    SERVER = "server"
    SOURCE = "source"


KEYS: Final[Mapping[DeclarationKind, Mapping[str, str]]] = {
    DeclarationKind.SERVER: {
        "url": "address of the server; needed",
        "name": "name of the account; by default the address's host",
        "workspace": "workspace id; by default the one the token in token_file names",
        "token_file": "file with the token, read again whenever it is needed; without it, sign in with login",
        "insecure_http": "allow plain http to another machine",
        "pin": "sha256 of the one certificate to accept, whatever names it has; for a hub that made its own",
    },
    DeclarationKind.SOURCE: {
        "root": "the folder: an absolute path, or one that begins with ~/; needed",
        "server": "name of the account; not needed when there is one",
        "name": "name of the source; by default the folder's",
        "mode": "bidirectional, local_to_cloud or import_only",
        "include": "patterns of files to sync",
        "exclude": "patterns of files to leave out",
        "source": "join this source of the server, by id or name, instead of one of this machine's own",
    },
}
"""Every key of both tables with its meaning."""


class DeclaredServer(Struct, frozen=True):
    """One account.

    Attributes:
        file: the configuration file.
        workspace: empty for the workspace that its token names.
        token_file: absolute, or below ``$CREDENTIALS_DIRECTORY/``; empty for a token given by ``login``.
        pin: sha256 of the certificate in lower-case hexadecimal; empty to check it by its name.
    """

    file: str
    name: str
    url: str
    workspace: str
    token_file: str
    insecure_http: bool
    pin: str = ""


class DeclaredSource(Struct, frozen=True):
    """One synced folder.

    Attributes:
        file: the configuration file.
        server: the account's name; None for the only one there is.
        mode: None for the source's own.
        source: id or name of the server's source to join; None for one of this machine's own.
    """

    file: str
    root: Path
    name: str
    server: str | None
    mode: Mode | None
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    source: str | None

    @property
    def text(self) -> str:
        """Canonical text of the table. Equal texts declare the same, in whatever file."""
        said = [str(self.root), self.name, self.server, self.mode, self.include, self.exclude, self.source]
        return json.dumps(said)


class DeclarationRefusal(Struct, frozen=True):
    """A table that was refused, with the reason."""

    kind: DeclarationKind
    name: str
    file: str
    message: str
    hint: str | None


class Declarations(Struct, frozen=True):
    """Everything declared, in the order of the files."""

    servers: tuple[DeclaredServer, ...] = ()
    sources: tuple[DeclaredSource, ...] = ()
    refusals: tuple[DeclarationRefusal, ...] = ()

    def doubtful(self, kind: DeclarationKind, file: str) -> bool:
        """Return True if a table of this kind in this file was refused: a table missing there may be that one."""
        return any(refusal.kind is kind and refusal.file == file for refusal in self.refusals)


class DeclarationState(enum.StrEnum):
    """Progress of a declaration."""

    APPLIED = "applied"
    WAITING = "waiting"
    """Not applied yet; tried again without a command."""
    REFUSED = "refused"


class DeclarationOutcome(Struct, frozen=True):
    """Result of applying one declaration. ``code``, ``message`` and ``hint`` are set while something prevents it."""

    kind: DeclarationKind
    name: str
    file: str
    state: DeclarationState
    code: str | None = None
    message: str | None = None
    hint: str | None = None

    def document(self) -> dict[str, Any]:
        """Return the JSON form that ``status`` prints."""
        error = None if self.code is None else {"code": self.code, "message": self.message, "hint": self.hint}
        return {
            "kind": self.kind.value,
            "name": self.name,
            "file": self.file,
            "state": self.state.value,
            "error": error,
        }


def read(tables: Iterable[tuple[Path, Mapping[str, Any]]]) -> Declarations:
    """Collect the declarations of these files, each given as its path and its parsed content."""
    servers: dict[str, DeclaredServer] = {}
    sources: dict[Path, DeclaredSource] = {}
    refusals: list[DeclarationRefusal] = []
    for file, kind, table in _tables(tables):
        try:
            if kind is DeclarationKind.SERVER:
                server = _server(file, table)
                _only_once(server.name, servers.get(server.name))
                servers[server.name] = server
            else:
                source = _source(file, table)
                _apart(source, sources.values())
                sources[source.root] = source
        except AgentError as error:
            refusals.append(DeclarationRefusal(kind, _title(kind, table), str(file), error.message, error.hint))
    return Declarations(tuple(servers.values()), tuple(sources.values()), tuple(refusals))


def read_home(home: Home) -> Declarations:
    """Collect the declarations for this home, from the system's files and the person's.

    Raises:
        ConfigError: a file cannot be read or is not TOML; nothing is assumed about what it declared.
    """
    return read(read_files(home))


def _tables(files: Iterable[tuple[Path, Mapping[str, Any]]]) -> Iterator[tuple[Path, DeclarationKind, Any]]:
    for file, content in files:
        for kind in DeclarationKind:
            found = content.get(kind.value, [])
            # A single [server] table is a mistake and must not be read as "no table".
            yield from ((file, kind, table) for table in (found if isinstance(found, list) else [found]))


def _server(file: Path, table: object) -> DeclaredServer:
    said = _Table(DeclarationKind.SERVER, table)
    url = said.text("url")
    if not url:
        raise DeclarationError("a [[server]] needs its url", 'url = "https://…"')
    insecure = said.flag("insecure_http")
    try:
        address = clean_url(url, insecure_http=insecure)
    except UsageError as error:
        raise DeclarationError(
            error.message, "insecure_http = true allows it" if "http:" in url else error.hint
        ) from error
    name = said.text("name") or str(urlsplit(address).hostname)
    if name in LOCAL_ACCOUNTS:
        raise DeclarationError(
            f"the name {name} is the embedded hub's, which needs no declaration", "choose another name"
        )
    token_file = said.text("token_file")
    if token_file and not token_file.startswith(CREDENTIALS_PREFIX):
        token_file = os.path.normpath(file.parent / _expanded(token_file))
    return DeclaredServer(str(file), name, address, said.text("workspace"), token_file, insecure, _pin(said, address))


def _pin(said: _Table, address: str) -> str:
    """Return the pin as digits alone; openssl writes it with colons and in capitals."""
    text = said.text("pin")
    digits = text.replace(":", "").lower()
    if text and not _PIN.fullmatch(digits):
        raise DeclarationError(
            f"pin is the sha256 of a certificate, 64 hexadecimal digits, not {text!r}",
            "on the hub's machine: openssl x509 -noout -fingerprint -sha256 -in certificate.pem",
        )
    if text and not address.startswith("https:"):
        raise DeclarationError("pin is for an https address", 'url = "https://…"')
    return digits


def _source(file: Path, table: object) -> DeclaredSource:
    said = _Table(DeclarationKind.SOURCE, table)
    text = said.text("root")
    if not text:
        raise DeclarationError("a [[source]] needs its root", 'root = "~/notes"')
    root = _expanded(text)
    if not root.is_absolute():
        raise DeclarationError(f"root is an absolute path or begins with ~/, not {text!r}")
    # Normalized by its spelling alone: symbolic links are resolved when the folder is linked, not at each read.
    root = Path(os.path.normpath(root))
    mode = said.text("mode")
    if mode and mode not in tuple(Mode):
        raise DeclarationError(f"mode is one of {', '.join(Mode)}, not {mode!r}")
    return DeclaredSource(
        str(file), root, said.text("name") or root.name, said.text("server") or None, Mode(mode) if mode else None,
        said.texts("include"), said.texts("exclude"), said.text("source") or None,
    )  # fmt: skip


def _expanded(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise DeclarationError(f"{text!r} names a home that is not known") from error


def _only_once(name: str, known: DeclaredServer | None) -> None:
    if known is not None:
        raise DeclarationError(f"the account {name!r} is declared in {known.file} already", "give each its own name")


def _apart(source: DeclaredSource, others: Iterable[DeclaredSource]) -> None:
    for other in others:
        if source.root == other.root:
            raise DeclarationError(f"{source.root} is declared in {other.file} already")
        if source.root in other.root.parents or other.root in source.root.parents:
            raise DeclarationError(f"{source.root} overlaps {other.root}, which is declared in {other.file}")
        if (source.name, source.server) == (other.name, other.server) and source.source == other.source:
            raise DeclarationError(
                f"the name {source.name!r} is taken by {other.root}", "give each source its own name"
            )


def _title(kind: DeclarationKind, table: object) -> str:
    if not isinstance(table, Mapping):
        return "?"
    keys = ("name", "url") if kind is DeclarationKind.SERVER else ("name", "root")
    return next((str(table[key]) for key in keys if isinstance(table.get(key), str) and table[key]), "?")


class _Table:
    """The values of one table; the type of each is checked when it is read."""

    def __init__(self, kind: DeclarationKind, table: object) -> None:
        if not isinstance(table, Mapping):
            raise DeclarationError(f"{kind.value} is written as a [[{kind.value}]] table")
        for key in table:
            if key not in KEYS[kind]:
                near = difflib.get_close_matches(key, KEYS[kind], n=1, cutoff=0.65)
                hint = f"did you mean {near[0]!r}?" if near else f"its keys are {', '.join(KEYS[kind])}"
                raise DeclarationError(f"unknown key {key!r} in [[{kind.value}]]", hint)
        self._table = table

    def text(self, key: str) -> str:
        value = self._table.get(key, "")
        if not isinstance(value, str):
            raise DeclarationError(f"{key} is text in quotes, not {value!r}")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        value = self._table.get(key, [])
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise DeclarationError(f'{key} is a list of patterns like ["**/*.md"], not {value!r}')
        return tuple(dict.fromkeys(value))

    def flag(self, key: str) -> bool:
        value = self._table.get(key, False)
        if not isinstance(value, bool):
            raise DeclarationError(f"{key} is true or false, not {value!r}")
        return value
