"""doctor: the checks of a running agent."""

from __future__ import annotations

import msgspec

from agent import __version__
from agent.api.context import ApiContext
from agent.api.schema.common import NoParams
from agent.api.schema.doctor import CheckDocument, DoctorDocument


def doctor(context: ApiContext, _params: NoParams) -> DoctorDocument:
    """Make every check."""
    # Imported here: the checks need modules that nothing else does, and an agent that starts makes none.
    from agent.doctor import examine

    checks = msgspec.convert(examine(context.agent, context.declaration_outcomes()), list[CheckDocument])
    return DoctorDocument(ok=all(check.ok for check in checks), version=__version__, checks=checks)
