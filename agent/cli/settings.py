"""``config``: reading and changing the settings."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

import click

from agent.cli import render
from agent.cli.command import CONTEXT, App, command
from agent.cli.exits import Exit
from agent.cli.output import Line
from agent.config import TABLE, Setting, file_values, load_settings, parse_setting, set_value


@click.group("config", context_settings=CONTEXT)
def config_command() -> None:
    """Settings."""


@command("get")
@click.argument("name", required=False)
def get_command(app: App, name: str | None) -> Exit:
    """Show all settings with their meanings, or the value of one."""
    if name is not None and name not in TABLE:
        parse_setting(name, "")
    values = dataclasses.asdict(load_settings(app.home))
    written = file_values(app.home)
    rows = [_row(setting, values, written) for setting in TABLE.values() if name in (None, setting.name)]
    app.output.data({"settings": rows} if name is None else rows[0], render.settings)
    return Exit.DONE


def _row(setting: Setting, values: Mapping[str, Any], written: Mapping[str, Any]) -> dict[str, Any]:
    origin = "file" if setting.name in written else "default"
    if setting.variable and os.environ.get(setting.variable):
        origin = setting.variable
    return {
        "name": setting.name,
        "value": values[setting.name],
        "default": setting.default,
        "unit": setting.unit,
        "meaning": setting.meaning,
        "origin": origin,
    }


@command("set")
@click.argument("name")
@click.argument("value")
def set_command(app: App, name: str, value: str) -> Exit:
    """Write one setting. A running agent takes it at its next start."""
    now = set_value(app.home, name, value)
    app.output.done({"name": name, "value": now}, lambda d: [Line(f"{d['name']} = {render.word(d['value'])}")])
    return Exit.DONE


@command("edit", prints_data=False)
def edit_command(app: App) -> Exit:
    """Open the settings file in $VISUAL or $EDITOR, then check it."""
    from agent.cli.editor import edit_file

    app.home.create()
    app.home.config_file.touch(mode=0o600)
    edit_file(app.home.config_file)
    load_settings(app.home)
    return Exit.DONE


@command("path")
def path_command(app: App) -> Exit:
    """Print where the settings file is, whether or not it is there."""
    app.output.data({"path": str(app.home.config_file)}, lambda d: [Line(d["path"])])
    return Exit.DONE


@command("check")
def check_command(app: App) -> Exit:
    """Say whether the settings make sense; exits 2 and names the first that does not."""
    load_settings(app.home)
    app.output.done({"ok": True, "path": str(app.home.config_file)}, lambda d: [Line(f"{d['path']} is fine")])
    return Exit.DONE


for _made in (get_command, set_command, edit_command, path_command, check_command):
    config_command.add_command(_made)
