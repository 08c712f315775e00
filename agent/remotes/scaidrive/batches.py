"""Small files in batches, where the server states that it takes them: this project's hub does.

A request for each file would take most of a first sync. What a batch does not do is left to the documented requests.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import Struct

from agent.core.errors import Problem
from agent.core.remote_records import Outcome, Result, Verb
from agent.remotes.fields import sha256
from agent.remotes.http.failures import RemoteCallError, SideEffect, malformed
from agent.remotes.http.request import Priority
from agent.remotes.protocol import Outgoing
from agent.remotes.scaidrive.calls import CONTENT_COST, Calls
from agent.remotes.scaidrive.wire import BatchLimits
from agent.remotes.scaidrive.wire_batches import (
    ReadFile,
    WantedFile,
    batch_body,
    contents_body,
    contents_of,
    created_of,
)

_LEFT_TO_SINGLE_CALLS: Final = (400, 403, 404, 405, 409, 410, 413, 422, 507)
"""Statuses of a batch of which nothing was done. Single requests say which file is meant."""


class BatchOutcome(Struct, frozen=True):
    """The outcomes of the new files of a push by operation id, and the problem that ends the push."""

    outcomes: dict[str, Outcome]
    problem: Problem | None = None


class FileBatches:
    """Batches of one account. Safe to use from several threads."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    @property
    def inline(self) -> int:
        """Bytes of the largest content that a batch carries."""
        return self._calls.limits.inline

    def limits(self) -> BatchLimits | None:
        """Return the limits that the server states; None if it takes no batches, or does not answer."""
        try:
            return self._calls.user().batch
        except RemoteCallError:
            # The next request says what is wrong.
            return None

    def create(self, share: str, batch: Sequence[Outgoing]) -> BatchOutcome:
        """Create the small new files of a push. Operations without an outcome are left to single requests."""
        limits = self.limits()
        outcomes: dict[str, Outcome] = {}
        chosen = [] if limits is None else _new_files(batch, self._calls.limits.inline)
        if limits is None or len(chosen) < 2:
            return BatchOutcome(outcomes)
        for part in _parts(chosen, limits):
            try:
                outcomes |= self._create(share, part)
            except RemoteCallError as failure:
                if failure.effect is SideEffect.POSSIBLE:
                    outcomes |= {o.operation.id: Outcome(o.operation.id, Result.UNCERTAIN) for o, _ in part}
                elif failure.status in _LEFT_TO_SINGLE_CALLS:
                    break
                return BatchOutcome(outcomes, failure.problem)
        return BatchOutcome(outcomes)

    def _create(self, share: str, part: list[tuple[Outgoing, bytes]]) -> dict[str, Outcome]:
        files = [(each.operation.path, each.operation.hash or "", content) for each, content in part]
        found = created_of(self._calls.post("files/batch", body=batch_body(share, files), cost=CONTENT_COST))
        if len(found) != len(part):
            raise malformed(f"the server answered for {len(found)} of {len(part)} files")
        outcomes = {}
        for (outgoing, _), made in zip(part, found, strict=True):
            if made is not None:
                identifier = outgoing.operation.id
                outcomes[identifier] = Outcome(identifier, Result.APPLIED, rev=made.rev, remote_id=made.file)
        return outcomes

    def read(self, share: str, wanted: Sequence[WantedFile]) -> dict[str, ReadFile]:
        """Return versions and contents by file id. What is left out is left to single requests.

        Raises:
            RemoteError: any failed call that a single request would meet too.
        """
        body = contents_body(share, wanted)
        try:
            data = self._calls.post("files/contents", body=body, cost=CONTENT_COST, priority=Priority.BULK)
        except RemoteCallError as failure:
            if failure.status in _LEFT_TO_SINGLE_CALLS:
                return {}
            raise
        return contents_of(data)


def _new_files(batch: Sequence[Outgoing], most: int) -> list[tuple[Outgoing, bytes]]:
    """Return the new files that a batch may carry: small ones that no other operation of the push has to do with."""
    touched = Counter(path for each in batch for path in {each.operation.path, each.operation.old_path} - {None})
    chosen = []
    for each in batch:
        operation, body = each.operation, each.body
        is_new = operation.verb is Verb.UPSERT and operation.base is None and each.resume is None
        if not is_new or not isinstance(body, bytes) or len(body) > most or touched[operation.path] > 1:
            continue
        if each.checked or sha256(body) == operation.hash:
            chosen.append((each, body))
    return chosen


def _parts(files: list[tuple[Outgoing, bytes]], limits: BatchLimits) -> Iterator[list[tuple[Outgoing, bytes]]]:
    """Split files into batches that the server takes. A file too large for any is left out."""
    part: list[tuple[Outgoing, bytes]] = []
    size = 0
    for each, content in files:
        if len(content) > limits.bytes:
            continue
        if part and (len(part) >= limits.files or size + len(content) > limits.bytes):
            yield part
            part, size = [], 0
        part.append((each, content))
        size += len(content)
    if part:
        yield part
