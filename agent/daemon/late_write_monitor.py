"""Looks for late writes while the daemon runs: often after a change of the folder, then less and less often."""

from __future__ import annotations

import logging
import threading
from typing import Final

from agent.api.methods.late_writes import rescue_late_writes
from agent.core.errors import AgentError
from agent.runtime.agent import Agent

log = logging.getLogger(__name__)

DELAYS: Final = (3.0, 5.0, 15.0, 60.0, 300.0)
"""Seconds between two looks while some file may still change; the last one repeats."""


class LateWriteMonitor:
    """Rescues what programs write to files that the agent has moved to the trash."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def once(self) -> int:
        """Rescue what is due in every running source; return the number of files that may still change."""
        watched = 0
        for source in self._agent.registry.sources:
            if self._agent.runner(source.key) is None:
                continue
            try:
                watched += rescue_late_writes(self._agent, source)
            except (AgentError, OSError) as error:
                log.debug("late writes of %s cannot be rescued now: %s", source.root, error)
        return watched

    def run_forever(self, stop: threading.Event) -> None:
        """Look again and again until ``stop`` is set. Without a watched file it waits for the next piece of work."""
        turned = self._agent.control.follow()
        tries = 0
        while not stop.wait(DELAYS[min(tries, len(DELAYS) - 1)]):
            if turned.is_set():
                turned.clear()
                tries = 0
            if self.once():
                tries += 1
                continue
            tries = 0
            turned.wait()
            turned.clear()
