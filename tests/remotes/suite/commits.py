"""Faults on the requests that commit operations, whatever else is sent before them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from strict_raven.faults import Fault, Faulty
from strict_raven.wire import Handler

COMMITS = "commits"


class CommitFaults(Faulty):
    """Faults that can also be put on every request that commits an operation.

    Args:
        committing: the paths of these requests, all of them POST.
    """

    def __init__(self, handler: Handler, committing: re.Pattern[str]) -> None:
        super().__init__(handler, wait=lambda _: None)
        self._committing = committing
        self._commits: list[Fault] = []

    def inject(self, fault: Fault, *, requests: int = 1, on: str = "") -> None:
        """See ``Faulty``."""
        if on == COMMITS:
            self._commits += [fault] * requests
        else:
            super().inject(fault, requests=requests, on=on)

    def clear(self) -> None:
        """See ``Faulty``."""
        self._commits.clear()
        super().clear()

    def handle(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Any:
        """See ``Faulty``."""
        if self._commits and method == "POST" and self._committing.fullmatch(path):
            super().inject(self._commits.pop(0), on=path)
        return super().handle(method, path, headers, body)
