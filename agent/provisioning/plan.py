"""Compare the declarations with the registry. Pure: reads no file and asks no server."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from agent.settings.declarations import (
    DeclarationKind,
    DeclarationOutcome,
    DeclarationRefusal,
    Declarations,
    DeclarationState,
    DeclaredServer,
    DeclaredSource,
)
from agent.settings.errors import DeclarationError
from agent.settings.links import DeclarationRef, Registry, ServerEntry, SourceEntry


def standing(wanted: Declarations, registry: Registry) -> tuple[DeclarationOutcome, ...]:
    """Return the state of each declaration by the registry: applied, waiting or refused."""
    found = [refused(refusal) for refusal in wanted.refusals]
    for server in wanted.servers:
        entry = registry.server(server.name)
        done = entry is not None and entry == as_declared(entry, server, entry.workspace)
        found.append(_standing(DeclarationKind.SERVER, server.name, server.file, done=done))
    for source in wanted.sources:
        link = link_of(registry, source)
        done = link is not None and link.declared == mark(source)
        found.append(_standing(DeclarationKind.SOURCE, source.name, source.file, done=done))
    return tuple(found)


def _standing(kind: DeclarationKind, name: str, file: str, *, done: bool) -> DeclarationOutcome:
    if done:
        return DeclarationOutcome(kind, name, file, DeclarationState.APPLIED)
    hint = "raven-agent run applies it"
    return DeclarationOutcome(
        kind, name, file, DeclarationState.WAITING, DeclarationError.code, "not carried out yet", hint
    )


def refused(refusal: DeclarationRefusal) -> DeclarationOutcome:
    """Return the outcome of a refused table."""
    return DeclarationOutcome(
        refusal.kind,
        refusal.name,
        refusal.file,
        DeclarationState.REFUSED,
        DeclarationError.code,
        refusal.message,
        refusal.hint,
    )


def gone_sources(wanted: Declarations, registry: Registry) -> list[SourceEntry]:
    """Return links whose declaration is gone. A link stays while a refused table of its file may mean it."""
    roots = {str(source.root) for source in wanted.sources}
    return [
        source
        for source in registry.sources
        if source.declared is not None
        and source.declared.root not in roots
        and not wanted.doubtful(DeclarationKind.SOURCE, source.declared.file)
    ]


def gone_servers(wanted: Declarations, registry: Registry) -> list[ServerEntry]:
    """Return accounts whose declaration is gone. An account stays while a refused table may mean it."""
    names = {server.name for server in wanted.servers}
    return [
        entry
        for entry in registry.servers
        if entry.declared_in is not None
        and entry.name not in names
        and not wanted.doubtful(DeclarationKind.SERVER, entry.declared_in)
    ]


def as_declared(known: ServerEntry, server: DeclaredServer, workspace: str) -> ServerEntry:
    """Return the account as declared, with ``workspace`` if the declaration names none.

    A pin stays where the declaration names none: a hub that was joined has no other trusted certificate.
    """
    return replace(
        known, url=server.url, workspace=server.workspace or workspace, insecure_http=server.insecure_http,
        declared_in=server.file, token_file=server.token_file,
        pin=server.pin or known.pin,
    )  # fmt: skip


def mark(source: DeclaredSource) -> DeclarationRef:
    """Return the reference that a link to this declaration has in the registry."""
    return DeclarationRef(source.file, str(source.root), source.text)


def link_of(registry: Registry, source: DeclaredSource) -> SourceEntry | None:
    """Return the link of a declaration: the one that refers to it, else the one of its folder."""
    followed = (s for s in registry.sources if s.declared is not None and s.declared.root == str(source.root))
    return next(followed, None) or registry.source_at(source.root.resolve())


def checks(found: Iterable[DeclarationOutcome]) -> list[dict[str, object]]:
    """Return the doctor's rows: one for all applied declarations, and one for each that is not applied."""
    found = list(found)
    rows: list[dict[str, object]] = []
    for outcome in found:
        if outcome.state is not DeclarationState.APPLIED:
            detail = f"{outcome.file}: {outcome.message or 'not carried out yet'}"
            mended = (
                outcome.state is DeclarationState.WAITING and "it is carried out by itself as soon as that is mended"
            )
            remedy = outcome.hint or mended or f"mend it in {outcome.file}"
            rows.append({"check": f"{outcome.kind} {outcome.name}", "ok": False, "detail": detail, "remedy": remedy})
    if found and not rows:
        detail = f"{len(found)} declared, all carried out"
        rows.append({"check": "declarations", "ok": True, "detail": detail, "remedy": None})
    return rows
