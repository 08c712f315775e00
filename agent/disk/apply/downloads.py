"""Downloads on their way into the linked folder: large files from the server, written piece by piece.

A download is the file ``ID.down`` in the staging folder, on the root's file system. ``begin`` opens it and hashes the
bytes of an earlier process; the pieces are appended; ``DownloadWriter.finish`` makes it durable and checks it. An
intent with the supply ``Staged`` then renames it into place. A crash at any call leaves a file that ``begin`` goes on
with.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NoReturn

from msgspec import Struct, field

from agent.core.errors import DiskError
from agent.core.model import Intent
from agent.core.supply import Staged, Supply, Transfer
from agent.disk.apply.staging import FileHash, StagingArea, StagingMark, file_hash
from agent.disk.apply.trash import Trash
from agent.disk.fs.protocol import File, Fs, Stat
from agent.disk.scan.digest import CHUNK, Digest, ReadInterrupted, RunningDigest, never

_RESERVE: Final = 20
"""One part in so many of a file's size must be free beside the file itself: 5 %."""


class NoRoom(DiskError):
    """The disk of the linked folder has not enough free space for a download."""

    code = "no_room"


class GarbledDownload(DiskError):
    """The bytes of a download are not those that were promised. The file was removed: ``begin`` starts from 0."""

    code = "garbled"


class VerifiedDownloads(Struct):
    """The digests of finished downloads, so that an install need not read them again.

    Only the agent writes to the staging folder, so an equal stat proves equal bytes. One object may serve several
    ``StagedDownloads`` over the same folder, from any thread.
    """

    known: dict[str, tuple[tuple[int, int, int], Digest]] = field(default_factory=dict)

    def add(self, transfer_id: str, found: Stat, digest: Digest) -> None:
        """Record the digest of a download."""
        self.known[transfer_id] = (_identity(found), digest)

    def get(self, transfer_id: str, found: Stat) -> Digest | None:
        """Return the digest of a download with this stat; None if it is not known."""
        stamp, digest = self.known.get(transfer_id, ((0, 0, 0), None))
        return digest if stamp == _identity(found) else None

    def forget(self, transfer_id: str) -> None:
        """Drop the record of a download, if there is one."""
        self.known.pop(transfer_id, None)


def _identity(found: Stat) -> tuple[int, int, int]:
    """Return what no rename and no change of attributes alters, but every write does."""
    return found.size, found.mtime_ns, found.inode


class DownloadWriter:
    """The file of one download, open for writing. Used by one thread, then closed.

    Attributes:
        transfer: the download.
    """

    def __init__(self, downloads: StagedDownloads, transfer: Transfer, file: File, digest: RunningDigest) -> None:
        self.transfer = transfer
        self._downloads = downloads
        self._file = file
        self._digest = digest

    def __enter__(self) -> DownloadWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def present(self) -> int:
        """Bytes that are in the file: the next piece begins there."""
        return self._digest.size

    @property
    def sha256(self) -> str:
        """The sha256 of the bytes that are in the file."""
        return self._digest.sha256

    @property
    def is_complete(self) -> bool:
        """True if no byte is missing."""
        return self._digest.size >= self.transfer.size

    def append(self, data: bytes) -> None:
        """Append the next piece; best in pieces of 1 MiB. Not durable until ``make_durable`` or ``finish``.

        Raises:
            GarbledDownload: the file would be longer than promised.
            OSError: the disk refused. How much was written is not known: close it, and ``begin`` again.
        """
        if self._digest.size + len(data) > self.transfer.size:
            self._remove(f"{self.transfer.path} came longer than its {self.transfer.size} bytes.")
        self._downloads.fs.write(self._file, data)
        self._digest.update(data)

    def begin_anew(self) -> None:
        """Drop all bytes: the server sends the file from its beginning. Raises OSError."""
        self.close()
        self._file = self._downloads.create(self.transfer.id)
        self._digest = RunningDigest()

    def make_durable(self) -> None:
        """Make the bytes durable. Raises OSError."""
        self._downloads.fs.fsync(self._file)

    def finish(self) -> None:
        """Make the complete file durable, check its sha256, and close it. An intent may name it from now on.

        Raises:
            GarbledDownload: it has another sha256.
            ValueError: bytes are missing.
            OSError: the disk refused.
        """
        if not self.is_complete:
            raise ValueError(f"{self.present} of {self.transfer.size} bytes are present")
        found = self._digest.result()
        if found.sha256 != self.transfer.hash:
            self._remove(f"{self.transfer.path} came with other bytes than those of its hash.")
        try:
            self.make_durable()
            self._downloads.verified.add(self.transfer.id, self._downloads.fs.fstat(self._file), found)
        finally:
            self.close()

    def _remove(self, message: str) -> NoReturn:
        self.close()
        self._downloads.discard(self.transfer.id)
        raise GarbledDownload(message)

    def close(self) -> None:
        """Close the file. A second call does nothing."""
        if self._file != -1:
            self._downloads.fs.close(self._file)
            self._file = File(-1)


