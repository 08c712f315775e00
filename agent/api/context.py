"""The context of a request: the agent that answers, and the provisioner where one runs."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from agent.api.schema.dashboard import DashboardDocument
from agent.provisioning.apply import Provisioner
from agent.provisioning.plan import standing
from agent.runtime.agent import Agent
from agent.settings.declarations import DeclarationOutcome, read_home


class DashboardPort(Protocol):
    """The dashboard, as the control API uses it."""

    def open(self, port: int | None = None) -> DashboardDocument:
        """Start it unless it runs, and return its address with a one-time code.

        Raises:
            UsageError: the wanted port is in use.
        """

    def log_lines(self, count: int, level: str | None) -> list[str]:
        """Return the newest lines of the log, of this level and above, without tokens."""


class ApiContext(Struct, frozen=True):
    """Everything a request handler may use.

    Attributes:
        agent: the agent of this home.
        provisioner: applies the declarations of a daemon; None inside a single command, which applies none.
        dashboard: the dashboard of a daemon; None inside a single command.
    """

    agent: Agent
    provisioner: Provisioner | None = None
    dashboard: DashboardPort | None = None

    def declaration_outcomes(self) -> tuple[DeclarationOutcome, ...]:
        """The state of each declaration: the provisioner's own, else what the registry shows as applied.

        Raises:
            ConfigError: a configuration file cannot be read.
        """
        if self.provisioner is not None:
            return self.provisioner.outcomes
        return standing(read_home(self.agent.home), self.agent.registry)
