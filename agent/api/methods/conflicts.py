"""Conflicts as people see them: their documents, and one conflict with its three texts."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from msgspec import Struct

from agent.api.methods.common import (
    live_conflicts,
    opened_folder,
    readable,
    remote_of,
    row_of,
    stamp,
)
from agent.api.schema.conflicts import (
    ConflictDocument,
    DiffDocument,
    DiffParams,
    DraftDocument,
    HunkDocument,
    PreviewRow,
)
from agent.core.conflict import HEAD_IS_LOCAL, Conflict
from agent.core.diff import diff_lines
from agent.core.errors import AgentError, RemoteError, UsageError
from agent.core.merge import Proposal, begin_merge, is_text, propose
from agent.runtime.agent import Agent
from agent.runtime.local_folder import LocalFolder
from agent.settings.drafts import Draft, Drafts
from agent.settings.links import SourceEntry

_MAX_TEXT: Final = 64 << 20
"""Bytes read of a local side at most; no server takes as much."""


class Shown(Struct, frozen=True):
    """A conflict with the source it belongs to."""

    source: SourceEntry
    conflict: Conflict


def documents(agent: Agent, shown: Iterable[Shown]) -> list[ConflictDocument]:
    """Return the JSON form of conflicts, each with its draft and whether the rules still select its file."""
    drafts = Drafts(agent.home.drafts_dir).newest()
    excluded: dict[int, frozenset[str]] = {}
    rows = []
    everything = list(shown)
    for one in everything:
        key = one.source.key
        if key not in excluded:
            paths = [other.conflict.path for other in everything if other.source.key == key]
            excluded[key] = _excluded(agent, one.source, paths)
        draft = drafts.get((key, one.conflict.id))
        rows.append(_document(one, draft, excluded=one.conflict.path in excluded[key]))
    return rows


def _excluded(agent: Agent, source: SourceEntry, paths: Iterable[str]) -> frozenset[str]:
    """Return the paths that the rules no longer select; none while the folder is away."""
    try:
        with opened_folder(agent, source) as folder:
            return frozenset(path for path in paths if not folder.selection.verdict(path).selected)
    except AgentError:
        return frozenset()


def _document(shown: Shown, draft: Draft | None, *, excluded: bool) -> ConflictDocument:
    conflict, source = shown.conflict, shown.source
    return ConflictDocument(
        id=conflict.key,
        source_id=source.source_id,
        root=readable(str(source.root)),
        path=conflict.path,
        kind=conflict.kind.value,
        base_hash=conflict.base_hash,
        local_hash=conflict.local_hash,
        remote_hash=conflict.remote_hash,
        opened_at=stamp(conflict.opened_at),
        state=conflict.state.value,
        mine=conflict.mine,
        origin=conflict.origin.value,
        note=conflict.note,
        excluded=excluded,
        draft=DraftDocument(readable(str(draft.file)), f"{draft.conflict}.{draft.generation}", stamp(draft.written_at))
        if draft
        else None,
    )


def find(everything: Iterable[Shown], wanted: str, cwd: str) -> Shown:
    """Return the conflict of an id, with or without its generation, or of a file's path.

    A path is taken from the working directory, as in git, and else as ``conflicts`` prints it, below the root.

    Raises:
        UsageError: there is none, or several folders hold that path.
    """
    everything = list(everything)
    path = Path(os.path.normpath(Path(cwd) / wanted)) if cwd else Path(wanted)
    by_id = [s for s in everything if str(s.conflict.id) == wanted.split(".", maxsplit=1)[0]]
    by_path = [s for s in everything if s.source.root / s.conflict.path == path]
    printed = [s for s in everything if s.conflict.path == wanted]
    found = by_id or by_path or printed
    if not found:
        raise UsageError(f"no open conflict {wanted!r}", "raven-agent conflicts lists them")
    if not by_id and len({one.source.key for one in found}) > 1:
        raise UsageError(f"several folders have a conflict {wanted!r}", "give its id: raven-agent conflicts lists them")
    # One's own before another machine's on the same path.
    return min(found, key=lambda one: not one.conflict.mine)


def all_shown(agent: Agent) -> list[Shown]:
    """Return every conflict that is not closed, of all sources."""
    return [Shown(source, found) for source in agent.registry.sources for found in live_conflicts(agent, source)]


def diff(agent: Agent, params: DiffParams) -> DiffDocument:
    """Show one conflict: the base, both sides, and the proposed merge."""
    shown = find(all_shown(agent), params.id, params.cwd or "")
    texts, unshown = _shown_texts(agent, shown)
    proposal = texts.proposal()
    start = proposal or begin_merge(texts.base, texts.local, texts.remote)
    preview, cut = _preview(texts)
    document = documents(agent, [shown])[0]
    return DiffDocument(
        **{name: getattr(document, name) for name in document.__struct_fields__},
        base=_decoded(texts.base),
        local=_decoded(texts.local),
        remote=_decoded(texts.remote),
        merged=_decoded(proposal.text) if proposal else None,
        merge_clean=proposal.clean if proposal else False,
        start=_decoded(start.text) if start else None,
        hunks=[HunkDocument(_decoded(h.base), _text(h.local), _text(h.remote)) for h in start.hunks] if start else [],
        preview=preview,
        cut=cut or (proposal is not None and proposal.cut),
        unshown=unshown,
    )


def _shown_texts(agent: Agent, shown: Shown) -> tuple[ConflictTexts, str | None]:
    """Return the texts to show, or none of them and the reason."""
    path, way_on = shown.conflict.path, "keep one side: raven-agent resolve"
    size = large_size(agent, shown.source, path)
    if size is not None:
        return _NO_TEXTS, f"{path} has {size:,} bytes and is not shown; {way_on}"
    texts = texts_of(agent, shown)
    if any(each is not None and not is_text(each) for each in (texts.base, texts.local, texts.remote)):
        return _NO_TEXTS, f"{path} is no text and is not shown; {way_on}"
    return texts, None


def large_size(agent: Agent, source: SourceEntry, path: str) -> int | None:
    """Return the bytes of the larger side of a file that travels as a transfer; None if no side does."""
    limit = agent.server(source.server).capabilities.inline_limit
    row = row_of(agent, source, path)
    size = max(row.local.size or 0, row.remote.size or 0)
    return None if limit is None or size <= limit else size


def _preview(texts: ConflictTexts) -> tuple[list[PreviewRow], bool]:
    """Return the differing regions, and True if the work bound made one of them coarser than it could be."""
    ours = (texts.local or b"").decode("utf-8", "replace").splitlines()
    theirs = (texts.remote or b"").decode("utf-8", "replace").splitlines()
    found = diff_lines(ours, theirs)
    rows = [
        PreviewRow(a + 1, "\n".join(ours[a:b]), "\n".join(theirs[c:d]))
        for equal, a, b, c, d in found.blocks
        if not equal
    ]
    return rows, found.cut


def _decoded(text: bytes | None) -> str | None:
    return None if text is None else _text(text)


def _text(text: bytes) -> str:
    return text.decode("utf-8", "replace")


class ConflictTexts(Struct, frozen=True):
    """The three texts of a conflict; None where a side holds no file, or its text is not available."""

    base: bytes | None
    local: bytes | None
    remote: bytes | None

    def proposal(self) -> Proposal | None:
        """Return the proposed three-way merge, if one can be made."""
        return propose(self.base, self.local, self.remote)


_NO_TEXTS: Final = ConflictTexts(None, None, None)


def texts_of(agent: Agent, shown: Shown, folder: LocalFolder | None = None) -> ConflictTexts:
    """Collect the texts of a conflict. ``folder`` is the source's, where the caller has it open."""
    conflict, source = shown.conflict, shown.source
    if folder is None:
        with opened_folder(agent, source) as opened:
            return texts_of(agent, shown, opened)
    return ConflictTexts(
        _version(agent, source, folder, conflict.path, conflict.base_hash),
        local_text(agent, source, folder, conflict),
        _version(agent, source, folder, conflict.path, conflict.remote_hash),
    )


