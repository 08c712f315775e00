"""Each feature that a server states changes something: none of them is only declared."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import fields, replace

from agent.core.model import Mode
from agent.engine.config import EngineConfig
from agent.remotes.protocol import Capabilities, ListingCost
from agent.runtime.source_setup import with_capabilities

AGENT = Path(__file__).parents[2] / "agent"

READ_ELSEWHERE = {
    "latest_only": "remotes/raven/feed.py",
    "connector_id": "remotes/raven/adapter.py",
    "rename_connector": "remotes/raven/adapter.py",
    "client_made_id": "runtime/server_session.py",
    "server_pause": "api/methods/sync.py",
    "heartbeat_seconds": "runtime/server_session.py",
    "rate": "api/methods/links.py",
    "nudges": "runtime/server_session.py",
    "poll_heartbeat": "remotes/raven/adapter.py",
}
"""Fields that no engine needs: the file that reads each."""

UNREAD = {
    "server_mode": "each adapter leaves the mode out by itself",
    "server_patterns": "each adapter leaves the patterns out by itself",
}
"""Fields that nothing reads, and the reason. Entries are only ever removed."""

OTHERS: dict[str, Any] = {"max_bytes": 1, "inline_limit": 1, "listing": ListingCost.FOLD}
"""Another value than the default, for the fields that are no switch."""

NAMES = [field.name for field in fields(Capabilities)]


@cache
def attributes_of(file: Path) -> frozenset[str]:
    """Every attribute that a module reads."""
    tree = ast.parse(file.read_text())
    return frozenset(node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute))


def changed(name: str) -> Capabilities:
    """The defaults, but for one field."""
    default = getattr(Capabilities(), name)
    return replace(Capabilities(), **{name: OTHERS.get(name, not default)})


@pytest.mark.parametrize("name", NAMES)
def test_each_field_reaches_the_engine_or_its_reader(name: str) -> None:
    """A field that is in neither table must change the configuration of the engine."""
    config = EngineConfig(1, Mode.BIDIRECTIONAL)
    reaches = with_capabilities(config, changed(name)) != with_capabilities(config, Capabilities())
    assert reaches is (name not in READ_ELSEWHERE and name not in UNREAD)
    if name in READ_ELSEWHERE:
        assert name in attributes_of(AGENT / READ_ELSEWHERE[name])


def test_no_feature_of_an_unknown_server_is_assumed() -> None:
    """FC4: taken for one with a history, a server without one lost the head that a decision replaced."""
    config = EngineConfig(1, Mode.BIDIRECTIONAL)
    switches = [name for name in NAMES if isinstance(getattr(config, name, None), bool)]
    assert "history" in switches and len(switches) >= 12
    assert [name for name in switches if getattr(config, name)] == []


@pytest.mark.parametrize("name", sorted(UNREAD))
def test_a_field_counts_as_unread_only_while_it_is(name: str) -> None:
    """Whoever uses it takes it off the list."""
    above = [file for file in AGENT.rglob("*.py") if "remotes" not in file.relative_to(AGENT).parts]
    assert not any(name in attributes_of(file) for file in above)


def test_the_tables_name_fields_only() -> None:
    """A field that is renamed is renamed here too."""
    assert READ_ELSEWHERE.keys() | UNREAD.keys() | OTHERS.keys() <= set(NAMES)


def test_a_dear_listing_is_asked_for_daily() -> None:
    """An hourly verification would cost a call for each folder; a longer time that was set stays."""
    config = EngineConfig(1, Mode.BIDIRECTIONAL, verify_every=3600.0)
    for cost in ListingCost:
        found = with_capabilities(config, Capabilities(listing=cost)).verify_every
        assert found == (3600.0 if cost is ListingCost.CHEAP else 86_400.0)
    longer = EngineConfig(1, Mode.BIDIRECTIONAL, verify_every=1e6)
    assert with_capabilities(longer, Capabilities(listing=ListingCost.WALK)).verify_every == 1e6
