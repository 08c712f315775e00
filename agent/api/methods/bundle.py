"""bundle and metrics: what a helper or a monitoring system reads of a running agent."""

from __future__ import annotations

import base64

import msgspec

from agent.api.context import ApiContext
from agent.api.methods.common import readable
from agent.api.methods.doctor import doctor
from agent.api.methods.status import status
from agent.api.metrics import render
from agent.api.schema.bundle import BundleDocument, BundleFile, MetricsDocument
from agent.api.schema.common import NoParams
from agent.api.schema.status import StatusParams


def bundle(context: ApiContext, params: NoParams) -> BundleDocument:
    """Make every check, and return what ``doctor --bundle`` writes. It holds no token and no text of a synced file."""
    # Imported here, like the checks: an agent that starts needs neither.
    from agent.doctor.bundle import bundle_texts, packed

    agent = context.agent
    checks = msgspec.to_builtins(doctor(context, params))
    shown = msgspec.to_builtins(status(context, StatusParams()))
    texts = bundle_texts(agent.home, agent.settings, agent.env, checks, shown)
    files = [BundleFile(name=name, size=len(text.encode()), text=text) for name, text in texts.items()]
    return BundleDocument(files=files, content_base64=base64.b64encode(packed(texts)).decode("ascii"))


def metrics(context: ApiContext, _params: NoParams) -> MetricsDocument:
    """Return all metrics, as ``GET /metrics`` on the control socket answers them."""
    agent = context.agent
    tallies = {}
    for source in agent.registry.sources:
        runner = agent.runner(source.key)
        if runner is not None:
            tallies[source.source_id] = runner.engine.tally
    shown = msgspec.to_builtins(status(context, StatusParams()))
    return MetricsDocument(text=render(shown, tallies, agent.call_counts()), socket=readable(str(agent.home.socket)))
