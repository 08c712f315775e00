"""Parts of every command: shared options, home and settings, questions, and the groups.

A command's body takes an ``App`` and returns an ``ExitCode``; it never prints, exits or catches errors by itself.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Concatenate, Final, NamedTuple, ParamSpec

import click

from agent.cli.completions import CONFLICT, CONFLICTS, Place
from agent.cli.exit_codes import ExitCode
from agent.cli.output import Output, OutputFormat, Verbosity, may_ask
from agent.core.errors import AgentError, UsageError

if TYPE_CHECKING:
    from agent.cli.client import Client
    from agent.settings.home import Home
    from agent.settings.settings import Settings

P = ParamSpec("P")

CONTEXT: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class Declined(AgentError):
    """A person was asked and said no."""

    code = "declined"


class App(NamedTuple):
    """One run of one command."""

    home: Home
    output: Output

    def settings(self) -> Settings:
        """Read the settings.

        Raises:
            ConfigError: they are invalid.
        """
        from agent.settings.config_file import load_settings

        return load_settings(self.home)

    @contextlib.contextmanager
    def connect(self) -> Iterator[Client]:
        """Open a client of this home: the running daemon, or a session in this process."""
        from agent.cli.client import connect

        with connect(self.home, self.settings()) as client:
            yield client

    def call(self, method: str, params: Mapping[str, Any]) -> Any:
        """Call one method and return its document."""
        with self.connect() as client:
            return client.call(method, params)

    def confirm(self, question: str, flag: str) -> None:
        """Ask a person and return on a yes.

        Args:
            flag: the flag that answers in advance, or a whole command where this one cannot be repeated.

        Raises:
            Declined: the answer was no.
            UsageError: there is no terminal to ask on.
        """
        alone = flag.startswith("--")
        if not may_ask():
            raise UsageError(question, f"repeat with {flag}" if alone else flag)
        if not click.confirm(question, default=False, err=True):
            raise Declined("nothing was changed", None if alone else f"later: {flag}")


def command(
    name: str, *, prints_data: bool = True
) -> Callable[[Callable[Concatenate[App, P], ExitCode]], click.Command]:
    """Make a command with ``-h``, ``-v``, ``-q`` and, where it prints data, ``--json``."""

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
            click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors and the requested data."),
            click.option("-v", "--verbose", is_flag=True, help="Print more, on stderr."),
        ]
        if prints_data:
            options.append(click.option("--json", "json_output", is_flag=True, help="Print one JSON document."))
        decorated: Callable[..., Any] = run
        for option in options:
            # click lists options in the order of their decorators, so the shared ones follow the command's own.
            decorated = option(decorated)
        params: list[click.Parameter] = decorated.__click_params__  # type: ignore[attr-defined]
        shared = params[-len(options) :]
        decorated.__click_params__ = shared + params[: -len(options)]  # type: ignore[attr-defined]
        made = click.command(name, cls=ExplainedCommand, context_settings=CONTEXT)(decorated)
        for param in made.params:
            if isinstance(param, click.Argument) and param.name in _TYPES:
                param.type = _TYPES[param.name]
        return made

    return wrap


class ExplainedCommand(click.Command):
    """A command whose help ends with examples."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples of this command."""
        from agent.cli.examples import epilog

        words = ctx.command_path.split()[1:]
        text = epilog(" ".join(words))
        if text:
            formatter.write_paragraph()
            formatter.write_text(text)


_TYPES: Final[Mapping[str, click.types.StringParamType]] = {
    "folder": Place("dir"),
    "old": Place("dir"),
    "new": Place("dir"),
    "path": Place("file"),
    "ids": CONFLICTS,
    "conflict": CONFLICT,
}
"""Arguments that the shell can complete, by their name."""


def _log_to_stderr() -> None:
    from agent.cli.logsetup import log_to_stderr

    log_to_stderr()


class CommandSpec(NamedTuple):
    """The module and the summary of a command.

    Attributes:
        module: imported when the command runs; the object in it is called NAME_command.
        summary: its line in the group's help, equal to the command's own, so that the help imports no command.
        section: the heading of the list in which the group's help shows it.
    """

    module: str
    summary: str
    section: str = "Commands"


class LazyGroup(click.Group):
    """A group whose commands are imported when they are needed."""

    def __init__(self, *args: Any, places: Mapping[str, CommandSpec], **kw: Any) -> None:
        super().__init__(*args, **kw)
        self.places = places

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands, in the order of the documents."""
        return list(self.places)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of that name."""
        if cmd_name not in self.places:
            return None
        module = importlib.import_module(self.places[cmd_name].module)
        found: click.Command = getattr(module, f"{cmd_name}_command")
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is meant. Fails with the nearest name for one that does not exist."""
        name = args[0]
        if name in self.places or name.startswith("-"):
            return super().resolve_command(ctx, args)
        from difflib import get_close_matches

        near = get_close_matches(name, self.places, n=1, cutoff=0.6)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise click.UsageError(f"there is no command {name!r}{hint}", ctx)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the group's own options. An option of the commands is named as such."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if error.option_name in _OF_COMMANDS:
                raise click.UsageError(
                    f"{error.option_name} goes behind the command, for example: "
                    f"{ctx.command_path} status {error.option_name}",
                    ctx,
                ) from None
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, a list for each section; all lists have the same width."""
        width = max(len(name) for name in self.places)
        for section in dict.fromkeys(place.section for place in self.places.values()):
            with formatter.section(section):
                formatter.write_dl(
                    [(name.ljust(width), p.summary) for name, p in self.places.items() if p.section == section]
                )


_OF_COMMANDS: Final = frozenset({"--json", "-q", "--quiet", "-v", "--verbose", "--yes", "--dry-run"})

folder_option = click.argument("folder", required=False, metavar="[FOLDER]")
limit_option = click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most this many.")
after_option = click.option("--after", metavar="MARK", help="Go on behind this entry (its path or id).")
order_option = click.option("--order", type=click.Choice(["oldest", "newest"]), help="Order of the list.")
match_option = click.option(
    "--match", metavar="TEXT", help="Only paths with this part, or that fit a pattern such as '*.md'."
)
include_option = click.option(
    "--include", multiple=True, metavar="GLOB", help="Pattern of files to sync (gitignore rules); may be repeated."
)
exclude_option = click.option(
    "--exclude", multiple=True, metavar="GLOB", help="Pattern of files to leave out; may be repeated."
)
yes_option = click.option("--yes", is_flag=True, help="Answer every question with yes.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Show the effect, and do nothing.")
MODES = click.Choice(["bidirectional", "local_to_cloud", "import_only"])


def without_none(**params: Any) -> dict[str, Any]:
    """Return the parameters that were given; None is left out."""
    return {name: value for name, value in params.items() if value is not None}
