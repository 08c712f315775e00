"""The context of a request: the agent that answers, and the provisioner where one runs."""

from __future__ import annotations

from msgspec import Struct

from agent.provisioning.apply import Provisioner
from agent.provisioning.plan import standing
from agent.runtime.agent import Agent
from agent.settings.declarations import DeclarationOutcome, read_home


class ApiContext(Struct, frozen=True):
    """Everything a request handler may use.

    Attributes:
        agent: the agent of this home.
        provisioner: applies the declarations of a daemon; None inside a single command, which applies none.
    """

    agent: Agent
    provisioner: Provisioner | None = None

    def declaration_outcomes(self) -> tuple[DeclarationOutcome, ...]:
        """The state of each declaration: the provisioner's own, else what the registry shows as applied.

        Raises:
            ConfigError: a configuration file cannot be read.
        """
        if self.provisioner is not None:
            return self.provisioner.outcomes
        return standing(read_home(self.agent.home), self.agent.registry)
