"""Parts of uploads that several dialects share: their ends, their cancellation, and bytes as an opened content."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from agent.remotes.http.failures import RemoteCallError, SideEffect


class UploadChanged(Exception):
    """The file changed, or its upload was cancelled."""


class UploadInDoubt(Exception):
    """The request that makes the version was sent, and its answer does not say what happened."""

    def __init__(self, failure: RemoteCallError) -> None:
        super().__init__(failure.problem.message)
        self.failure = failure


class UploadBytes:
    """Bytes in memory as an opened content."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    @property
    def size(self) -> int:
        """See ``Pieces``."""
        return len(self._content)

    def read(self, offset: int, length: int) -> bytes:
        """See ``Pieces``."""
        return self._content[offset : offset + length]


class RunningUploads:
    """Uploads that run now, and which of them were cancelled. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cancelled: dict[str, bool] = {}
        """Operation id -> True if its upload was cancelled."""

    def cancel(self, operation_id: str) -> None:
        """See ``Remote.cancel``."""
        with self._lock:
            if operation_id in self._cancelled:
                self._cancelled[operation_id] = True

    @contextmanager
    def run(self, operation_id: str) -> Iterator[None]:
        """Count an operation's upload as running within the block."""
        with self._lock:
            self._cancelled[operation_id] = False
        try:
            yield
        finally:
            with self._lock:
                del self._cancelled[operation_id]

    def check(self, operation_id: str) -> None:
        """Raise UploadChanged if the running upload of an operation was cancelled."""
        if self._cancelled[operation_id]:
            raise UploadChanged


@contextmanager
def in_doubt() -> Iterator[None]:
    """Translate a failure after which the version may exist."""
    try:
        yield
    except RemoteCallError as failure:
        if failure.effect is SideEffect.POSSIBLE:
            raise UploadInDoubt(failure) from failure
        raise
