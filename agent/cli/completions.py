"""Completion by the shell: paths, accounts, settings, and what a running agent knows.

Conflicts, sources, versions and trash entries are those of a running agent. Starts nothing and shows no error.
"""

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
        names = [
            *((str(row["id"]), str(row["path"])) for row in _answer("conflicts", {})),
            *((word, None) for word in self._words),
        ]
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


class SourceName(click.types.StringParamType):
    """The name of a source on a server."""

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Complete the sources of the servers, each with its id."""
        rows = _answer("sources", {"server": ctx.params["server"]} if ctx.params.get("server") else {})
        return _beginning_with(incomplete, ((str(row["name"]), str(row["id"])) for row in rows))


class DeviceName(click.types.StringParamType):
    """The name of a device of an account."""

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Complete the devices, each with its id."""
        rows = _answer("devices", {"server": ctx.params["server"]} if ctx.params.get("server") else {})
        return _beginning_with(incomplete, ((str(row["name"]), str(row["id"])) for row in rows))


class VersionHash(click.types.StringParamType):
    """The hash of a version of the file that the command names."""

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Complete the versions of the file, each with its time."""
        from agent.cli.humanize import file_path, path_params, when

        named = _named_path(ctx)
        if not named:
            return []
        with contextlib.suppress(Exception):
            rows = _answer("history", path_params("path", file_path(named)))
            found = [(str(row["hash"])[:12], f"{row['where']}, {when(row['recorded_at'])}") for row in rows]
            return _beginning_with(incomplete, dict(found).items())
        return []


class TrashId(click.types.StringParamType):
    """The id of an entry of the trash."""

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Complete the entries, those of the named file where there are any."""
        rows = _answer("trash", {})
        named = _named_path(ctx)
        own = [row for row in rows if named and named.endswith(str(row["path"]))]
        return _beginning_with(incomplete, ((str(row["id"]), str(row["path"])) for row in own or rows))


ACCOUNT: Final = AccountName()
SOURCE: Final = SourceName()
DEVICE: Final = DeviceName()
VERSION: Final = VersionHash()
TRASH_ID: Final = TrashId()
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


def _named_path(ctx: click.Context) -> str:
    """Return the path on the line; "" without one. click parses no argument while the last option lacks its value."""
    given = [ctx.params.get("path"), ctx.params.get("conflict"), *ctx.args]
    return next((str(word) for word in given if word), "")


def _answer(method: str, params: dict[str, object]) -> list[dict[str, object]]:
    """Return the rows of a list that a running agent answers; none without an agent, or after an error."""
    from agent.cli.client import daemon_of
    from agent.settings.home import Home

    with contextlib.suppress(Exception):
        daemon = daemon_of(Home.from_environment())
        if daemon is not None:
            document = daemon.call(method, params)
            return list(document["versions"] if isinstance(document, dict) else document)
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
