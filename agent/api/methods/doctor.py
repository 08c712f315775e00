"""doctor and drill: the checks of a running agent, and a trial of a server's promises."""

from __future__ import annotations

import msgspec

from agent import __version__
from agent.api.context import ApiContext
from agent.api.schema.common import NoParams
from agent.api.schema.doctor import CheckDocument, DoctorDocument, DrillDocument, DrillParams, PromiseDocument
from agent.runtime import linking
from agent.runtime.agent import Agent


def doctor(context: ApiContext, _params: NoParams) -> DoctorDocument:
    """Make every check."""
    # Imported here: the checks need modules that nothing else does, and an agent that starts makes none.
    from agent.doctor import examine

    checks = msgspec.convert(examine(context.agent, context.declaration_outcomes()), list[CheckDocument])
    return DoctorDocument(ok=all(check.ok for check in checks), version=__version__, checks=checks)


def drill(agent: Agent, params: DrillParams) -> DrillDocument:
    """Try every promise on a scratch source of a server, and remove it. Takes some seconds."""
    from agent.doctor.drill import run_drill

    session = agent.server(linking.select_account(agent, params.server))
    # The embedded hub has no address before it runs.
    session.remote()
    report = run_drill(session.entry, session.token(), agent.settings)
    promises = [
        PromiseDocument(promise=row.promise, kept_by=row.kept_by.value, ok=row.ok, detail=row.detail)
        for row in report.rows
    ]
    return DrillDocument(ok=report.ok, server=report.server, promises=promises, left_behind=list(report.left_behind))
