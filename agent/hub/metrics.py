"""The hub's metrics in OpenMetrics text."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

CONTENT_TYPE: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
BUCKETS: Final = (0.005, 0.025, 0.1, 0.5, 2.0, 10.0)
"""Upper bounds of the duration histogram, in seconds."""


class HubMetrics:
    """Counters since the start of the process, and gauges that are read when the metrics are requested.

    Args:
        gauges: value by name. The names end in their unit.
    """

    def __init__(self, version: str, gauges: dict[str, Callable[[], float]]) -> None:
        self._version = version
        self._gauges = gauges
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, int]] = Counter()
        self._durations: Counter[float] = Counter()
        self._seconds = 0.0
        self._count = 0

    def observe(self, endpoint: str, status: int, seconds: float) -> None:
        """Count one answered request. `seconds` excludes the wait of a long poll."""
        bucket = next((bound for bound in BUCKETS if seconds <= bound), float("inf"))
        with self._lock:
            self._requests[endpoint, status] += 1
            self._durations[bucket] += 1
            self._seconds += seconds
            self._count += 1

    def render(self) -> bytes:
        """Return all metrics as OpenMetrics text."""
        with self._lock:
            return ("\n".join([*self._lines(), "# EOF"]) + "\n").encode()

    def _lines(self) -> Iterator[str]:
        yield "# TYPE raven_hub_build info"
        yield "# HELP raven_hub_build The release that runs."
        yield f'raven_hub_build_info{{version="{self._version}"}} 1'
        yield "# TYPE raven_hub_requests counter"
        yield "# HELP raven_hub_requests Answered requests by endpoint and status."
        for (endpoint, status), count in sorted(self._requests.items()):
            yield f'raven_hub_requests_total{{endpoint="{endpoint}",status="{status}"}} {count}'
        yield "# TYPE raven_hub_request_duration_seconds histogram"
        yield "# UNIT raven_hub_request_duration_seconds seconds"
        yield "# HELP raven_hub_request_duration_seconds Time to answer a request, without the wait of a long poll."
        total = 0
        for bound in BUCKETS:
            total += self._durations[bound]
            yield f'raven_hub_request_duration_seconds_bucket{{le="{bound}"}} {total}'
        yield f'raven_hub_request_duration_seconds_bucket{{le="+Inf"}} {self._count}'
        yield f"raven_hub_request_duration_seconds_count {self._count}"
        yield f"raven_hub_request_duration_seconds_sum {self._seconds:.6f}"
        for name, value in self._gauges.items():
            yield f"# TYPE raven_hub_{name} gauge"
            yield f"raven_hub_{name} {value():g}"
