"""The hub's log as one JSON document a line."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import orjson

_EXTRA = ("request_id", "endpoint")


class JsonFormatter(logging.Formatter):
    """Log records in JSON: time, level, logger, message, and where known the request's id, endpoint and error."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line."""
        document: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        document.update({name: getattr(record, name) for name in _EXTRA if hasattr(record, name)})
        if record.exc_info:
            document["error"] = self.formatException(record.exc_info)
        return orjson.dumps(document, default=str).decode()


def log_as_json(level: int = logging.INFO) -> None:
    """Send every log record of the process to stderr in JSON."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
