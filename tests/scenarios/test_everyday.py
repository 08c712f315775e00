"""What people and their scripts do every day: the same command again, two at once, an empty folder to be filled."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from agent.cli.client import daemon_of
from agent.config import Home as AgentHome
from agent.daemon.lock import HomeLock
from scenarios.conftest import Machines
from support.eventually import eventually
from support.processes import Home
from support.servers import Server


def test_a_second_link_adds_patterns_and_refuses_what_it_does_not_do(home: Home) -> None:
    source = home.link()
    again = home.json("link", home.folder, "--exclude", "drafts/", "--source", source[:8])
    assert again["changed"] and again["was_linked"]
    assert home.json("rules", home.folder)["exclude"] == ["drafts/"]
    for flags in (("--mode", "import_only"), ("--name", "other")):
        refused = home.run("link", home.folder, *flags, "--json")
        assert refused.code == 2 and "unlink" in refused.error["hint"]
    assert not home.json("link", home.folder)["changed"]


def test_a_folder_that_is_empty_is_filled_without_a_question(machine: Machines, strict: Server) -> None:
    one, two = machine("one"), machine("two")
    one.login(strict)
    two.login(strict)
    one.write("a.md", "a\n")
    source = one.link()
    assert "would link" in two.run("link", two.folder, "--source", source, "--dry-run").out
    assert two.run("link", two.folder, "--source", source, "--wait").code == 0
    assert two.files() == {"a.md": b"a\n"}


def test_commands_typed_at_the_same_moment_wait_for_each_other(home: Home) -> None:
    home.link()
    with ThreadPoolExecutor(3) as pool:
        codes = [ran.code for ran in pool.map(lambda _: home.run("status", "--check"), range(3))]
    assert codes == [0, 0, 0]


def test_an_agent_starts_although_a_command_holds_its_home_at_that_moment(home: Home) -> None:
    held = HomeLock(home.path / "agent.lock")
    process = home.start()
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(3)
        held.release()
        agent = AgentHome.from_environment(home.env)
        found = eventually(lambda: daemon_of(agent), 30, "the agent answers")
        assert found.call("status", {})["daemon"]["pid"] == process.pid
    finally:
        process.terminate()
        process.wait(15)


def test_the_log_tells_when_an_agent_came_and_went(home: Home) -> None:
    with home.daemon() as daemon:
        pid = daemon.process.pid
    said = home.log()
    assert f"runs: pid {pid}, state in {home.path}" in said and "has ended" in said
