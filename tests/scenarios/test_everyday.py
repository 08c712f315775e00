"""What people and their scripts do every day: the same command again, two at once, an empty folder to be filled."""

from __future__ import annotations

import contextlib
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from agent.cli.client import daemon_of
from agent.index import open_reader
from agent.runtime.home_lock import HomeLock
from agent.settings.home import Home as AgentHome
from scenarios.conftest import Machines
from support.eventually import eventually, patience
from support.processes import Home
from support.servers import Server, sha


def test_a_second_link_adds_patterns_and_refuses_the_rest(home: Home) -> None:
    """A second link adds patterns and refuses what it does not do."""
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


def test_an_agent_starts_while_a_command_holds_its_home(home: Home) -> None:
    """An agent starts although a command holds its home at that moment."""
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
        process.wait(patience(15))


def test_the_log_tells_when_an_agent_came_and_went(home: Home) -> None:
    with home.daemon() as daemon:
        pid = daemon.process.pid
    said = home.log()
    assert f"runs: pid {pid}, state in {home.path}" in said and "has ended" in said


def test_what_a_link_saw_is_known_to_the_first_look(home: Home) -> None:
    """A file is read for the plan and for sending, not for the look between them; a dry run leaves nothing behind."""
    (home.folder / "a.md").write_text("one")

    def remembered() -> list[str]:
        if not (index := AgentHome.from_environment(home.env).index_file).exists():
            return []
        with contextlib.closing(open_reader(index)) as reader:
            return [row.local.hash or "" for row in reader.trees.all(1)]

    assert home.json("link", home.folder, "--dry-run")["plan"]["upload"] == 1
    assert remembered() == []
    (home.folder / "gone.md").write_text("goes again")
    home.json("link", home.folder, "--yes")
    assert sorted(remembered()) == sorted([sha("one"), sha("goes again")])
    (home.folder / "gone.md").unlink()
    (home.folder / "a.md").write_text("two, after the link")
    (source,) = home.json("sync")["sources"]
    assert (source["state"], source["pushed"], source["deleted_remote"]) == ("up_to_date", 1, 0)
    assert remembered() == [sha("two, after the link")]
