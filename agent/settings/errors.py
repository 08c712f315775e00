"""Errors of this package.

``AgentError``
 ├─ ``ConfigError``       settings, or the folders that hold them
 ├─ ``RegistryError``     ``registry.json``
 ├─ ``CredentialsError``  a token or the place that keeps it
 └─ ``DeclarationError``  one ``[[server]]`` or ``[[source]]`` table
"""

from __future__ import annotations

from agent.core.errors import AgentError

__all__ = ["ConfigError", "CredentialsError", "DeclarationError", "RegistryError"]


class ConfigError(AgentError):
    """The settings, or the folders that hold them, are unusable. Nothing was started."""

    code = "config"


class RegistryError(AgentError):
    """The registry cannot be read or written. Nothing is assumed about its content."""

    code = "registry"


class CredentialsError(AgentError):
    """A token could not be read or stored safely."""

    code = "credentials"


class DeclarationError(AgentError):
    """A declared table is invalid."""

    code = "declaration"
