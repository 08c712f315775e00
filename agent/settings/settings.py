"""Settings a person may change: each with its default, unit, limits and meaning.

The command line, the documents and ``config.toml``'s template read this table. Values come from the files
(``config_file.py``) and from the environment.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from agent.core import defaults
from agent.core.errors import UsageError
from agent.settings.errors import ConfigError
from agent.settings.home import APP

__all__ = [
    "DECLARED",
    "TABLE",
    "Setting",
    "Settings",
    "Value",
    "checked_value",
    "folded",
    "known_setting",
    "parse_setting",
]

DECLARED: Final = ("server", "source")
"""Tables of the configuration files that are not settings; ``agent.settings.declarations`` reads them."""

Value = int | str | bool

LONGEST_MACHINE_NAME: Final = 64
"""Characters. A hub keeps no more of the name of a machine that joins."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the settings table.

    Attributes:
        name: the key in ``config.toml``.
        default: the value when it is not set.
        unit: of the number; empty for words.
        meaning: one sentence.
        least, most: limits of a number, inclusive.
        choices: the words allowed; empty means any.
        variable: the environment variable that overrides the file.
    """

    name: str
    default: Value
    unit: str
    meaning: str
    least: int = 0
    most: int = 2**53
    choices: tuple[str, ...] = ()
    variable: str | None = None


def _setting(default: T, unit: str, meaning: str, **limits: Any) -> T:
    return field(default=default, metadata={"unit": unit, "meaning": meaning, **limits})


@dataclass(frozen=True, slots=True)
class Settings:
    """Values a person may change. ``TABLE`` holds the meaning, unit and limits of each field."""

    quiet_ms: int = _setting(
        defaults.QUIET_MS,
        "ms",
        "how long a changed file must be quiet before it is looked at; a fifth of it once it was closed",
        most=60_000,
    )
    quiet_max_ms: int = _setting(
        defaults.QUIET_MAX_MS, "ms", "longest wait for a file that keeps changing", most=600_000
    )
    poll_wait_seconds: int = _setting(
        defaults.POLL_WAIT_SECONDS,
        "s",
        "longest wait of one poll, where the server offers long polls; above 25 counts as 25, 0 polls at intervals",
        most=300,
    )
    poll_min_seconds: int = _setting(
        defaults.POLL_MIN_SECONDS, "s", "time between polls right after activity", least=1, most=3600
    )
    poll_max_seconds: int = _setting(
        defaults.POLL_MAX_SECONDS, "s", "time between polls a while after activity", least=1, most=3600
    )
    poll_idle_seconds: int = _setting(
        defaults.POLL_IDLE_SECONDS, "s", "time between polls of an idle source", least=1, most=86_400
    )
    poll_idle_after_minutes: int = _setting(
        defaults.POLL_IDLE_AFTER_MINUTES, "min", "a source without changes for this long is idle", least=1
    )
    heartbeat_seconds: int = _setting(30, "s", "time between two signs of life to the server", least=5, most=3600)
    full_look_minutes: int = _setting(
        defaults.FULL_LOOK_MINUTES, "min", "time between full looks at the folder, give or take 10 %", least=1
    )
    brake_min: int = _setting(defaults.BRAKE_MIN, "files", "fewer deletes than this at once are never held", least=1)
    brake_percent: int = _setting(
        defaults.BRAKE_PERCENT, "%", "deletes of more than this share of a source are held", least=1, most=100
    )
    brake_total: int = _setting(
        defaults.BRAKE_TOTAL, "files", "this many deletes at once are held whatever the share", least=1
    )
    brake_window_minutes: int = _setting(
        defaults.BRAKE_WINDOW_MINUTES, "min", "deletes within this time count together", least=1, most=10_080
    )
    trash_days: int = _setting(30, "days", "how long replaced and removed files are kept", least=1)
    trash_max_bytes: int = _setting(
        1 << 30, "bytes", "above this size the oldest go early; files over a quarter of it count apart"
    )
    hub_port: int = _setting(
        8674,
        "",
        "port of the embedded hub; another free one if it is taken",
        most=65_535,
        variable="RAVEN_AGENT_HUB_PORT",
    )
    hub_listen: str = _setting(
        "", "", "HOST:PORT at which other machines reach the embedded hub, encrypted; empty for this machine only"
    )
    hub_token_days: int = _setting(90, "days", "how long a token of the embedded hub is good for", least=1, most=3650)
    ui_port: int = _setting(
        0,
        "",
        "port of the dashboard from the agent's start on; 0 starts it when raven-agent ui asks for it",
        most=65_535,
    )
    auto_merge: bool = _setting(default=False, unit="", meaning="merge clean three-way merges without asking")
    notifications: bool = _setting(
        default=True,
        unit="",
        meaning="show new conflicts, a halt and a sign-out on the desktop",
        variable="RAVEN_AGENT_NOTIFICATIONS",
    )
    log_level: str = _setting(
        "info",
        "",
        "how much the program's log says",
        choices=("debug", "info", "warning", "error"),
        variable="RAVEN_AGENT_LOG",
    )
    log_format: str = _setting("text", "", "form of a log line", choices=("text", "json"))
    pinakes_hash: str = _setting(
        "sha256",
        "",
        "algorithm of the content hashes of a Pinakes server; never concluded from a hash",
        choices=("sha256", "blake3"),
    )
    credentials: str = _setting(
        "auto",
        "",
        "where tokens are kept: the keyring if there is one, or a 0600 file",
        choices=("auto", "keyring", "file"),
    )
    machine_name: str = _setting(
        "",
        "",
        "name of this machine for servers and other machines; empty is its host name",
        variable="RAVEN_AGENT_MACHINE_NAME",
    )
    ca_file: str = _setting("", "", "certificates to trust besides the system's (PEM file)")
    server_url: str = _setting("", "", "a server account besides those logged in to", variable="RAVEN_SERVER_URL")
    workspace: str = _setting("", "", "workspace of that account", variable="RAVEN_WORKSPACE")


TABLE: Final[Mapping[str, Setting]] = {
    f.name: Setting(f.name, cast("Value", f.default), **f.metadata) for f in dataclasses.fields(Settings)
}


def parse_setting(name: str, text: str) -> Value:
    """Convert ``text`` to the setting's own type.

    Raises:
        ConfigError: unknown name, or a value outside its limits.
    """
    setting = known_setting(name)
    if isinstance(setting.default, bool):
        words = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
        if text.lower() not in words:
            raise ConfigError(f"{name} is true or false, not {text!r}", _meaning(name))
        return words[text.lower()]
    if isinstance(setting.default, int):
        try:
            return checked_value(setting, int(text.replace("_", "")))
        except ValueError:
            raise ConfigError(f"{name} is a whole number, not {text!r}", _meaning(name)) from None
    return checked_value(setting, text)


def _meaning(name: str) -> str:
    return f"raven-agent config get {name} shows its value and meaning"


def known_setting(name: str, where: Path | None = None) -> Setting:
    """Return the setting of that name. ``where`` is the file that names it, for the message.

    Raises:
        ConfigError: there is none; the hint names the nearest.
    """
    if name in TABLE:
        return TABLE[name]
    import difflib

    # A declared table is a key of the file, and no setting that a command reads or writes.
    near = difflib.get_close_matches(name, TABLE if where is None else (*TABLE, *DECLARED), n=1, cutoff=0.6)
    place = f" in {where}" if where else ""
    hint = f"did you mean {near[0]!r}?" if near else f"{APP} config get lists the settings"
    raise ConfigError(f"unknown setting {name!r}{place}", hint)


def checked_value(setting: Setting, value: object, where: Path | None = None) -> Value:
    """Return ``value`` if it has the setting's type and lies within its limits.

    Raises:
        ConfigError: it does not.
    """
    place = f" (in {where})" if where else ""
    if type(value) is not type(setting.default):
        kinds = {bool: "true or false", int: "a whole number", str: "text in quotes"}
        raise ConfigError(f"{setting.name} is {kinds[type(setting.default)]}, not {value!r}{place}")
    if isinstance(value, int) and not isinstance(value, bool) and not setting.least <= value <= setting.most:
        unit = f" {setting.unit}" if setting.unit else ""
        raise ConfigError(f"{setting.name} is between {setting.least} and {setting.most}{unit}, not {value}{place}")
    if setting.choices and value not in setting.choices:
        raise ConfigError(f"{setting.name} is one of {', '.join(setting.choices)}, not {value!r}{place}")
    if setting.name == "server_url" and value:
        _check_url(str(value), place)
    if setting.name == "hub_listen" and value:
        _check_listen(str(value), place)
    if setting.name == "machine_name" and value:
        _check_machine_name(str(value), place)
    return value


def _check_url(url: str, place: str) -> None:
    # Imported here: few homes have such a setting, and every command reads the settings.
    from agent.settings.server_url import clean_url

    try:
        clean_url(url)
    except UsageError as error:
        raise ConfigError(f"server_url: {error.message}{place}", error.hint) from error


def _check_listen(text: str, place: str) -> None:
    from agent.core.net import host_and_port

    try:
        host, port = host_and_port(text)
    except ValueError:
        host, port = "", None
    if not host or port is None:
        raise ConfigError(f"hub_listen is HOST:PORT, not {text!r}{place}", "for example 0.0.0.0:8675")


def _check_machine_name(text: str, place: str) -> None:
    if text != text.strip() or not text.isprintable() or len(text) > LONGEST_MACHINE_NAME:
        words = f"machine_name has 1 to {LONGEST_MACHINE_NAME} printable characters, without spaces at its ends"
        raise ConfigError(f"{words}, not {text!r}{place}", "for example: laptop of Ada")


def folded(setting: Setting, text: str) -> str:
    """Return ``text`` in lower case for a setting that takes one of several words."""
    return text.lower() if setting.choices else text
