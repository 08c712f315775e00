"""traffic: changes, transferred bytes and the size of folders over time. Nothing is changed."""

from __future__ import annotations

import datetime as dt

from agent.api.methods.common import chosen_or_unlinked, moment_param, stamp
from agent.api.schema.status import SpanLength
from agent.api.schema.traffic import TrafficDocument, TrafficParams
from agent.index.traffic import TrafficRow, spans_of
from agent.runtime.agent import Agent

_SECONDS = {SpanLength.HOUR: 3600, SpanLength.DAY: 86400}


def traffic(agent: Agent, params: TrafficParams) -> list[TrafficDocument]:
    """Sum up changes and transferred bytes by hour or by day, with the size of the folders, oldest first.

    Raises:
        UsageError: the time is none, or the folder neither is nor was linked.
    """
    since = moment_param(params.since)
    chosen = [source.key for source in chosen_or_unlinked(agent, params)]
    linked = {source.key for source in agent.registry.sources}
    # A folder that was unlinked has no size any more, unless it is the one that was asked for.
    sized = [key for key in chosen if key in linked] or chosen

    def read() -> tuple[list[TrafficRow], dict[int, tuple[int, int]]]:
        return agent.index.traffic.rows(chosen, since), agent.index.traffic.folders_before(sized, since)

    rows, folders = agent.control.call(read)
    here = dt.datetime.fromtimestamp(agent.clock()).astimezone().utcoffset() or dt.timedelta()
    known = (row if row.source in sized else row.without_size() for row in rows)
    return [
        TrafficDocument(
            at=stamp(span.start),
            changes=span.changes,
            sent=span.sent,
            received=span.received,
            files=span.files,
            bytes=span.size,
        )
        for span in spans_of(known, folders, _SECONDS[params.by], int(here.total_seconds()))
    ]
