"""Automatic merging, if the setting is on: clean three-way merges are accepted without a question."""

from __future__ import annotations

import threading
from typing import Final

from agent.api.methods.common import live_conflicts
from agent.api.methods.resolve import resolve
from agent.api.schema.conflicts import ResolutionState, ResolveParams
from agent.core.conflict import ConflictOrigin, ConflictState
from agent.core.errors import AgentError
from agent.core.model import ConflictKind, Resolution
from agent.runtime.agent import Agent

EVERY_SECONDS: Final = 5.0

_TAKEN: Final = (ResolutionState.RESOLVED, ResolutionState.QUEUED)


class AutoMerge:
    """Tries each conflict once per generation. A merge that is not clean waits for a person."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._tried: set[tuple[int, str]] = set()

    def once(self) -> int:
        """Accept every clean merge. Returns the number of accepted ones."""
        taken = 0
        for key, wanted in self._untried():
            self._tried.add((key, wanted))
            try:
                answer = resolve(
                    self._agent, ResolveParams(ids=(wanted,), choice=Resolution.MANUAL_MERGE, proposed=True)
                )
            except AgentError:
                continue
            taken += sum(row.state in _TAKEN for row in answer.resolved)
        return taken

    def _untried(self) -> list[tuple[int, str]]:
        found = []
        for source in self._agent.registry.sources:
            for conflict in live_conflicts(self._agent, source):
                mergeable = conflict.kind is ConflictKind.EDIT_EDIT and conflict.origin is ConflictOrigin.TREES
                if conflict.parks and conflict.state is ConflictState.OPEN and mergeable:
                    found.append((source.key, conflict.key))
        return [pair for pair in found if pair not in self._tried]

    def run_forever(self, stop: threading.Event) -> None:
        """Merge until ``stop`` is set, while the setting is on."""
        turned = self._agent.control.follow()
        while not stop.wait(EVERY_SECONDS):
            if self._agent.settings.auto_merge:
                self.once()
            # New conflicts and changed settings both run a function on the control thread, which sets the event.
            turned.wait()
            turned.clear()
