"""Detection of the parent process's end, without polling where the system can signal it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

POLL_SECONDS = 2.0


@contextmanager
def watch_parent(pid: int | None, gone: Callable[[], None]) -> Iterator[None]:
    """Within a running event loop, call `gone` once when the process `pid` has ended. Do nothing for None.

    PR_SET_PDEATHSIG is not used: it fires when the parent's *thread* ends, which may be earlier.
    """
    if pid is None:
        yield
        return
    loop = asyncio.get_running_loop()
    descriptor = _pidfd(pid)
    if descriptor is None:
        task = loop.create_task(_poll_parent(pid, gone))
        try:
            yield
        finally:
            task.cancel()
        return
    loop.add_reader(descriptor, _once(loop, descriptor, gone))
    try:
        yield
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def _pidfd(pid: int) -> int | None:
    """Return a descriptor that becomes readable when the parent ends, or None if unsupported or already ended."""
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return None
    if os.getppid() == pid:
        return descriptor
    # The parent has ended and another process may have its number.
    os.close(descriptor)
    return None


def _once(loop: asyncio.AbstractEventLoop, descriptor: int, gone: Callable[[], None]) -> Callable[[], None]:
    def ended() -> None:
        loop.remove_reader(descriptor)
        gone()

    return ended


async def _poll_parent(pid: int, gone: Callable[[], None]) -> None:
    while os.getppid() == pid:
        await asyncio.sleep(POLL_SECONDS)
    gone()
