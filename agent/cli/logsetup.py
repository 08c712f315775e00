"""Where the program's log goes: the journal when a service manager reads it, else a rotating file and stderr."""

from __future__ import annotations

import datetime as dt
import json
import logging
import logging.handlers
import os
import re
import sys
from typing import TYPE_CHECKING, Final, cast

from agent.config import Home, Settings, private

if TYPE_CHECKING:
    from io import TextIOWrapper

FILES: Final = 5
FILE_BYTES: Final = 5_000_000

_SECRET: Final = re.compile(r"eyJ[\w-]+\.[\w-]+(?:\.[\w-]*)?|(?<=[Bb]earer )\S+")
_PRIORITIES: Final = {"DEBUG": 7, "INFO": 6, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}
_TEXT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def scrub(text: str) -> str:
    """``text`` with everything that looks like a token replaced."""
    return _SECRET.sub("[token]", text)


class _Text(logging.Formatter):
    """One line a record, times in UTC, tokens scrubbed."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        return _stamp(record)

    def format(self, record: logging.LogRecord) -> str:
        return scrub(super().format(record))


class _Journal(_Text):
    """Without the time, which the journal adds, and with the priority it reads from the start of the line."""

    def format(self, record: logging.LogRecord) -> str:
        return f"<{_PRIORITIES.get(record.levelname, 6)}>{super().format(record)}".replace("\n", " | ")


class _Json(logging.Formatter):
    """One JSON document a line."""

    def format(self, record: logging.LogRecord) -> str:
        said = {"at": _stamp(record), "level": record.levelname.lower(), "logger": record.name}
        said["message"] = record.getMessage()
        if record.exc_info:
            said["error"] = self.formatException(record.exc_info)
        return scrub(json.dumps(said))


def _stamp(record: logging.LogRecord) -> str:
    return dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="milliseconds")


def log_to_stderr() -> None:
    """For ``-v``: everything, on stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Text(_TEXT))
    _install([handler], logging.DEBUG)


def log_as_daemon(home: Home, settings: Settings) -> None:
    """For ``run``: the journal alone where stderr is one, else the rotating file and stderr."""
    stderr = logging.StreamHandler(sys.stderr)
    if _stderr_is_journal():
        stderr.setFormatter(_Journal("%(name)s: %(message)s"))
        _install([stderr], _level(settings))
        return
    form = _Json() if settings.log_format == "json" else _Text(_TEXT)
    stderr.setFormatter(form)
    _install([stderr, _file_handler(home, form)], _level(settings))


def log_to_file(home: Home, settings: Settings) -> None:
    """For ``up``, whose terminal shows the live view: the rotating file alone."""
    form = _Json() if settings.log_format == "json" else _Text(_TEXT)
    _install([_file_handler(home, form)], _level(settings))


def _level(settings: Settings) -> int:
    return logging.getLevelNamesMapping()[settings.log_level.upper()]


def _file_handler(home: Home, form: logging.Formatter) -> logging.Handler:
    home.create()
    handler = _PrivateFile(
        home.log_file, maxBytes=FILE_BYTES, backupCount=FILES - 1, encoding="utf-8", errors="backslashreplace"
    )
    handler.setFormatter(form)
    return handler


class _PrivateFile(logging.handlers.RotatingFileHandler):
    """Every file it begins, the one after a rotation too, is its owner's alone."""

    def _open(self) -> TextIOWrapper:
        stream = open(  # noqa: SIM115 - the handler closes it
            self.baseFilename, self.mode, encoding=self.encoding, errors=self.errors, opener=private
        )
        # One that was there already may have been made more open.
        os.fchmod(stream.fileno(), 0o600)
        return cast("TextIOWrapper", stream)


def _install(handlers: list[logging.Handler], level: int) -> None:
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
        old.close()
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(level)
    # httpx tells every request at INFO, watchdog every event at DEBUG.
    for name in ("httpx", "httpcore", "watchdog", "uvicorn", "asyncio", "keyring"):
        logging.getLogger(name).setLevel(max(level, logging.WARNING))


def _stderr_is_journal() -> bool:
    """Whether stderr is the very stream systemd named, and not one it was redirected to since."""
    try:
        found = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"
