"""A link that changes while another thread starts its source from the link as it was before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.api.context import ApiContext
from agent.api.methods.status import status
from agent.api.schema.status import StatusParams
from agent.core.errors import UsageError
from agent.core.model import Mode
from agent.core.scope import SyncPreference
from agent.engine.config import RunMode
from agent.runtime import linking
from agent.runtime.agent import Agent
from agent.runtime.source_runner import SourceRunner
from agent.settings import links as reg
from agent.settings.config_file import load_settings
from agent.settings.home import Home
from agent.settings.links import ServerEntry, SourceEntry


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    """A daemon's agent with one linked folder, whose server does not answer."""
    (tmp_path / "notes").mkdir()
    env = {"RAVEN_AGENT_HOME": str(tmp_path / "home")}
    home = Home.from_environment(env)
    home.create()
    made = Agent(home, load_settings(home, env), RunMode.DAEMON, env)
    made.change_registry(lambda registry: reg.with_server(registry, ServerEntry("far", "http://127.0.0.1:1", "w")))
    link = SourceEntry(1, "far", "s", "notes", tmp_path / "notes", Mode.BIDIRECTIONAL, (), (), 1.0)
    made.change_registry(lambda registry: reg.with_source(registry, link))
    yield made
    made.close()


def started_in_between(agent: Agent, old: SourceEntry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have each stop of the source followed by a start from the old link, as a status does that was being asked for."""
    stop = agent.stop_source

    def stop_and_start(key: int) -> None:
        stop(key)
        agent.start_source(old)

    monkeypatch.setattr(agent, "stop_source", stop_and_start)


def test_a_source_restarts_with_the_changed_link(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not with the link that another thread had read before: it would sync what was just switched off."""
    (old,) = agent.registry.sources
    agent.start_source(old)
    with monkeypatch.context() as patched:
        started_in_between(agent, old, patched)
        agent.restart_with(replace(old, preference=SyncPreference(enabled=False)))
    runner = agent.start_source(old)
    assert agent.control.call(runner.view).paused_until == float("inf")


def test_an_unlinked_source_does_not_start_again(agent: Agent) -> None:
    """A thread that read the link before does not sync the folder on."""
    (old,) = agent.registry.sources
    agent.start_source(old)
    assert linking.remove_link(agent, old) == 0
    assert agent.runner(old.key) is None
    with pytest.raises(UsageError, match="is not linked"):
        agent.start_source(old)


def test_a_status_leaves_out_what_is_unlinked_meanwhile(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other folders are still reported."""
    (old,) = agent.registry.sources
    (old.root.parent / "papers").mkdir()
    other = replace(old, key=2, source_id="t", name="papers", root=old.root.parent / "papers")
    agent.change_registry(lambda registry: reg.with_source(registry, other))
    start = agent.start_source

    def unlinked_before(source: SourceEntry) -> SourceRunner:
        if source.key == old.key:
            agent.change_registry(lambda registry: reg.without_source(registry, old.key, agent.clock()))
        return start(source)

    monkeypatch.setattr(agent, "start_source", unlinked_before)
    document = status(ApiContext(agent), StatusParams())
    assert [source.name for source in document.sources] == ["papers"]
