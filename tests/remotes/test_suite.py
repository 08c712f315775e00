"""The conformance suite itself: every module's promises are bound for every dialect."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from remotes import suite

INSTANCES = ("remotes.test_conformance", "plain_dialect.test_conformance")


def test_every_class_of_promises_is_in_the_suite() -> None:
    """A new module of the suite is not forgotten."""
    found = set()
    for file in Path(suite.__file__).parent.glob("*.py"):
        module = importlib.import_module(f"remotes.suite.{file.stem}")
        found |= {value for name, value in vars(module).items() if name.endswith("Promises")}
    assert found == set(suite.PROMISES)


@pytest.mark.parametrize("instance", INSTANCES)
def test_every_dialect_binds_every_promise(instance: str) -> None:
    """Each under a name of its own that pytest collects."""
    bound = {name: value for name, value in vars(importlib.import_module(instance)).items() if name.startswith("Test")}
    assert {value.__mro__[1] for value in bound.values()} == set(suite.PROMISES)
    assert all(value.__module__ == instance for value in bound.values())
