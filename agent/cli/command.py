"""What every command shares: its options, its home and settings, and how it asks.

A command's body takes an ``App`` and returns an ``ExitCode``; it never prints, exits or catches by itself.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Concatenate, Final, NamedTuple, ParamSpec

import click

from agent.cli.exit_codes import ExitCode
from agent.cli.output import Output, OutputFormat, Verbosity, may_ask
from agent.core.errors import AgentError, UsageError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from agent.cli.client import Client
    from agent.settings.home import Home
    from agent.settings.settings import Settings

P = ParamSpec("P")

CONTEXT: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class Declined(AgentError):
    """A person was asked and said no."""

    code = "declined"


@dataclass(frozen=True, slots=True)
class App:
    """One run of one command."""

    home: Home
    output: Output

    def settings(self) -> Settings:
        """The settings, read now.

        Raises:
            ConfigError: they make no sense.
        """
        from agent.settings.config_file import load_settings

        return load_settings(self.home)

    @contextlib.contextmanager
    def connect(self) -> Iterator[Client]:
        """Whoever answers for this home."""
        from agent.cli.client import connect

        with connect(self.home, self.settings()) as client:
            yield client

    def call(self, method: str, params: Mapping[str, Any]) -> Any:
        """One question, one document."""
        with self.connect() as client:
            return client.call(method, params)

    def confirm(self, question: str, flag: str) -> None:
        """Ask a person; returns on a yes.

        Raises:
            Declined: the answer was no.
            UsageError: nobody is there to answer; ``flag`` answers in advance.
        """
        if not may_ask():
            raise UsageError(question, f"repeat with {flag}")
        if not click.confirm(question, default=False, err=True):
            raise Declined("nothing was changed")


def command(
    name: str, *, prints_data: bool = True
) -> Callable[[Callable[Concatenate[App, P], ExitCode]], click.Command]:
    """A command with ``-h``, ``-v``, ``-q`` and, where it prints data, ``--json``."""

    def wrap(body: Callable[Concatenate[App, P], ExitCode]) -> click.Command:
        @functools.wraps(body)
        def run(
            *args: Any, json_output: bool = False, verbose: bool = False, quiet: bool = False, **kw: Any
        ) -> ExitCode:
            loudness = Verbosity.QUIET if quiet else Verbosity.VERBOSE if verbose else Verbosity.NORMAL
            from agent.settings.home import Home

            output = Output(OutputFormat.JSON if json_output else OutputFormat.HUMAN, loudness)
            if loudness is Verbosity.VERBOSE:
                _log_to_stderr()
            return body(App(Home.from_environment(), output), *args, **kw)

        options = [
            click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors and what was asked for."),
            click.option("-v", "--verbose", is_flag=True, help="Say more, on stderr."),
        ]
        if prints_data:
            options.append(click.option("--json", "json_output", is_flag=True, help="Print one JSON document."))
        decorated: Callable[..., Any] = run
        for option in options:
            # click lists options in the order their decorators stand, so the shared ones go behind the command's own.
            decorated = option(decorated)
        params: list[click.Parameter] = decorated.__click_params__  # type: ignore[attr-defined]
        shared = params[-len(options) :]
        decorated.__click_params__ = shared + params[: -len(options)]  # type: ignore[attr-defined]
        made = click.command(name, context_settings=CONTEXT)(decorated)
        for param in made.params:
            if isinstance(param, click.Argument) and param.name in _PLACES:
                param.type = _Place(_PLACES[param.name])
        return made

    return wrap


class _Place(click.types.StringParamType):
    """A path as it was typed, which the shell completes by itself: ``file``, or ``dir`` for folders alone."""

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """What the shell is asked to complete."""
        from click.shell_completion import CompletionItem

        return [CompletionItem(incomplete, type=self._kind)]


_PLACES: Final = {"folder": "dir", "old": "dir", "new": "dir", "path": "file", "ids": "file"}
"""Arguments that are paths, or may be."""


def _log_to_stderr() -> None:
    from agent.cli.logsetup import log_to_stderr

    log_to_stderr()


class CommandSpec(NamedTuple):
    """Where a command stands.

    Attributes:
        module: imported when the command is run; the object there has the command's name, with ``_command`` behind it.
        summary: its line in the group's help, the same as the command's own, so that the help imports none of them.
    """

    module: str
    summary: str


class LazyGroup(click.Group):
    """A group whose commands are imported when they are needed."""

    def __init__(self, *args: Any, places: Mapping[str, CommandSpec], **kw: Any) -> None:
        super().__init__(*args, **kw)
        self.places = places

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands, in the order of the documents."""
        return list(self.places)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name."""
        if cmd_name not in self.places:
            return None
        module = importlib.import_module(self.places[cmd_name].module)
        found: click.Command = getattr(module, f"{cmd_name}_command")
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, place.summary) for name, place in self.places.items()])


folder_option = click.argument("folder", required=False, metavar="[FOLDER]")
limit_option = click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most this many.")
after_option = click.option("--after", metavar="MARK", help="Go on behind this entry (its path or id).")
include_option = click.option(
    "--include", multiple=True, metavar="GLOB", help="Pattern of files to sync (gitignore rules); may be repeated."
)
exclude_option = click.option(
    "--exclude", multiple=True, metavar="GLOB", help="Pattern of files to leave out; may be repeated."
)
yes_option = click.option("--yes", is_flag=True, help="Answer every question with yes.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Say what would happen, and do nothing.")
MODES = click.Choice(["bidirectional", "local_to_cloud", "import_only"])


def without_none(**params: Any) -> dict[str, Any]:
    """The parameters that were given: None means "not said" and is left out."""
    return {name: value for name, value in params.items() if value is not None}
