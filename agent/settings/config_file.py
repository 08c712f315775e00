"""Configuration files: read with their order of precedence, and changed without losing a person's own lines.

tomlkit is imported only where a file is changed: every command reads the settings before it does anything.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from agent.settings.errors import ConfigError
from agent.settings.home import APP, Home
from agent.settings.owner_only_files import write_atomically
from agent.settings.settings import (
    DECLARED,
    TABLE,
    Setting,
    Settings,
    Value,
    checked_value,
    folded,
    known_setting,
    parse_setting,
)

_HEAD: Final = """\
# Settings of raven-agent. Every line that begins with "# " and a name shows a default: take the "# " away to change it.
# "raven-agent config set NAME VALUE" does the same; "raven-agent config check" says whether all is well.
# What holds for everybody on this machine stands in /etc/raven-agent/; this file stands over it.
"""

_TAIL: Final = """
# Accounts and folders can be declared here as well, instead of with "login" and "link":
#
# [[server]]
# name = "work"
# url = "https://raven.example"
# token_file = "~/.config/raven-agent/work.token"
#
# [[source]]
# root = "~/notes"
# server = "work"
"""


def load_settings(home: Home, env: Mapping[str, str] | None = None) -> Settings:
    """Merge defaults, the system's files, ``config.toml`` and the environment, each over the one before.

    Raises:
        ConfigError: a file cannot be read, a key is unknown, or a value is of the wrong kind; the message names it.
    """
    env = os.environ if env is None else env
    values: dict[str, Any] = {name: value for name, (value, _) in file_values(home).items()}
    for setting in TABLE.values():
        if setting.variable and env.get(setting.variable):
            values[setting.name] = _from_variable(setting, setting.variable, env[setting.variable])
    return Settings(**values)


def _from_variable(setting: Setting, variable: str, text: str) -> Value:
    try:
        return parse_setting(setting.name, folded(setting, text))
    except ConfigError as error:
        raise ConfigError(f"{variable}={text} is refused: {error.message}", error.hint) from error


def file_values(home: Home) -> dict[str, tuple[Value, Path]]:
    """Return the settings that the files set, checked, each with the file that decides.

    Raises:
        ConfigError: as ``load_settings``.
    """
    values: dict[str, tuple[Value, Path]] = {}
    for path, content in read_files(home):
        for name, value in content.items():
            if name not in DECLARED:
                values[name] = (checked_value(known_setting(name, path), value, path), path)
    return values


def config_files(home: Home) -> list[Path]:
    """List the files that exist; a later one wins over an earlier: the system's ``config.toml``, its ``conf.d/*.toml``
    by name, the person's ``config.toml``.

    Raises:
        ConfigError: a folder exists and cannot be listed.
    """
    folder = home.system_dir / "conf.d"
    try:
        parts = sorted(path for path in folder.iterdir() if path.suffix == ".toml" and not path.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        parts = []
    except OSError as error:
        # An unreadable folder is not an empty one: everything declared there would be unlinked.
        raise ConfigError(f"cannot read {folder}: {error.strerror}", f"chmod a+rx {folder}") from error
    files = [home.system_dir / "config.toml", *parts, home.config_file]
    return [path for path in files if _exists(path)]


def _exists(path: Path) -> bool:
    try:
        # A dangling link counts as present: somebody meant it to be read.
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}", f"may this user read {path.parent}?") from error
    return True


def read_files(home: Home) -> list[tuple[Path, dict[str, Any]]]:
    """Parse every configuration file, in the order of ``config_files``.

    Raises:
        ConfigError: one cannot be read, or is not TOML.
    """
    return [(path, _parsed(path)) for path in config_files(home)]


def _parsed(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}", f"correct {path}, then: {APP} config check") from error
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error


def set_value(home: Home, name: str, text: str) -> Value:
    """Write one setting into ``config.toml``, keeping comments and order; returns the value.

    Raises:
        ConfigError: unknown name, bad value, or a file that cannot be read or written.
    """
    value = parse_setting(name, text)
    file_values(home)
    home.create()
    try:
        before = home.config_file.read_text("utf-8") if home.config_file.exists() else None
        # Through a link, so that a config.toml kept among somebody's dotfiles stays one.
        write_atomically(home.config_file.resolve(), with_value(before, name, value).encode())
    except OSError as error:
        raise ConfigError(f"cannot write {home.config_file}: {error.strerror}") from error
    return value


def unset_value(home: Home, name: str) -> bool:
    """Remove one setting from ``config.toml``, so that its default holds; return False if it was not set there.

    Raises:
        ConfigError: unknown name, or a file that cannot be read or written.
    """
    import tomlkit

    known_setting(name)
    file_values(home)
    try:
        if not home.config_file.exists():
            return False
        document = tomlkit.parse(home.config_file.read_text("utf-8"))
        if name not in document:
            return False
        document.remove(name)
        write_atomically(home.config_file.resolve(), tomlkit.dumps(document).encode())
    except OSError as error:
        raise ConfigError(f"cannot write {home.config_file}: {error.strerror}") from error
    return True


def file_problems(home: Home) -> list[str]:
    """Return every invalid line of the configuration files, each with file and line number where it is known.

    Raises:
        ConfigError: a folder of configuration files cannot be listed.
    """
    found = []
    for path in config_files(home):
        try:
            content = _parsed(path)
        except ConfigError as error:
            found.append(error.message)
            continue
        for name, value in content.items():
            try:
                if name not in DECLARED:
                    checked_value(known_setting(name), value)
            except ConfigError as error:
                hint = f" ({error.hint})" if error.hint else ""
                found.append(f"{path}{_line_of(path, name)}: {error.message}{hint}")
    return found


def _line_of(path: Path, name: str) -> str:
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if re.match(rf"""\s*["']?{re.escape(name)}["']?\s*=""", line):
            return f":{number}"
    return ""


def template() -> str:
    """Return a ``config.toml`` that sets nothing and shows every setting as a comment."""
    return _HEAD + "".join(_commented(setting) for setting in TABLE.values()) + _TAIL


def _commented(setting: Setting) -> str:
    words = f" ({', '.join(setting.choices)})" if setting.choices else ""
    unit = f" [{setting.unit}]" if setting.unit else ""
    meaning = setting.meaning[0].upper() + setting.meaning[1:]
    return f"\n# {meaning}{words}{unit}.\n# {_line(setting.name, setting.default)}\n"


def with_value(text: str | None, name: str, value: Value) -> str:
    """Set one setting in ``text`` and keep comments and order; None is a file that does not exist yet.

    A line that shows the setting's default as a comment is replaced.
    """
    import tomlkit

    text = template() if text is None else text
    document = tomlkit.parse(text)
    # Only the exact line of the template: every other comment is a person's.
    shown = re.compile(rf"^# {re.escape(_line(name, TABLE[name].default))}$", re.MULTILINE)
    # The comment lines right above a table belong to it.
    first_table = re.search(r"^(?:[ \t]*#.*\n)*[ \t]*\[", text, re.MULTILINE)
    found = shown.search(text)
    if name not in document and found:
        return f"{text[: found.start()]}{_line(name, value)}{text[found.end() :]}"
    if name not in document and first_table:
        # After the first table's heading the line would belong to that table.
        return f"{text[: first_table.start()]}{_line(name, value)}\n\n{text[first_table.start() :]}"
    document[name] = value
    return tomlkit.dumps(document)


def _line(name: str, value: Value) -> str:
    import tomlkit

    return tomlkit.dumps({name: value}).rstrip("\n")