class StagedDownloads:
    """The downloads of one source. A download is written by one thread at a time.

    Attributes:
        fs: the file system.
        verified: the digests of finished downloads.
        interrupted: True once the process stops; reads then raise ReadInterrupted.
    """

    def __init__(
        self,
        fs: Fs,
        trash: Trash,
        interrupted: Callable[[], bool] = never,
        verified: VerifiedDownloads | None = None,
    ) -> None:
        self.fs = fs
        self.interrupted = interrupted
        self.verified = verified or VerifiedDownloads()
        self._trash = trash
        self._staging = StagingArea(fs, trash, interrupted)

    def begin(self, transfer: Transfer) -> DownloadWriter:
        """Open a download: the bytes of an earlier process are hashed, and the next piece goes behind them.

        Raises:
            NoRoom: the disk has not enough free space for the rest of the file and a reserve of 5 % of its size.
            DiskError, OSError: the disk refused.
            ReadInterrupted: the process is stopping.
        """
        present = self._hash_present(transfer)
        self._ask_for_room(transfer, present.size)
        if present.size:
            file = self.fs.open_append(self._trash.staging, transfer.id + StagingMark.DOWN)
        else:
            file = self.create(transfer.id)
        return DownloadWriter(self, transfer, file, present)

    def _hash_present(self, transfer: Transfer) -> RunningDigest:
        """Return the running digest of what is there. A file that is too long is of no use, and counts as empty."""
        digest = RunningDigest()
        try:
            file = self.fs.open_file(self._trash.staging, transfer.id + StagingMark.DOWN)
        except FileNotFoundError:
            return digest
        try:
            while data := self.fs.read(file, CHUNK):
                if self.interrupted():
                    raise ReadInterrupted
                if digest.size + len(data) > transfer.size:
                    return RunningDigest()
                digest.update(data)
            return digest
        finally:
            self.fs.close(file)

    def _ask_for_room(self, transfer: Transfer, present: int) -> None:
        needed = transfer.size - present + transfer.size // _RESERVE
        free = self.fs.free_bytes(self._trash.staging)
        if free < needed:
            raise NoRoom(
                f"{transfer.path} needs {_mebibytes(needed)} MiB, and the disk of the folder has {_mebibytes(free)} MiB"
                " free; it is fetched once there is room.",
                "free some space on the disk",
            )

    def create(self, transfer_id: str) -> File:
        """Create the empty file of a download, in the place of an old one. Raises OSError."""
        self.verified.forget(transfer_id)
        return self._staging.create(transfer_id + StagingMark.DOWN)

    def verify(self, transfer_id: str) -> FileHash | None:
        """Return the stat and the hash of a download; None if there is none. A finished one is not read again.

        Raises:
            OSError: it cannot be read.
            ReadInterrupted: the process is stopping.
        """
        name = transfer_id + StagingMark.DOWN
        try:
            found = self.fs.stat(self._trash.staging, name)
            digest = self.verified.get(transfer_id, found)
            if digest is not None and digest.sha256 is not None:
                return FileHash(digest.sha256, found, digest)
            read = file_hash(self.fs, self._trash.staging, name, self.interrupted)
        except FileNotFoundError:
            return None
        if read is not None and read.digest is not None:
            self.verified.add(transfer_id, read.stat, read.digest)
        return read

    def keep(self, transfer: Transfer, reason: str, now: float) -> None:
        """Move a finished download into the trash, as a version that is to be found there; durable on return.

        Raises:
            DiskError: it is missing, or has other bytes than promised.
            OSError: the disk refused.
            ReadInterrupted: the process is stopping.
        """
        found = self.verify(transfer.id)
        if found is None or found.sha256 != transfer.hash:
            raise DiskError(f"the download of {transfer.path} is not complete")
        name = transfer.id + StagingMark.DOWN
        try:
            self._trash.move_in(
                name,
                transfer.path,
                sha256=transfer.hash,
                hashed=found.stat,
                reason=reason,
                entry_id=transfer.id,
                now=now,
            )
        except FileExistsError:
            # A crash hid that it was there already, and the same bytes came once more.
            self.discard(transfer.id)
        self.fs.fsync_dir(self._trash.folder)
        self.fs.fsync_dir(self._trash.staging)
        self.verified.forget(transfer.id)

    def discard(self, transfer_id: str) -> None:
        """Remove a download, if it exists: it is not wanted any more, or was installed. Raises OSError."""
        self.verified.forget(transfer_id)
        with contextlib.suppress(FileNotFoundError):
            self.fs.unlink(self._trash.staging, transfer_id + StagingMark.DOWN)


class LiveDownloads(Struct, frozen=True):
    """The downloads that a recovery must not remove.

    Attributes:
        ids: of every download that is wanted; None if that is not known, so that none is removed.
        by_file: ids by the path and sha256 that they are for. An intent that is not carried out gives its file back.
    """

    ids: frozenset[str] | None = None
    by_file: Mapping[tuple[str, str], str] = field(default_factory=dict)

    @classmethod
    def of_transfers(cls, transfers: Iterable[Transfer] | None) -> LiveDownloads:
        """Return those of all transfers; None if they are not known."""
        if transfers is None:
            return cls()
        by_id = {transfer.id: (transfer.path, transfer.hash) for transfer in transfers}
        return cls(frozenset(by_id), {file: identifier for identifier, file in by_id.items()})

    @classmethod
    def of_jobs(cls, jobs: Sequence[tuple[Intent, Supply]]) -> LiveDownloads:
        """Return those that these intents install. Others may exist."""
        return cls(
            None,
            {
                (intent.path, intent.new): supply.transfer
                for intent, supply in jobs
                if isinstance(supply, Staged) and intent.new is not None
            },
        )

    def of(self, intent: Intent) -> str | None:
        """Return the download that an intent installs; None if there is none."""
        return None if intent.new is None else self.by_file.get((intent.path, intent.new))


def _mebibytes(size: int) -> int:
    """Return a size in MiB, rounded up."""
    return -(-size // (1 << 20))
