"""The text of ``config.toml``: made with a comment for every setting, and changed without losing a person's own."""

from __future__ import annotations

import re
from typing import Final

import tomlkit

from agent.settings.settings import TABLE, Setting, Value

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


def template() -> str:
    """A ``config.toml`` that sets nothing and says everything."""
    return _HEAD + "".join(_commented(setting) for setting in TABLE.values()) + _TAIL


def _commented(setting: Setting) -> str:
    words = f" ({', '.join(setting.choices)})" if setting.choices else ""
    unit = f" [{setting.unit}]" if setting.unit else ""
    meaning = setting.meaning[0].upper() + setting.meaning[1:]
    return f"\n# {meaning}{words}{unit}.\n# {_line(setting.name, setting.default)}\n"


def with_value(text: str | None, name: str, value: Value) -> str:
    """``text`` with one setting in it, comments and order kept; None stands for a file that is not there yet.

    A line that shows the setting's default as a comment gives way to it.
    """
    text = template() if text is None else text
    document = tomlkit.parse(text)
    # Only the very line the template has: any other comment is a person's.
    shown = re.compile(rf"^# {re.escape(_line(name, TABLE[name].default))}$", re.MULTILINE)
    # With the comment lines right above it, which are its own.
    first_table = re.search(r"^(?:[ \t]*#.*\n)*[ \t]*\[", text, re.MULTILINE)
    found = shown.search(text)
    if name not in document and found:
        return f"{text[: found.start()]}{_line(name, value)}{text[found.end() :]}"
    if name not in document and first_table:
        # Behind the first table's heading it would belong to that table.
        return f"{text[: first_table.start()]}{_line(name, value)}\n\n{text[first_table.start() :]}"
    document[name] = value
    return tomlkit.dumps(document)


def _line(name: str, value: Value) -> str:
    return tomlkit.dumps({name: value}).rstrip("\n")
