"""Download one large content into the staging folder of a linked folder."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Final

from agent.core.errors import DiskError, RemoteError
from agent.core.os_errors import explain
from agent.core.supply import Transfer
from agent.disk.apply.downloads import DownloadWriter, GarbledDownload, NoRoom
from agent.disk.scan.digest import ReadInterrupted
from agent.engine import effects as e
from agent.engine import messages as m
from agent.remotes.protocol import Remote, Sink
from agent.runtime.local_folder import LocalFolder
from agent.runtime.ports import Reporter

_REPORT_SECONDS: Final = 0.25
"""Shortest time between two reports of the progress of one download."""


log = logging.getLogger(__name__)


class _FetchCancelled(Exception):
    """The engine gave the download up."""


class DownloadExecutor:
    """Downloads of one source. Each runs on its own thread; ``cancel`` comes from another one."""

    def __init__(
        self,
        source_id: str,
        folder: LocalFolder,
        connect: Callable[[], Remote],
        clock: Callable[[], float],
        reporter: Reporter | None,
    ) -> None:
        self._source_id = source_id
        self._folder = folder
        self._connect = connect
        self._clock = clock
        self._reporter = reporter
        self._cancelled: set[str] = set()
        """Ids of downloads that end before their next piece. An id is never used for another download."""

    def carry_out(self, effect: e.Fetch | e.CancelFetch | e.DiscardDownloads | e.KeepDownload) -> Iterator[m.Message]:
        """Execute the effect; iterate over the messages with its results."""
        match effect:
            case e.Fetch(transfer):
                yield self._fetch(transfer)
            case e.CancelFetch(transfer_id):
                # Also if it has not begun.
                self._cancelled.add(transfer_id)
            case e.DiscardDownloads(transfer_ids):
                self._discard(transfer_ids)
            case e.KeepDownload(transfer, reason):
                yield self._keep(transfer, reason)

    def _fetch(self, transfer: Transfer) -> m.Fetched:
        """Append what is missing, check the whole file and make it durable. A failure keeps what has arrived."""
        result, problem, text = m.FetchResult.COMPLETE, None, None
        try:
            with self._folder.download(transfer) as writer:
                if not writer.is_complete:
                    self._connect().fetch(self._source_id, transfer, writer.present, self._sink(writer))
                writer.finish()
        except RemoteError as error:
            result, problem = m.FetchResult.FAILED, error.problem
        except (_FetchCancelled, ReadInterrupted):
            result = m.FetchResult.CANCELLED
        except GarbledDownload as error:
            result, text = m.FetchResult.GARBLED, error.message
        except NoRoom as error:
            result, text = m.FetchResult.NO_ROOM, error.message
        except DiskError as error:
            result, text = m.FetchResult.DISK, error.message
        except OSError as error:
            result, text = m.FetchResult.DISK, explain(error, "the folder")
        finally:
            self._cancelled.discard(transfer.id)
        return m.Fetched(transfer.id, result, problem, text)

    def _keep(self, transfer: Transfer, reason: str) -> m.Fetched:
        """Move a download into the trash."""
        result, text = m.FetchResult.KEPT, None
        try:
            self._folder.keep_download(transfer, reason, self._clock())
        except ReadInterrupted:
            result = m.FetchResult.CANCELLED
        except DiskError as error:
            result, text = m.FetchResult.DISK, error.message
        except OSError as error:
            result, text = m.FetchResult.DISK, explain(error, "the trash")
        return m.Fetched(transfer.id, result, None, text)

    def _discard(self, transfer_ids: tuple[str, ...]) -> None:
        for transfer_id in transfer_ids:
            try:
                self._folder.discard_download(transfer_id)
            except (DiskError, OSError) as error:
                # The next recovery removes what stays.
                log.warning("a download could not be removed: %s", error)

    def _sink(self, writer: DownloadWriter) -> Sink:
        transfer_id = writer.transfer.id
        reported = float("-inf")

        def take(offset: int, piece: bytes) -> None:
            nonlocal reported
            if transfer_id in self._cancelled:
                raise _FetchCancelled
            if self._folder.interrupted():
                raise ReadInterrupted
            if offset == 0 and writer.present:
                writer.begin_anew()
            if offset != writer.present:
                raise DiskError(f"{writer.transfer.path}: a piece at {offset} came behind {writer.present} bytes.")
            writer.append(piece)
            now = self._clock()
            # The clock may have been set back.
            if self._reporter is not None and not reported <= now < reported + _REPORT_SECONDS:
                reported = now
                self._reporter.deliver(m.Advanced(transfer_id, writer.present))

        return take
