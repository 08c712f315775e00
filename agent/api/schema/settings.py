"""settings, change_setting, log_tail."""

from __future__ import annotations

from msgspec import Struct


class SettingDocument(Struct, frozen=True, kw_only=True):
    """One setting.

    Attributes:
        unit: of a number; empty for words.
        meaning: one sentence.
        origin: default, file for the person's own file, the path of another file, or a variable's name.
        choices: the words allowed; empty for any.
        locked: true if the person's own file does not decide.
    """

    name: str
    value: int | str | bool
    default: int | str | bool
    unit: str
    meaning: str
    origin: str
    choices: list[str]
    locked: bool


class SettingsDocument(Struct, frozen=True):
    """All settings."""

    settings: list[SettingDocument]


class ChangeSettingParams(Struct, frozen=True, kw_only=True):
    """The setting to write.

    Attributes:
        name: its name.
        value: as ``config set`` takes it; null to remove it from the file, so that its default holds.
    """

    name: str
    value: str | None = None


class ChangeSettingDocument(Struct, frozen=True, kw_only=True):
    """The written setting.

    Attributes:
        value: the value that counts.
        waiting: true if it holds from the next start on.
        message: what the running agent says of it.
    """

    name: str
    value: int | str | bool
    waiting: bool
    message: str


class LogTailParams(Struct, frozen=True, kw_only=True):
    """The lines of the log to show.

    Attributes:
        lines: number of lines at most.
        level: only this level and above: debug, info, warning or error.
    """

    lines: int = 100
    level: str | None = None


class LogTailDocument(Struct, frozen=True):
    """The newest lines of the running agent's log, oldest first, without tokens."""

    lines: list[str]
