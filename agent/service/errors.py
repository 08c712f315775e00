"""Errors of services.

::

    AgentError
    ├── ServiceFailed      the service manager refused, or cannot be reached
    ├── NotInstalled       there is no service to start or stop
    └── ServiceRefused     a file is in the way that this program did not write
"""

from __future__ import annotations

from agent.core.errors import AgentError


class ServiceFailed(AgentError):
    """The service manager refused, or cannot be reached."""

    code = "service"


class NotInstalled(AgentError):
    """There is no service to start or stop."""

    code = "not_installed"


class ServiceRefused(AgentError):
    """A file is in the way that this program did not write, or that was changed since."""

    code = "refused"
