"""Calls to a server about its conflicts, and the texts that are saved before a call can remove them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from typing import Final

from msgspec.structs import replace

from agent.core.errors import ProblemKind, RemoteError
from agent.core.remote_records import RemoteConflict
from agent.disk.apply.trash_texts import TrashText
from agent.engine import effects as e
from agent.engine import messages as m
from agent.remotes.protocol import Remote

_LIST_PART_BYTES: Final = 4 << 20
"""Bytes of texts in one part of a list of conflicts, about."""

Save = Callable[[Sequence[TrashText]], None]
"""Writes texts to the trash. Raises DiskError or OSError."""


def close_conflicts(
    remote: Remote, source_id: str, closes: Sequence[e.CloseConflict], save: Save
) -> Iterator[m.Message]:
    """Save the texts of all conflicts, then close one after another."""
    texts = [_entry(close.server_id, close.path, text) for close in closes for text in close.texts]
    if texts:
        save(texts)
    for number, close in enumerate(closes):
        try:
            remote.resolve(source_id, close.server_id, close.choice, close.content, close.expected_head)
        except RemoteError as error:
            kind = error.problem.kind
            if kind in (ProblemKind.STALE, ProblemKind.NOT_FOUND):
                yield m.ConflictCloseAnswered(close.conflict, stale=True)
            elif kind in (ProblemKind.BAD_REQUEST, ProblemKind.TOO_LARGE):
                yield m.CallFailed(m.Call.CLOSE, error.problem, close.conflict)
            else:
                # The server is in trouble, so the others are not tried.
                yield from (m.CallFailed(m.Call.CLOSE, error.problem, left.conflict) for left in closes[number:])
                return
        else:
            yield m.ConflictCloseAnswered(close.conflict)


def keep_texts(remote: Remote, source_id: str, deleted: Set[str], save: Save) -> None:
    """Save the texts of conflicts that a delete of these paths would remove on the server, before it is sent."""
    if not deleted or remote.capabilities.keeps_history:
        return
    for conflict in remote.conflicts(source_id, deleted):
        texts = [text for text in (conflict.local_text, conflict.remote_text) if text]
        if texts and conflict.path in deleted:
            save([_entry(conflict.id, conflict.path, text) for text in texts])


def conflict_list(conflicts: Iterable[RemoteConflict], with_texts: Set[str]) -> Iterator[m.Message]:
    """Pass the list on in parts, with the texts of these conflicts alone: all texts need not fit into memory."""
    part: list[RemoteConflict] = []
    size = 0
    for found in conflicts:
        wanted = found.id in with_texts
        conflict = found if wanted else replace(found, local_text=None, remote_text=None)
        part.append(conflict)
        size += len(conflict.local_text or b"") + len(conflict.remote_text or b"")
        if size >= _LIST_PART_BYTES:
            yield m.ConflictsArrived(tuple(part), last=False)
            part, size = [], 0
    yield m.ConflictsArrived(tuple(part))


def _entry(server_id: str, path: str, text: bytes) -> TrashText:
    """Return a trash entry that is the same each time, so that a repetition after a lost answer changes nothing."""
    return TrashText(path, text, "conflict", hashlib.sha256(server_id.encode() + text).hexdigest()[:16])
