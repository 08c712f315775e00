"""A budget of bytes held for clients, in total and for each user. It bounds the memory that slow clients can occupy."""

from __future__ import annotations

import asyncio
from collections import defaultdict


class MemoryBudget:
    """Bytes in use by user. Lives on one event loop.

    Args:
        total: largest sum over all users, in bytes.
        each_user: largest sum of one user, in bytes. One user can therefore not use up the budget of the others.
    """

    def __init__(self, total: int, each_user: int) -> None:
        self._total = total
        self._each_user = each_user
        self._used = 0
        self._by_user: defaultdict[str, int] = defaultdict(int)
        self._waiting: set[asyncio.Event] = set()

    @property
    def used(self) -> int:
        """Bytes in use now."""
        return self._used

    def has_room(self, user: str, size: int) -> bool:
        """Return True if `size` more bytes of the user fit. A user with no bytes in use always has room."""
        mine = self._by_user.get(user, 0)
        return mine == 0 or (mine + size <= self._each_user and self._used + size <= self._total)

    async def wait_for_room(self, user: str, size: int, seconds: float) -> bool:
        """Wait until `size` more bytes of the user fit. Return False if they do not fit in time."""
        if self.has_room(user, size):
            return True
        changed = asyncio.Event()
        self._waiting.add(changed)
        try:
            async with asyncio.timeout(seconds):
                while not self.has_room(user, size):
                    changed.clear()
                    await changed.wait()
        except TimeoutError:
            return False
        finally:
            self._waiting.discard(changed)
        return True

    def add(self, user: str, size: int) -> None:
        """Count `size` bytes as in use."""
        self._used += size
        self._by_user[user] += size

    def remove(self, user: str, size: int) -> None:
        """Count `size` bytes as free again."""
        self._used -= size
        self._by_user[user] -= size
        if not self._by_user[user]:
            del self._by_user[user]
        for changed in self._waiting:
            changed.set()
