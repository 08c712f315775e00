"""settings, change_setting, log_tail and reload: the configuration files, and the log of the running agent."""

from __future__ import annotations

import dataclasses
from typing import Final

from agent.api.context import ApiContext
from agent.api.methods.common import readable
from agent.api.schema.common import NoParams
from agent.api.schema.doctor import ReloadDocument
from agent.api.schema.settings import (
    ChangeSettingDocument,
    ChangeSettingParams,
    LogTailDocument,
    LogTailParams,
    SettingDocument,
    SettingsDocument,
)
from agent.core.errors import NotRunning, UsageError
from agent.provisioning import reload as reloading
from agent.settings.config_file import load_settings, set_value, unset_value
from agent.settings.setting_rows import setting_rows
from agent.settings.settings import TABLE

_LEVELS: Final = frozenset({"debug", "info", "warning", "error"})


def reload(context: ApiContext, _params: NoParams) -> ReloadDocument:
    """Read settings and declarations again. Invalid files change nothing.

    Raises:
        NotRunning: no daemon runs; each command reads the files when it starts.
    """
    if context.provisioner is None:
        raise NotRunning("no agent runs; the next one reads the settings when it starts", "raven-agent run")
    done = reloading.reload(context.agent, context.provisioner)
    return ReloadDocument(ok=done.ok, message=done.message, changed=list(done.changed), waiting=list(done.waiting))


def settings(context: ApiContext, _params: NoParams) -> SettingsDocument:
    """List all settings with the place that decides each. Raises ConfigError."""
    return SettingsDocument(
        [
            SettingDocument(
                name=row["name"],
                value=row["value"],
                default=row["default"],
                unit=row["unit"],
                meaning=row["meaning"],
                origin=readable(row["origin"]),
                choices=list(TABLE[row["name"]].choices),
                locked=row["origin"] not in ("default", "file"),
            )
            for row in setting_rows(context.agent.home, context.agent.env)
        ]
    )


def change_setting(context: ApiContext, params: ChangeSettingParams) -> ChangeSettingDocument:
    """Write one setting into the person's own file, and have the running agent take it.

    Raises:
        ConfigError: unknown name, bad value, or a file that cannot be written.
    """
    home = context.agent.home
    if params.value is None:
        unset_value(home, params.name)
    else:
        set_value(home, params.name, params.value)
    done = reload(context, NoParams()) if context.provisioner is not None else None
    return ChangeSettingDocument(
        name=params.name,
        value=dataclasses.asdict(load_settings(home, context.agent.env))[params.name],
        waiting=done is None or params.name in done.waiting,
        message="" if done is None else done.message,
    )


def log_tail(context: ApiContext, params: LogTailParams) -> LogTailDocument:
    """Return the newest lines of the running agent's log.

    Raises:
        NotRunning: no daemon runs.
        UsageError: there is no such level.
    """
    if context.dashboard is None:
        raise NotRunning("no agent runs", "raven-agent logs")
    if params.level is not None and params.level not in _LEVELS:
        raise UsageError(f"there is no level {params.level!r}", f"one of {', '.join(sorted(_LEVELS))}")
    return LogTailDocument(context.dashboard.log_lines(params.lines, params.level))
