"""Metrics of a running agent as OpenMetrics text, for monitoring.

Names end in their unit. Counters start at 0 with the process, as in every exporter.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from agent.core.model import SourceState
from agent.engine.in_flight import SyncCounters
from agent.remotes.wrappers import CallCounts

CONTENT_TYPE: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
SERVER_STATES: Final = ("ok", "offline", "signed_out")

_PREFIX: Final = "raven_agent"
_TALLIES: Final = (
    ("pushed", "Files sent to the server."),
    ("pulled", "Files put into the folder."),
    ("deleted_remote", "Files deleted on the server after they were deleted here."),
    ("deleted_local", "Files moved to the trash after they were deleted on the server."),
    ("conflicts_opened", "Conflicts that were parked."),
)
_NO_CALLS: Final[Mapping[str, CallCounts]] = MappingProxyType({})
_COUNTS: Final = (
    ("files", "files", "Files that are synced."),
    ("size_bytes", "bytes", "Bytes in them."),
    ("pending_push", "pending_push", "Changes that wait to be sent."),
    ("pending_pull", "pending_pull", "Changes that wait to be fetched."),
    ("conflicts", "conflicts", "Conflicts that are parked."),
    ("skipped", "skipped", "Selected files that are not synced, whatever the reason."),
    ("failed", "failed", "Skipped files that are not left out by policy."),
)


@dataclass(slots=True)
class Family:
    """One metric: name, kind, meaning, and a value for each set of labels."""

    name: str
    kind: str
    meaning: str
    unit: str = ""
    samples: list[tuple[str, Mapping[str, str], float]] = field(default_factory=list)

    def add(self, value: float, labels: Mapping[str, str], suffix: str = "") -> None:
        """Add a value for a set of labels."""
        self.samples.append((suffix, labels, value))

    def lines(self) -> Iterator[str]:
        """Yield the lines of the metric; none where it has no value."""
        if not self.samples:
            return
        name = f"{_PREFIX}_{self.name}"
        yield f"# TYPE {name} {self.kind}"
        if self.unit:
            yield f"# UNIT {name} {self.unit}"
        yield f"# HELP {name} {_escaped(self.meaning)}"
        for suffix, labels, value in self.samples:
            inside = ",".join(f'{key}="{_escaped(said)}"' for key, said in labels.items())
            yield f"{name}{suffix}{{{inside}}} {_number(value)}" if inside else f"{name}{suffix} {_number(value)}"


def render(
    status: Mapping[str, Any], tallies: Mapping[str, SyncCounters], calls: Mapping[str, CallCounts] = _NO_CALLS
) -> str:
    """Return the text for a status document.

    Args:
        tallies: each source's counters, by the source's id.
        calls: number of calls to each server, by the account's name.
    """
    now = _moment(status["checked_at"]) or 0.0
    servers = _servers(status["servers"], now)
    families = [*_agent(status), *servers, _calls(calls), *_sources(status["sources"], tallies, now)]
    return "".join(f"{line}\n" for family in families for line in family.lines()) + "# EOF\n"


def _agent(status: Mapping[str, Any]) -> Iterator[Family]:
    build = Family("build", "info", "The running release.")
    build.add(1, {"version": str(status["version"])}, "_info")
    yield build
    start = Family("start_time_seconds", "gauge", "Start of the agent, seconds since the epoch.", "seconds")
    since = _moment(status["daemon"]["since"])
    if since is not None:
        start.add(since, {})
    yield start


def _servers(servers: Iterable[Mapping[str, Any]], now: float) -> Iterator[Family]:
    state = Family("server_state", "stateset", "State of the server: one of the states is 1.")
    expiry = Family(
        "token_expiry_timestamp_seconds", "gauge", "Expiry of the token, seconds since the epoch.", "seconds"
    )
    left = Family("token_lifetime_seconds", "gauge", "Time until the token expires; below 0 it has expired.", "seconds")
    for server in servers:
        labels = {"server": str(server["name"])}
        _one_of(state, labels, SERVER_STATES, str(server["state"]))
        end = _moment(server["token_expires_at"])
        if end is not None:
            expiry.add(end, labels)
            left.add(end - now, labels)
    return iter((state, expiry, left))


def _calls(calls: Mapping[str, CallCounts]) -> Family:
    family = Family("server_calls", "counter", "Calls to the server; a failed one has a problem.")
    for server, counts in sorted(calls.items()):
        for (name, problem), number in sorted(counts.items()):
            family.add(number, {"server": server, "call": name, "problem": problem}, "_total")
    return family


def _sources(sources: Iterable[Mapping[str, Any]], tallies: Mapping[str, SyncCounters], now: float) -> Iterator[Family]:
    info = Family("source", "info", "Folder, server and mode of a source.")
    state = Family("source_state", "stateset", "State of the source: one of the states is 1.")
    counts = {field_name: Family(f"source_{name}", "gauge", meaning) for name, field_name, meaning in _COUNTS}
    counts["bytes"].unit = "bytes"
    held = Family("source_held_deletes", "gauge", "Deletes that wait for a person to approve them.")
    degraded = Family("source_degraded", "gauge", "1 where changes may be noticed late.")
    synced = Family("source_last_sync_timestamp_seconds", "gauge", "Time at which both sides last agreed.", "seconds")
    age = Family("source_last_sync_age_seconds", "gauge", "Time since both sides last agreed.", "seconds")
    done = {name: Family(f"source_{name}", "counter", meaning) for name, meaning in _TALLIES}
    for source in sources:
        labels = {"source": str(source["id"])}
        known = {name: str(source[name]) for name in ("name", "root", "server", "mode")}
        info.add(1, {**labels, **known}, "_info")
        _one_of(state, labels, [each.value for each in SourceState], str(source["state"]))
        for name, family in counts.items():
            family.add(source[name], labels)
        held.add(source["held_deletes"]["count"] if source["held_deletes"] else 0, labels)
        degraded.add(1 if source["degraded"] else 0, labels)
        last = _moment(source["last_sync_at"])
        if last is not None:
            synced.add(last, labels)
            age.add(max(0.0, now - last), labels)
        tally = tallies.get(str(source["id"]), SyncCounters())
        for name, family in done.items():
            family.add(getattr(tally, name), labels, "_total")
    return iter((info, state, *counts.values(), held, degraded, synced, age, *done.values()))


def _one_of(family: Family, labels: Mapping[str, str], states: Iterable[str], current: str) -> None:
    for state in states:
        family.add(1 if state == current else 0, {**labels, f"{_PREFIX}_{family.name}": state})


def _moment(stamp: object) -> float | None:
    return dt.datetime.fromisoformat(stamp).timestamp() if isinstance(stamp, str) else None


def _number(value: float) -> str:
    return str(int(value)) if math.isfinite(value) and value == int(value) else f"{value:.3f}"


def _escaped(text: str) -> str:
    clean = text.encode("utf-8", "replace").decode()
    return clean.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
