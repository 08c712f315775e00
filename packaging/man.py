"""Man pages from the click commands: one page for each command, and one for the whole program.

click-man is not used, because these pages also have the exit codes, the environment and links to each other.
"""

from __future__ import annotations

import inspect
import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import click
import project

_ENVIRONMENT: Final = (
    ("RAVEN_AGENT_HOME", "One folder for settings, state, logs and the control socket."),
    ("RAVEN_AGENT_ETC", "The folder of settings for all users of this machine; by default /etc/raven-agent."),
    ("RAVEN_TOKEN", "The token of the account that RAVEN_SERVER_URL and RAVEN_WORKSPACE name."),
    ("RAVEN_TOKEN_FILE", "A file that holds the token; it is read again when the server refuses the token."),
    ("NO_COLOR, FORCE_COLOR", "Switch colours off or on, as in other programs."),
)
_FILES: Final = (
    ("~/.config/raven-agent/config.toml", "Settings; see raven-agent config get."),
    ("~/.local/state/raven-agent/", "Accounts, links, the index, the trash and the embedded hub."),
)
_EXIT_CODES: Final = (
    ("0", "Done and in sync."),
    ("1", "Something failed, or some files did; or no folder takes part in a pass."),
    ("2", "Wrong usage."),
    ("3", "Done, but conflicts are parked."),
    ("4", "Signed out, or the token was refused."),
    ("5", "The server cannot be reached; work is queued."),
    ("6", "Stopped by a safety brake."),
    ("7", "Another agent holds this home, or none runs where one is needed."),
    ("130", "Interrupted; run and up end with 0 on SIGINT and SIGTERM."),
)


def build(folder: Path) -> Path:
    """Write every page into `folder`, and return the folder.

    Raises:
        BuildError: the program cannot be imported.
    """
    try:
        from agent.cli.main import PROGRAM, cli
    except ImportError as error:
        raise project.BuildError(f"install the program first: {error}") from error
    folder.mkdir(parents=True, exist_ok=True)
    top = click.Context(cli, info_name=PROGRAM, **cli.context_settings)
    for context in _walk(top):
        (folder / f"{_page(context)}.1").write_text("\n".join(_lines(context)) + "\n", "utf-8")
    return folder


def _walk(context: click.Context) -> Iterator[click.Context]:
    yield context
    for name, command in _children(context):
        yield from _walk(click.Context(command, info_name=name, parent=context, **command.context_settings))


def _children(context: click.Context) -> list[tuple[str, click.Command]]:
    group = context.command
    if not isinstance(group, click.Group):
        return []
    found = ((name, group.get_command(context, name)) for name in group.list_commands(context))
    return [(name, command) for name, command in found if command is not None and not command.hidden]


def _page(context: click.Context) -> str:
    return context.command_path.replace(" ", "-")


def _lines(context: click.Context) -> Iterator[str]:
    command = context.command
    date = time.strftime("%Y-%m-%d", time.gmtime(project.epoch()))
    yield f'.TH {_quoted(_page(context).upper())} 1 {date} "{project.COMMAND} {project.version()}" "User commands"'
    yield ".SH NAME"
    yield f"{_text(_page(context))} \\- {_text(command.get_short_help_str(limit=200).rstrip('.'))}"
    yield ".SH SYNOPSIS"
    yield f".B {_text(context.command_path)}"
    yield _text(" ".join(command.collect_usage_pieces(context)))
    yield ".SH DESCRIPTION"
    yield from _paragraphs(inspect.cleandoc(command.help or ""))
    yield from _entries("OPTIONS", _options(context))
    yield from _entries("COMMANDS", _commands(context))
    yield from _examples(context)
    yield from _entries("EXIT STATUS", _EXIT_CODES)
    if context.parent is None:
        yield from _entries("ENVIRONMENT", _environment())
        yield from _entries("FILES", _FILES)
    yield ".SH SEE ALSO"
    *others, last = _neighbours(context)
    yield from (f".BR {_text(name)} (1)," for name in others)
    yield f".BR {_text(last)} (1)"


def _options(context: click.Context) -> Iterator[tuple[str, str]]:
    for parameter in context.command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and record[1]:
            yield record


def _commands(context: click.Context) -> Iterator[tuple[str, str]]:
    for name, command in _children(context):
        yield f"{context.command_path} {name}", command.get_short_help_str(limit=200)


def _environment() -> Iterator[tuple[str, str]]:
    from agent.settings.settings import TABLE

    yield from _ENVIRONMENT
    for setting in TABLE.values():
        if setting.variable:
            yield (
                setting.variable,
                f"{setting.meaning[0].upper()}{setting.meaning[1:]}; over {setting.name} in the file.",
            )


def _examples(context: click.Context) -> Iterator[str]:
    from agent.cli.examples import EXAMPLES
    from agent.cli.main import PROGRAM

    found = EXAMPLES.get(" ".join(context.command_path.split()[1:]), ())
    yield from _entries("EXAMPLES", ((f"{PROGRAM} {line}", purpose) for line, purpose in found))


def _neighbours(context: click.Context) -> list[str]:
    above = [_page(context.parent)] if context.parent else []
    return above + [f"{_page(context)}-{name}" for name, _ in _children(context)] or [_page(context)]


def _entries(title: str, entries: Iterable[tuple[str, str]]) -> Iterator[str]:
    found = list(entries)
    if not found:
        return
    yield f".SH {title}"
    for term, meaning in found:
        yield ".TP"
        yield f".B {_text(term)}"
        yield _text(" ".join(meaning.split()))


def _paragraphs(text: str) -> Iterator[str]:
    """Yield click's help text: blank lines separate paragraphs; a paragraph that starts with \\b keeps its lines."""
    for number, paragraph in enumerate(re.split(r"\n\s*\n", text)):
        if number:
            yield ".PP"
        lines = paragraph.strip("\n").splitlines()
        if lines and lines[0].strip() == "\b":
            yield from (".nf", *(_text(line) for line in lines[1:]), ".fi")
        else:
            yield _text(" ".join(" ".join(lines).split()))


def _text(text: str) -> str:
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("…", "...").replace("\b", "")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


def _quoted(text: str) -> str:
    return f'"{text}"'
