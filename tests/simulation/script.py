"""Record of a run. It becomes text only when it is read."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, field

from msgspec import Struct

from agent.core.errors import Problem

_HASH = re.compile(r"\b[0-9a-f]{64}\b")
_LONG_ID = re.compile(
    r"\b([0-9a-f]{6})(?:[0-9a-f]{26}|[0-9a-f]{10})\b|\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{8}([0-9a-f]{4})\b"
)
_UNSAID = {"fingerprint", "versions", "state", "content", "local_text", "remote_text"}


@dataclass
class Script:
    """The lines of a run, and the names of its texts."""

    began: float
    lines: list[tuple[float, str, str, tuple[object, ...]]] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)

    def add(self, now: float, who: str, what: str, things: tuple[object, ...]) -> None:
        """Something happened."""
        self.lines.append((now, who, what, things))

    def told(self) -> list[str]:
        """Every line in words, hashes by their texts' names."""
        return [
            f"{now - self.began:10.3f} {who:7} {what} {' '.join(self.word(thing) for thing in things)}".rstrip()
            for now, who, what, things in self.lines
        ]

    def word(self, thing: object) -> str:
        """One thing in words."""
        text = _shown(thing)
        text = _HASH.sub(lambda found: self._name(found[0]), text)
        return _LONG_ID.sub(lambda found: found[1] or found[2], text)

    def _name(self, digest: str) -> str:
        return "NONE-YET" if digest == "0" * 64 else self.names.get(digest, f"?{digest[:6]}")


def _shown(thing: object) -> str:
    if isinstance(thing, enum.Enum):
        return str(thing.name)
    if isinstance(thing, Struct | Problem):
        names = thing.__struct_fields__ if isinstance(thing, Struct) else thing._fields
        pairs = [(name, getattr(thing, name)) for name in names if name not in _UNSAID]
        inside = ", ".join(f"{name}={_shown(value)}" for name, value in pairs if value not in (None, (), False))
        return f"{type(thing).__name__}({inside})"
    if isinstance(thing, tuple | list):
        return "[" + ", ".join(map(_shown, thing)) + "]"
    if isinstance(thing, frozenset | set):
        return "{" + ", ".join(sorted(map(_shown, thing))) + "}"
    if isinstance(thing, bytes):
        return f"{thing[:40]!r}"
    return str(thing)
