"""What people and their scripts do every day: the same command again, two at once, an empty folder to be filled."""

from __future__ import annotations

from scenarios.conftest import Machines
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
