"""Ending with the parent, without looking for it every second where the system can tell."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LOOK_SECONDS = 2.0


@contextmanager
def watch_parent(pid: int | None, gone: Callable[[], None]) -> Iterator[None]:
    """Within a running event loop, call `gone` once when the process `pid` has ended; None watches nobody.

    The kernel's "signal me when my parent dies" is not used: it means the parent's thread, which may end before.
    """
    if pid is None:
        yield
        return
    loop = asyncio.get_running_loop()
    descriptor = _pidfd(pid)
    if descriptor is None:
        task = loop.create_task(_look(pid, gone))
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
    """A descriptor that becomes readable when our parent ends, or None: not offered here, or it has ended already."""
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return None
    if os.getppid() == pid:
        return descriptor
    # The number may belong to somebody else by now.
    os.close(descriptor)
    return None


def _once(loop: asyncio.AbstractEventLoop, descriptor: int, gone: Callable[[], None]) -> Callable[[], None]:
    def ended() -> None:
        loop.remove_reader(descriptor)
        gone()

    return ended


async def _look(pid: int, gone: Callable[[], None]) -> None:
    while os.getppid() == pid:
        await asyncio.sleep(LOOK_SECONDS)
    gone()
