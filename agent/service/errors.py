"""What can go wrong with services.

::

    AgentError
    ├── ServiceFailed      the service manager refused, or is not to be reached
    ├── NotInstalled       there is no service to start or stop
    └── Refused            a file stands in the way that somebody else wrote
"""

from __future__ import annotations

from agent.core.errors import AgentError


class ServiceFailed(AgentError):
    """The service manager refused, or is not to be reached."""

    code = "service"


class NotInstalled(AgentError):
    """There is no service to start or stop."""

    code = "not_installed"


class ServiceRefused(AgentError):
    """A file stands in the way that somebody else wrote, or changed since it was written."""

    code = "refused"
