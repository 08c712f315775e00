"""Set up the program's log: the journal if a service manager reads it, else a rotating file and stderr."""

from __future__ import annotations

import datetime as dt
import json
import logging
import logging.handlers
import os
import re
import sys
from typing import TYPE_CHECKING, Final, cast

from agent.cli.output import Verbosity, stderr_is_journal
from agent.core.scrub import scrub as scrub
from agent.process.log_files import FILES
from agent.settings.home import Home
from agent.settings.owner_only_files import private
from agent.settings.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from io import TextIOWrapper

FILE_BYTES: Final = 5_000_000

PRIORITIES: Final = {"DEBUG": 7, "INFO": 6, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}
"""Level of a record to its priority in the journal."""
_WORD: Final = re.compile(r"[\w./@+,:-]+")
ABOUT: Final = ("source", "path", "operation")
"""What a record may be about, given as its ``extra``: a source's name, a path in it, an operation's id."""
_BARE: Final = "%(name)s: %(message)s"
_TEXT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class _Text(logging.Formatter):
    """One line a record, times in UTC, tokens scrubbed."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        return _stamp(record)

    def format(self, record: logging.LogRecord) -> str:
        return scrub(super().format(record))

    def formatMessage(self, record: logging.LogRecord) -> str:
        # What a file is called must not begin a line of its own.
        line = super().formatMessage(record).replace("\n", "\\n").replace("\r", "\\r")
        return " ".join([line, *(f"{name}={_quoted(said)}" for name, said in _about(record).items())])


class _Journal(logging.Formatter):
    """Any form, with the priority the journal reads from the start of the line; the journal adds the time itself."""

    def __init__(self, form: logging.Formatter) -> None:
        super().__init__()
        self._form = form

    def format(self, record: logging.LogRecord) -> str:
        return f"<{PRIORITIES.get(record.levelname, 6)}>{self._form.format(record)}".replace("\n", " | ")


class _Json(logging.Formatter):
    """One JSON document a line."""

    def format(self, record: logging.LogRecord) -> str:
        said = {"at": _stamp(record), "level": record.levelname.lower(), "logger": record.name}
        said["message"] = record.getMessage()
        said |= _about(record)
        if record.exc_info:
            said["error"] = self.formatException(record.exc_info)
        return scrub(json.dumps(said))


def _about(record: logging.LogRecord) -> dict[str, str]:
    """The fields of a record: source, path, operation."""
    named = ((name, getattr(record, name, None)) for name in ABOUT)
    return {name: str(said) for name, said in named if said is not None}


def _quoted(text: str) -> str:
    """As it is where that is one plain word, else in quotes with every odd character escaped."""
    return text if _WORD.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def _stamp(record: logging.LogRecord) -> str:
    return dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="milliseconds")


def log_to_stderr() -> None:
    """For ``-v``: everything, on stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Text(_TEXT))
    _install([handler], logging.DEBUG)


def log_beside_an_answer(is_shown: Callable[[logging.LogRecord], bool]) -> None:
    """For a single command: the warnings that its answer does not say, on stderr, each with its file."""
    if logging.lastResort is not None:
        # Python's own handler, which serves where no log is set up.
        logging.lastResort.setFormatter(_Text("%(message)s"))
        logging.lastResort.addFilter(is_shown)


def log_as_daemon(home: Home, settings: Settings, loudness: Verbosity = Verbosity.NORMAL) -> None:
    """For ``run``: the journal alone where stderr is one, else the rotating file and stderr.

    Quiet, stderr has only what failed: who keeps what comes there (launchd, a desktop session) never cuts it.
    """
    stderr = logging.StreamHandler(sys.stderr)
    if stderr_is_journal():
        stderr.setFormatter(_Journal(_Json() if settings.log_format == "json" else _Text(_BARE)))
        _install([stderr], _level(settings))
        return
    form = _Json() if settings.log_format == "json" else _Text(_TEXT)
    stderr.setFormatter(form)
    if loudness is Verbosity.QUIET:
        stderr.setLevel(logging.ERROR)
    _install([stderr, _file_handler(home, form)], _level(settings))


def log_as_hub() -> None:
    """For ``hub serve``: warnings on stderr, as the journal wants them where stderr is one."""
    stderr = logging.StreamHandler(sys.stderr)
    stderr.setFormatter(_Journal(_Text(_BARE)) if stderr_is_journal() else _Text(_TEXT))
    _install([stderr], logging.WARNING)


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
    # httpx logs every request at INFO, watchdog every event at DEBUG.
    for name in ("httpx", "httpcore", "watchdog", "uvicorn", "asyncio", "keyring"):
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
