"""The parts of Pinakes' dialect."""

from __future__ import annotations

from typing import Final

from agent.remotes.dialect_parts import AdapterOptions, Dialect
from agent.remotes.http.client import HttpClient
from agent.remotes.pinakes.adapter import PinakesRemote
from agent.remotes.pinakes.hashing import SHA256
from agent.remotes.pinakes.profile import pinakes_profile
from agent.remotes.pinakes.scope import sources_overlap
from agent.remotes.pinakes.tokens import extend
from agent.remotes.protocol import Remote


def _adapter(http: HttpClient, options: AdapterOptions) -> Remote:
    algorithm = options.content_hash or SHA256
    return PinakesRemote(http, options.books, algorithm=algorithm, secret=options.device_secret)


PINAKES: Final = Dialect(pinakes_profile, _adapter, extend, extends=True, overlap=sources_overlap)
