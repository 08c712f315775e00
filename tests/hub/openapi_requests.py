"""Generated requests against the hub's OpenAPI document; ``test_openapi.py`` runs this module in a pytest of its own.

Drawing the requests takes seconds, and each process of a test run would do it while it collects the tests.
"""

from __future__ import annotations

import itertools
import os
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from agent.hub.http_app import HubApp
from agent.hub.store.sql_store import SqlStore
from hub.fixtures import InProcess, upsert

CONFORMANCE = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]

_hub = InProcess(SqlStore("sqlite://"))
_round = itertools.count()
_known: dict[str, object] = {
    "connectorId": _hub.connector(),
    "relativePath": "a.md",
    "waitMs": 1,
}
schema = schemathesis.openapi.from_asgi("/openapi.json", HubApp(_hub.hub).asgi)


@pytest.fixture(autouse=True)
def furnished() -> None:
    """A source with a file and an open conflict, so that generated requests also find something."""
    source = _hub.source()
    _hub.push(source, upsert("a.md", "one"))
    _known["sourceId"] = source
    _known["conflictId"] = _hub.outcome(source, upsert("a.md", f"mine {next(_round)}"))["conflictId"]


@schema.parametrize()
@settings(
    max_examples=int(os.environ["REQUESTS_OF_AN_ENDPOINT"]),
    derandomize=True,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_no_request_gets_a_500_or_an_undocumented_answer(case: schemathesis.Case[Any]) -> None:
    """Valid and invalid requests, about things that are there and things that are not."""
    case.headers.update(_hub.headers)
    case.call_and_validate(checks=CONFORMANCE)
    if isinstance(case.body, dict):
        known: dict[str, Any] = {key: _known.get(key, value) for key, value in case.body.items()}
        case.body = known
        case.call_and_validate(checks=CONFORMANCE)
