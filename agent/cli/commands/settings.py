"""``config``: read and change the settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import click

from agent.cli import render
from agent.cli.command import CONTEXT, App, command
from agent.cli.completions import SETTING
from agent.cli.exit_codes import ExitCode
from agent.cli.humanize import short_home, short_homes
from agent.cli.output import TextLine
from agent.core.errors import NotRunning
from agent.settings.config_file import config_files, load_settings, set_value
from agent.settings.errors import ConfigError
from agent.settings.home import APP
from agent.settings.setting_rows import setting_rows
from agent.settings.settings import TABLE, parse_setting


@click.group("config", context_settings=CONTEXT)
def config_command() -> None:
    """Settings."""


@command("get")
@click.argument("name", type=SETTING, required=False)
def get_command(app: App, name: str | None) -> ExitCode:
    """Show all settings with their meanings, or the value of one."""
    if name is not None and name not in TABLE:
        parse_setting(name, "")
    rows = [row for row in setting_rows(app.home) if name in (None, row["name"])]
    app.output.data({"settings": rows} if name is None else rows[0], render.settings)
    return ExitCode.DONE


@command("set")
@click.argument("name", type=SETTING)
@click.argument("value")
def set_command(app: App, name: str, value: str) -> ExitCode:
    """Write one setting. A running agent takes it at once, as far as it can."""
    now = set_value(app.home, name, value)
    document = {"name": name, "value": now, "reload": _reloaded(app)}
    app.output.done(
        document, lambda d: [TextLine(f"{d['name']} = {render.word(d['value'])}"), *_reload_line(d["reload"])]
    )
    return ExitCode.DONE


@command("unset")
@click.argument("name", type=SETTING)
def unset_command(app: App, name: str) -> ExitCode:
    """Remove one setting from the file, so that its default holds."""
    from agent.settings.config_file import unset_value

    changed = unset_value(app.home, name)
    now = dataclasses.asdict(load_settings(app.home))[name]
    document = {"name": name, "changed": changed, "value": now, "reload": _reloaded(app) if changed else None}
    words = "" if changed else f" (it was not set in {short_home(app.home.config_file)})"
    app.output.done(
        document, lambda d: [TextLine(f"{d['name']} = {render.word(d['value'])}{words}"), *_reload_line(d["reload"])]
    )
    return ExitCode.DONE


@command("edit", prints_data=False)
def edit_command(app: App) -> ExitCode:
    """Open the settings file in $VISUAL or $EDITOR, then check it.

    A file that is not there yet is made with a comment for every setting.
    """
    from agent.cli.editor import edit_file
    from agent.settings.config_file import template
    from agent.settings.owner_only_files import write_atomically

    app.home.create()
    if not app.home.config_file.exists():
        write_atomically(app.home.config_file.resolve(), template().encode())
    edit_file(app.home.config_file)
    _check(app)
    for line in _reload_line(_reloaded(app)):
        app.output.note(line.text)
    return ExitCode.DONE


@command("path")
def path_command(app: App) -> ExitCode:
    """Print the path of the settings file, whether or not it exists."""
    files = [str(path) for path in config_files(app.home)]
    document = {"path": str(app.home.config_file), "system": str(app.home.system_dir), "read": files}
    app.output.data(document, lambda d: [TextLine(d["path"])])
    return ExitCode.DONE


@command("check")
def check_command(app: App) -> ExitCode:
    """Check the settings and declarations; exits 2 and names every invalid one.

    A declared folder may name an account that is not there yet, as a login may follow: it is said, and is no mistake.
    """
    _check(app)
    for line in _unknown_accounts(app):
        app.output.note(line)
    files = [str(path) for path in config_files(app.home)]
    document = {"ok": True, "path": str(app.home.config_file), "read": files}
    app.output.done(document, lambda d: [TextLine(f"{short_home(path)} is fine") for path in d["read"] or [d["path"]]])
    return ExitCode.DONE


@command("reload")
def reload_command(app: App) -> ExitCode:
    """Have the running agent read settings and declarations again.

    Invalid files change nothing, and the command exits 2.
    """
    said = _reloaded(app)
    if said is None:
        raise NotRunning("no agent runs; the next one reads the settings by itself", "raven-agent run")
    if not said["ok"]:
        raise ConfigError(said["message"], "raven-agent config check")
    app.output.done(said, lambda d: [TextLine(short_homes(d["message"]))])
    return ExitCode.DONE


def _check(app: App) -> None:
    """Raise ConfigError with every invalid setting and declaration."""
    from agent.settings.config_file import file_problems
    from agent.settings.declarations import read_home

    problems = file_problems(app.home)
    if len(problems) > 1:
        raise ConfigError("; ".join(problems), f"correct them, then: {APP} config check")
    load_settings(app.home)
    refused = read_home(app.home).refusals
    if refused:
        words = "; ".join(f"[[{r.kind}]] {r.name} in {r.file}: {r.message}" for r in refused)
        raise ConfigError(words, refused[0].hint)


def _unknown_accounts(app: App) -> list[str]:
    """Return one line for each declared folder whose account is neither declared nor stored."""
    from agent.settings.declarations import read_home
    from agent.settings.links import LOCAL_ACCOUNTS, account_hint
    from agent.settings.registry_file import load_registry

    declared = read_home(app.home)
    stored = {server.name for server in load_registry(app.home.registry_file).servers}
    known = stored | {server.name for server in declared.servers} | LOCAL_ACCOUNTS
    return [
        f"[[source]] {source.name} in {short_home(source.file)}: "
        f"no account is called {source.server!r} yet; {account_hint(source.server, known)}"
        for source in declared.sources
        if source.server and source.server not in known
    ]


def _reloaded(app: App) -> dict[str, Any] | None:
    """Have a running agent reload, and return its answer; None without one."""
    from agent.cli.client import daemon_of

    daemon = daemon_of(app.home)
    return None if daemon is None else daemon.call("reload", {})


def _reload_line(said: Mapping[str, Any] | None) -> list[TextLine]:
    return [] if said is None else [TextLine(f"the running agent: {short_homes(said['message'])}")]


for _made in (get_command, set_command, unset_command, edit_command, path_command, check_command, reload_command):
    config_command.add_command(_made)
