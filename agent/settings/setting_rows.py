"""Every setting with its value, its default and the place that decides."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

from agent.settings.config_file import file_values, load_settings
from agent.settings.home import Home
from agent.settings.settings import TABLE


def setting_rows(home: Home, env: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    """Return one row for each setting: name, value, default, unit, meaning, origin.

    The origin is ``default``, ``file`` for the person's own file, the path of another file, or a variable's name.

    Raises:
        ConfigError: a file cannot be read, or holds an invalid value.
    """
    env = os.environ if env is None else env
    values, written = dataclasses.asdict(load_settings(home, env)), file_values(home)
    rows = []
    for setting in TABLE.values():
        origin = "default"
        if setting.name in written:
            file = written[setting.name][1]
            origin = "file" if file == home.config_file else str(file)
        if setting.variable and env.get(setting.variable):
            origin = setting.variable
        rows.append(
            {
                "name": setting.name,
                "value": values[setting.name],
                "default": setting.default,
                "unit": setting.unit,
                "meaning": setting.meaning,
                "origin": origin,
            }
        )
    return rows
