"""The parts of Raven's local-sync dialect."""

from __future__ import annotations

from typing import Final

from agent.remotes.dialect_parts import Dialect
from agent.remotes.raven.adapter import RavenRemote
from agent.remotes.raven.profile import raven_profile

RAVEN: Final = Dialect(raven_profile, lambda http, _: RavenRemote(http))
