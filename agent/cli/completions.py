"""Completion by the shell: paths, accounts, settings and conflicts. Starts nothing and shows no error."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

import click

from agent.cli.param_types import RESOLUTION

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class Place(click.types.StringParamType):
    """A path as it was typed; ``file``, or ``dir`` for folders only."""

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Ask the shell to complete a path."""
        from click.shell_completion import CompletionItem

        return [CompletionItem(incomplete, type=self._kind)]


class ConflictName(Place):
    """A conflict's id, or a path. The ids are those of a running agent.

    Args:
        words: what may follow several ids, because the shell cannot know which of them is the last.
    """

    def __init__(self, words: tuple[str, ...] = ()) -> None:
        super().__init__("file")
        self._words = words

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Complete the ids, each with its path, and ask the shell to complete a path."""
        names = [*((str(row["id"]), str(row["path"])) for row in _conflicts()), *((word, None) for word in self._words)]
        return [*_beginning_with(incomplete, names), *super().shell_complete(ctx, param, incomplete)]


class AccountName(click.types.StringParamType):
    """The name of an account."""

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Complete the accounts of the registry, each with its address."""
        return _beginning_with(incomplete, _accounts())


class SettingName(click.types.StringParamType):
    """The name of a setting."""

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Complete the settings, each with its meaning."""
        from agent.settings.settings import TABLE

        return _beginning_with(incomplete, ((setting.name, setting.meaning) for setting in TABLE.values()))


ACCOUNT: Final = AccountName()
SETTING: Final = SettingName()
CONFLICT: Final = ConflictName()
CONFLICTS: Final = ConflictName(RESOLUTION.words)


def _beginning_with(incomplete: str, found: Iterable[tuple[str, str | None]]) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    return [CompletionItem(name, help=text) for name, text in found if name.startswith(incomplete)]


def _accounts() -> Iterator[tuple[str, str]]:
    from agent.settings.home import Home
    from agent.settings.registry_file import load_registry

    # A shell that shows an error in the middle of a line helps no one.
    with contextlib.suppress(Exception):
        for server in load_registry(Home.from_environment().registry_file).servers:
            yield server.name, server.url


def _conflicts() -> list[dict[str, object]]:
    from agent.cli.client import daemon_of
    from agent.settings.home import Home

    with contextlib.suppress(Exception):
        daemon = daemon_of(Home.from_environment())
        if daemon is not None:
            return list(daemon.call("conflicts", {}))
    return []


def script(shell: str, program: str, command: click.Command) -> str:
    """Return the completion script of ``bash``, ``zsh`` or ``fish``."""
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None
    variable = f"_{program}_complete".replace("-", "_").upper()
    text = found(command, {}, program, variable).source()
    # click's function for fish cuts a description at its first comma.
    return text.replace('string split "," $completion', 'string split --max 1 "," $completion')
