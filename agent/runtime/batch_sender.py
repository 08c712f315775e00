"""Send batches of operations: the bytes are read from the folder and compared with their hash, then given to the
server. A large content is sent in pieces of its opened file.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct

from agent.core.accepts import TEXT
from agent.core.errors import DiskError, Problem, ProblemKind, RemoteError, RootError
from agent.core.model import Presence
from agent.core.os_errors import explain
from agent.core.remote_records import Outcome, Result, Verb
from agent.core.supply import Pieces
from agent.disk.apply.file_reader import FileReader
from agent.disk.apply.trash_texts import TrashText
from agent.disk.scan.digest import ReadInterrupted
from agent.engine import effects as e
from agent.engine import messages as m
from agent.remotes.protocol import OnResumable, Outgoing, not_resumable
from agent.runtime.conflict_calls import keep_texts
from agent.runtime.local_folder import LocalFolder
from agent.runtime.ports import IndexReader, NotCommitted, Reporter, ServerConnection


class BytesInMemory(Struct, frozen=True):
    """A decided text as an opened content."""

    content: bytes

    @property
    def size(self) -> int:
        """See ``Pieces``."""
        return len(self.content)

    def read(self, offset: int, length: int) -> bytes:
        """See ``Pieces``."""
        return self.content[offset : offset + length]


class _UntilStop(Struct, frozen=True):
    """An opened content that can be read until the process stops.

    The server keeps the chunks that it has: a later process continues with them.
    """

    pieces: Pieces
    interrupted: Callable[[], bool]

    @property
    def size(self) -> int:
        return self.pieces.size

    def read(self, offset: int, length: int) -> bytes:
        if self.interrupted():
            raise DiskError("the agent is stopping")
        return self.pieces.read(offset, length)


class BatchSender:
    """Sends batches of one source; arguments as in ``EffectExecutor``."""

    def __init__(
        self,
        source_id: str,
        folder: LocalFolder,
        memory: IndexReader,
        connect: Callable[[], ServerConnection],
        clock: Callable[[], float],
        reporter: Reporter | None,
    ) -> None:
        self._source_id = source_id
        self._folder = folder
        self._memory = memory
        self._connect = connect
        self._clock = clock
        self._reporter = reporter

    def send(self, effect: e.Send) -> m.BatchAnswered:
        """Send a batch; returns one outcome for each operation."""
        number, operations = effect.number, effect.parcels
        try:
            connection = self._connect()
            deleted = {p.operation.path for p in operations if p.operation.verb is Verb.DELETE}
            keep_texts(connection.remote, self._source_id, deleted, self._save)
        except RemoteError as error:
            return m.BatchAnswered(number, _all(operations, Result.NOT_SENT), error.problem)
        except (DiskError, OSError) as error:
            return m.BatchAnswered(number, _all(operations, Result.NOT_SENT), trash_problem(error))
        if effect.is_large:
            return self._send_large(number, operations[0], connection)
        batch: list[Outgoing] = []
        changed: list[Outcome] = []
        for outgoing, content in self._contents(operations):
            if content is None:
                changed.append(Outcome(outgoing.operation.id, Result.CHANGED))
            else:
                batch.append(Outgoing(outgoing.operation, content, checked=True))
        if not batch:
            return m.BatchAnswered(number, tuple(changed))
        answer = connection.remote.push(self._source_id, connection.connector_id, batch)
        return m.BatchAnswered(number, (*changed, *answer.outcomes), answer.problem)

    def _save(self, texts: Sequence[TrashText]) -> None:
        self._folder.write_to_trash(texts, self._clock())

    # Large contents

    def _send_large(self, number: int, outgoing: e.OutgoingOperation, connection: ServerConnection) -> m.BatchAnswered:
        operation = outgoing.operation
        try:
            with self._opened(outgoing) as pieces:
                if pieces is None:
                    return m.BatchAnswered(number, _all((outgoing,), Result.CHANGED))
                body = _UntilStop(pieces, self._folder.interrupted)
                sent = Outgoing(operation, body, checked=True, resume=outgoing.resume)
                answer = connection.remote.push(self._source_id, connection.connector_id, [sent], self._on_resumable())
        except RootError:
            return m.BatchAnswered(number, _all((outgoing,), Result.CHANGED))
        except (ReadInterrupted, NotCommitted):
            return m.BatchAnswered(number, _all((outgoing,), Result.NOT_SENT))
        return m.BatchAnswered(number, answer.outcomes, answer.problem)

    @contextlib.contextmanager
    def _opened(self, outgoing: e.OutgoingOperation) -> Iterator[Pieces | None]:
        """Open the content of an operation; None if the folder now holds something else. Raises RootError."""
        operation = outgoing.operation
        if outgoing.content_override is not None:
            digest = hashlib.sha256(outgoing.content_override).hexdigest()
            yield BytesInMemory(outgoing.content_override) if digest == operation.hash else None
            return
        with self._folder.reader(self._memory.mounts()) as reader:
            known = self._memory.known_at([operation.path]).get(operation.path)
            fingerprint = known.fingerprint if known is not None and known.hash == operation.hash else None
            opened = reader.open(operation.path, operation.hash or "", operation.size, fingerprint)
            if opened is None:
                yield None
                return
            with opened:
                yield opened

    def _on_resumable(self) -> OnResumable:
        """Return the callable that has an upload's state committed, or drops it where no engine listens."""
        reporter = self._reporter
        if reporter is None:
            return not_resumable
        return lambda operation_id, state: reporter.commit(m.Resumable(operation_id, state))

    # Small contents

    def _contents(self, operations: tuple[e.OutgoingOperation, ...]) -> list[tuple[e.OutgoingOperation, bytes | None]]:
        """Return the operations with their bytes; None if the folder now holds something else."""
        try:
            with self._folder.reader(self._memory.mounts()) as reader:
                return [(outgoing, self._bytes_of(outgoing, reader)) for outgoing in operations]
        except RootError:
            # The text of a resolution comes with the operation, so the folder is not needed for it.
            return [(outgoing, self._bytes_of(outgoing, None)) for outgoing in operations]

    def _bytes_of(self, outgoing: e.OutgoingOperation, reader: FileReader | None) -> bytes | None:
        operation = outgoing.operation
        if outgoing.content_override is not None:
            # The text must match its hash here too: a text that is missing must not be sent as an empty file.
            digest = hashlib.sha256(outgoing.content_override).hexdigest() if operation.verb is Verb.UPSERT else None
            return outgoing.content_override if digest == operation.hash else None
        if reader is None:
            return None
        try:
            if operation.verb is not Verb.UPSERT:
                # A move sends no bytes. It is wrong only if the user has put a file at the old path meanwhile.
                path = operation.old_path or operation.path
                seen = self._folder.observe([path], {}, TEXT, self._memory.mounts())
                return b"" if seen[0].side.presence is Presence.ABSENT else None
            return reader.read(operation.path, operation.hash or "", operation.size)
        except RootError:
            return None


def words(error: DiskError | OSError, where: str) -> str:
    """Return one clause for a person: what the error means and what to do, without its number."""
    return explain(error, where) if isinstance(error, OSError) else error.message


def trash_problem(error: DiskError | OSError) -> Problem:
    """Return the problem of a text that could not be saved. Its only copy must then not be removed."""
    return Problem(ProblemKind.SERVER_FAULT, f"the trash cannot be written: {words(error, 'its disk')}")


def _all(operations: tuple[e.OutgoingOperation, ...], result: Result) -> tuple[Outcome, ...]:
    return tuple(Outcome(outgoing.operation.id, result) for outgoing in operations)
