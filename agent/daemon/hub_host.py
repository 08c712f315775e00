"""Keep the embedded hub running for other machines, also where no folder here is linked with it."""

from __future__ import annotations

import logging
import threading
from typing import Final

from agent.core.errors import AgentError
from agent.runtime.agent import Agent

log = logging.getLogger(__name__)

_CHECK_SECONDS: Final = 10.0


class HubHost:
    """Starts the hub where ``hub_listen`` is set, and again if it ends or is to listen elsewhere."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._error = ""

    def run_forever(self, stop: threading.Event) -> None:
        """Check now and every ten seconds, until ``stop`` is set."""
        self.check()
        while not stop.wait(_CHECK_SECONDS):
            self.check()

    def check(self) -> None:
        """Start or restart the hub if that is needed. A failure is logged once."""
        hub = self._agent.hub
        if not (self._agent.settings.hub_listen or hub.running):
            return
        try:
            hub.ensure()
            error = hub.door_error
        except AgentError as failure:
            error = failure.message
        if error and error != self._error:
            log.warning("%s", error)
        self._error = error
