"""The environment of child processes: without the secrets of this one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

SECRET_VARIABLES: Final = frozenset({"RAVEN_TOKEN", "RAVEN_JWT"})
"""Variables that hold a token. Any process of the same user can read the environment of another one."""


def child_environment(env: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return a copy of ``env``, by default of this process's environment, without variables that hold a token."""
    found = os.environ if env is None else env
    return {name: value for name, value in found.items() if name not in SECRET_VARIABLES}
