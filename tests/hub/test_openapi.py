"""The OpenAPI document against the hub that serves it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agent.hub.raven.endpoints import HANDLERS
from agent.hub.raven.openapi import ANSWERS, document
from agent.hub.raven.validation import FIELDS

REQUESTS = Path(__file__).with_name("openapi_requests.py")


@pytest.mark.parametrize("requests", [10, pytest.param(100, marks=pytest.mark.long)])
def test_no_generated_request_breaks_the_document(requests: int) -> None:
    """Generated requests to every endpoint, valid and invalid: no 500, and no answer that is not documented."""
    env = {**os.environ, "REQUESTS_OF_AN_ENDPOINT": str(requests)}
    plugins = ("-p", "schemathesis.pytest.plugin", "-p", "no:cacheprovider")
    command = [sys.executable, "-P", "-m", "pytest", "-n", "0", *plugins, str(REQUESTS)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=REQUESTS.parents[2], env=env)
    assert ran.returncode == 0, ran.stdout[-8000:] + ran.stderr[-2000:]
    assert f"{len(FIELDS)} passed" in ran.stdout, ran.stdout[-2000:]


def test_the_document_names_every_endpoint_and_every_field() -> None:
    """It is drawn from the table that checks requests, so neither can have what the other has not."""
    paths: dict[str, Any] = document()["paths"]
    assert {path.removeprefix("/api/local-sync/") for path in paths} == HANDLERS.keys() == FIELDS.keys()
    assert ANSWERS.keys() == HANDLERS.keys()
    for name, fields in FIELDS.items():
        request = paths[f"/api/local-sync/{name}"]["post"]["requestBody"]["content"]["application/json"]["schema"]
        assert request["properties"].keys() == {field.name for field in fields}