def local_text(agent: Agent, source: SourceEntry, folder: LocalFolder, conflict: Conflict) -> bytes | None:
    """Return the local side of a conflict; None if the file is not the version that the conflict shows any more.

    Beside the server's head the local side is that head. A folder that only sends does not hold it.
    """
    if conflict.local_hash is None:
        return None
    try:
        with folder.reader() as reader:
            # Checked by its hash, whatever the rules say of the path now: an excluded conflict can be resolved too.
            text = reader.read(conflict.path, conflict.local_hash, _MAX_TEXT)
    except AgentError:
        text = None
    if text is None and conflict.origin in HEAD_IS_LOCAL:
        return _version(agent, source, folder, conflict.path, conflict.local_hash)
    return text


def _version(agent: Agent, source: SourceEntry, folder: LocalFolder, path: str, digest: str | None) -> bytes | None:
    """Find a text by its hash: in the index, on the server, or in the local trash."""
    if digest is None:
        return None
    stored = agent.control.call(lambda: agent.index.texts.get(digest))
    if stored is not None:
        return stored
    try:
        remote = remote_of(agent, source)
        head = remote.head(source.source_id, path)
        if head is not None and head.hash == digest and head.content is not None:
            return bytes(head.content)
        for version in remote.history(source.source_id, path):
            if version.hash == digest and version.content is not None:
                return bytes(version.content)
    except RemoteError:
        pass
    try:
        entry = next((e for e in folder.trash.entries() if e.hash == digest), None)
        return folder.trash.read(entry.id) if entry else None
    except AgentError:
        return None
