"""A server for tests with every fault of the real one, checked against the recorded calls."""

from strict_raven.auth import SECRET, USER, WORKSPACE, token
from strict_raven.domain import Logged, StrictRaven, seeded_ids
from strict_raven.races import Races
from strict_raven.state import Conflict, Event, File, Source, State, Version
from strict_raven.wire import BODY_LIMIT, Handler, Response

__all__ = [
    "BODY_LIMIT",
    "SECRET",
    "USER",
    "WORKSPACE",
    "Conflict",
    "Event",
    "File",
    "Handler",
    "Logged",
    "Races",
    "Response",
    "Source",
    "State",
    "StrictRaven",
    "Version",
    "seeded_ids",
    "token",
]
