"""The commands and flags, held together with the contract and the documents."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete

from agent.api.command_answers import COMMAND_ANSWERS
from agent.cli.command import LazyGroup
from agent.cli.examples import EXAMPLES
from agent.cli.main import cli
from agent.settings.home import Home
from agent.settings.links import Registry, ServerEntry, with_server
from agent.settings.registry_file import save_registry
from agent.settings.settings import TABLE
from cli.conftest import Ran
from cli.contract_table import COMMANDS
from cli.documents import conflict
from cli.fake_agent import FakeAgent

TOP = Path(__file__).parents[2]
DOCUMENTS = [TOP / "README.md", *sorted((TOP / "docs").glob("*.md"))]
"""The transcripts beside them are run line by line by a test of their own."""


def leaves(group: click.Group = cli, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    with click.Context(group) as context:
        for name in group.list_commands(context):
            found = group.get_command(context, name)
            assert found is not None
            if isinstance(found, click.Group):
                yield from leaves(found, f"{name} ")
            else:
                yield f"{prefix}{name}", found


LEAVES = dict(leaves())


def flags_of(command: click.Command) -> set[str]:
    return {text for param in command.params if isinstance(param, click.Option) for text in param.opts} | {
        "-h",
        "--help",
    }


@pytest.mark.parametrize("name", COMMANDS)
def test_help_names_every_argument_and_flag_of_the_contract(raven: Callable[..., Ran], name: str) -> None:
    ran = raven(*name.split(), "--help")
    assert ran.code == 0
    usage, _, options = ran.out.partition("Options:")
    for word in COMMANDS[name]:
        if word.startswith("-"):
            assert re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", options), word
        else:
            assert word in usage
    assert all(flag in options for flag in ("-h", "-v", "-q"))


def test_every_command_that_prints_data_can_print_json() -> None:
    without = {name for name, command in LEAVES.items() if "--json" not in flags_of(command)}
    # A version is bytes, and no document.
    assert without == {"run", "config edit", "completion", "help", "show"}


def test_the_json_reference_has_each_command_once() -> None:
    """A command that can print a document has a row there, and each name in it is a method, a field or a flag."""
    assert set(COMMAND_ANSWERS) == {name for name, command in LEAVES.items() if "--json" in flags_of(command)}


@pytest.mark.parametrize("name", sorted(COMMAND_ANSWERS))
def test_a_failed_command_prints_one_json_error(raven: Callable[..., Ran], name: str) -> None:
    """Nothing is on stdout, and stderr is one document with code, message and hint."""
    ran = raven(*name.split(), "--no-such-option", "--json")
    assert (ran.code, ran.out) == (2, "")
    error = json.loads(ran.err)["error"]
    assert error["code"] == "usage" and "--no-such-option" in error["message"]
    assert error["hint"] == f"raven-agent {name} --help"


def test_the_contract_knows_every_command() -> None:
    assert set(LEAVES) == set(COMMANDS)


def test_every_option_has_a_help_text() -> None:
    for name, command in LEAVES.items():
        for param in command.params:
            if isinstance(param, click.Option):
                assert param.help, (name, param.name)
        assert command.help, name


def test_each_command_has_two_examples_in_its_help(raven: Callable[..., Ran]) -> None:
    assert set(EXAMPLES) == set(LEAVES)
    for name, examples in EXAMPLES.items():
        assert len(examples) >= 2, name
    shown = raven("rules", "--help").out
    assert all(f"  raven-agent {line}\n" in shown for line, _ in EXAMPLES["rules"])


def test_an_example_that_writes_below_home_makes_its_folder() -> None:
    """The shell makes none for a redirect, and a new machine has none."""
    for line, purpose in (example for examples in EXAMPLES.values() for example in examples):
        _, redirect, file = line.partition(" > ~/")
        if redirect and "/" in file:
            assert f"mkdir -p ~/{file.rpartition('/')[0]}" in purpose, line


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_are_accepted_by_their_command(name: str) -> None:
    """click parses each example without an error; nothing runs."""
    for line, _ in EXAMPLES[name]:
        words = shlex.split(line.split(" < ")[0].split(" > ")[0])[len(name.split()) :]
        assert line.startswith(name)
        with LEAVES[name].make_context(name, words, resilient_parsing=False):
            pass
        if name in {"config get", "config set", "config unset"}:
            assert not words or words[0].startswith("-") or words[0] in TABLE, line


def test_the_help_shows_each_command_in_one_section(raven: Callable[..., Ran]) -> None:
    shown = raven("--help").out
    assert re.findall(r"^(\S.*):$", shown, re.MULTILINE) == [
        "Options",
        "Start here",
        "Every day",
        "When something is wrong",
        "Servers and sources",
        "This machine",
    ]
    for name in {name.split()[0] for name in LEAVES}:
        assert len(re.findall(rf"^  {name}  ", shown, re.MULTILINE)) == 1, name


def shown_commands() -> Iterator[tuple[str, str]]:
    """Every line of a document that runs the command, by file."""
    for document in DOCUMENTS:
        text = document.read_text("utf-8")
        blocks = "\n".join(re.findall(r"```(?:sh|bash|console|shell)?\n(.*?)```", text, re.DOTALL))
        for line in re.findall(r"^(?:\$ )?(raven-agent .*)$", blocks, re.MULTILINE):
            yield document.name, line
        for span in re.findall(r"`(raven-agent [a-z][^`]*)`", text):
            yield document.name, span


def test_documented_invocations_use_real_commands_and_flags() -> None:
    """Every invocation the documents show names real commands and flags."""
    for document, line in shown_commands():
        words = shlex.split(line.split("#")[0].split("|")[0])[1:]
        name = next((n for n in (" ".join(words[:2]), *words[:1]) if n in LEAVES), None)
        if name is None:
            group = cli.get_command(click.Context(cli), words[0])
            assert isinstance(group, click.Group) or words[0].startswith("-"), (document, line)
            continue
        known = flags_of(LEAVES[name])
        for word in words:
            if re.fullmatch(r"-[a-z]|--[a-z-]+(=.*)?", word):
                assert word.split("=")[0] in known, (document, line)


def test_a_document_with_a_table_of_commands_leaves_none_out() -> None:
    text = "\n".join(document.read_text("utf-8") for document in DOCUMENTS)
    if "| command |" in text:
        tops = {name.split()[0] for name in LEAVES}
        missing = {
            name for name in tops if not re.search(rf"^\|[^|]*`(?:raven-agent )?[^|]*\b{name}\b", text, re.MULTILINE)
        }
        assert missing == set()


def test_the_version_stands_in_one_place(raven: Callable[..., Ran]) -> None:
    from agent import __version__

    assert raven("--version").out == f"raven-agent, version {__version__}\n"


def test_the_command_list_repeats_each_commands_help() -> None:
    """The list of commands says of each what its own help says."""
    assert isinstance(cli, LazyGroup)
    with click.Context(cli) as context:
        for name, place in cli.places.items():
            found = cli.get_command(context, name)
            assert found is not None
            assert place.summary == found.get_short_help_str(100)


def test_help_imports_nothing_heavy() -> None:
    heavy = {"httpx", "rich", "sqlalchemy", "keyring", "starlette", "uvicorn", "jwt", "tomlkit", "watchdog", "msgspec"}
    code = f"import sys; from agent.cli.main import run; run(['--help']); sys.exit(bool({heavy} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=False)
    assert ran.returncode == 0


@pytest.mark.parametrize("shell", ["zsh", "fish", "bash"])
def test_completion_prints_the_shells_script(raven: Callable[..., Ran], shell: str) -> None:
    ran = raven("completion", shell)
    assert ran.code == 0
    assert "_RAVEN_AGENT_COMPLETE" in ran.out


@pytest.mark.parametrize(
    ("words", "kind"), [(("up", ""), "dir"), (("unlink", "no"), "dir"), (("explain", "a"), "file")]
)
def test_the_shell_completes_folders_and_paths(words: tuple[str, ...], kind: str) -> None:
    """Without this no name of a file could be completed behind the command at all."""
    *before, incomplete = words
    found = ShellComplete(cli, {}, "raven-agent", "_RAVEN_AGENT_COMPLETE").get_completions(before, incomplete)
    assert [item.type for item in found] == [kind]


def completed(*words: str) -> dict[str, str | None]:
    """What the shell is offered for the last word, with the description of each."""
    *before, incomplete = words
    found = ShellComplete(cli, {}, "raven-agent", "_RAVEN_AGENT_COMPLETE").get_completions(before, incomplete)
    return {item.value: item.help for item in found if item.type == "plain"}


def test_names_and_ids_are_completed_with_their_meaning(home: Home, fake: FakeAgent) -> None:
    """Accounts, settings, resolutions, and conflicts of a running agent."""
    account = ServerEntry("work", "https://r.example", "w")
    save_registry(home.registry_file, with_server(Registry(), account))
    fake.answers["conflicts"] = [conflict(id="7.2", path="a.md"), conflict(id="8.1", path="b.md")]
    assert completed("link", "x", "--server", "") == {"work": "https://r.example"}
    assert completed("logout", "w") == {"work": "https://r.example"}
    assert completed("logout", "x") == {}
    assert set(completed("config", "set", "trash_")) == {"trash_days", "trash_max_bytes"}
    assert completed("resolve", "7", "keep_l") == {"keep_local": None}
    assert completed("diff", "") == {"7.2": "a.md", "8.1": "b.md"}
    fake.answers["sources"] = [{"name": "notes", "id": "s1"}]
    assert completed("link", "x", "--source", "n") == {"notes": "s1"}
    fake.answers["trash"] = [{"id": "50fd", "path": "a.md"}, {"id": "61aa", "path": "b.md"}]
    assert completed("restore", "a.md", "--trash", "") == {"50fd": "a.md"}
    version = {"hash": "ec891ef706c3" + "0" * 52, "where": "server", "recorded_at": None}
    fake.answers["history"] = {"versions": [version], "error": None}
    for words in (("show", "a.md"), ("restore", "a.md"), ("diff", "a.md")):
        assert completed(*words, "--version", "e") == {"ec891ef706c3": "server, -"}
    assert completed("show", "--version", "") == {}
    home.registry_file.write_text("damaged")
    assert completed("logout", "") == {}


def test_a_description_with_a_comma_reaches_fish_whole(raven: Callable[..., Ran]) -> None:
    """click's own function cut it at the first comma."""
    script = raven("completion", "fish").out
    assert 'string split "," $completion' not in script
    assert re.search(r"string split (--max 1|-m ?1) ", script)


def test_a_misspelt_setting_is_likened_to_settings_alone(raven: Callable[..., Ran]) -> None:
    assert "source" not in raven("config", "get", "nosuch").err
    assert "did you mean 'quiet_ms'?" in raven("config", "get", "quite_ms").err


def test_commands_for_a_running_agent_load_neither_ssl_nor_email() -> None:
    """``status`` is asked often, by people and by scripts, and its start is most of what it takes."""
    heavy = {"ssl", "email", "http.client", "msgspec"}
    code = f"import sys; import agent.cli.client; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-P", "-c", code], check=False).returncode == 0
