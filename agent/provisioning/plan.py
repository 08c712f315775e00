"""What is declared against what is there: decided from the declarations and the registry alone."""

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
    """What of this is carried out already, as far as the registry tells."""
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
    hint = "raven-agent run carries it out"
    return DeclarationOutcome(
        kind, name, file, DeclarationState.WAITING, DeclarationError.code, "not carried out yet", hint
    )


def refused(refusal: DeclarationRefusal) -> DeclarationOutcome:
    """A table that was refused, as an outcome."""
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
    """Links that were declared and are no more. One that a refused table may mean stays."""
    roots = {str(source.root) for source in wanted.sources}
    return [
        source
        for source in registry.sources
        if source.declared is not None
        and source.declared.root not in roots
        and not wanted.doubtful(DeclarationKind.SOURCE, source.declared.file)
    ]


def gone_servers(wanted: Declarations, registry: Registry) -> list[ServerEntry]:
    """Accounts that were declared and are no more. One that a refused table may mean stays."""
    names = {server.name for server in wanted.servers}
    return [
        entry
        for entry in registry.servers
        if entry.declared_in is not None
        and entry.name not in names
        and not wanted.doubtful(DeclarationKind.SERVER, entry.declared_in)
    ]


def as_declared(known: ServerEntry, server: DeclaredServer, workspace: str) -> ServerEntry:
    """The account as it is declared; in ``workspace`` where the declaration names none."""
    return replace(
        known, url=server.url, workspace=server.workspace or workspace, insecure_http=server.insecure_http,
        declared_in=server.file, token_file=server.token_file,
    )  # fmt: skip


def mark(source: DeclaredSource) -> DeclarationRef:
    """What a link that follows this declaration has in the registry."""
    return DeclarationRef(source.file, str(source.root), source.text)


def link_of(registry: Registry, source: DeclaredSource) -> SourceEntry | None:
    """The link a declaration means: the one that follows it, else the one of that folder."""
    followed = (s for s in registry.sources if s.declared is not None and s.declared.root == str(source.root))
    return next(followed, None) or registry.source_at(source.root.resolve())


def checks(found: Iterable[DeclarationOutcome]) -> list[dict[str, object]]:
    """The doctor's rows: one for everything that is carried out, one for each declaration that is not."""
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
