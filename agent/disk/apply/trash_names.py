"""Names of trash entries: ``TIME-ID-SHA256-REASON-PATH``, with the path percent-encoded."""

from __future__ import annotations

import datetime
import re
from typing import Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

from msgspec import Struct

from agent.core.paths import MAX_PART_BYTES

_STAMP: Final = "%Y%m%dT%H%M%SZ"
_ENTRY: Final = re.compile(r"(\d{8}T\d{6}Z)-([0-9A-Za-z_.]+)-([0-9a-f]{64})-([a-z_]+)-(.+)")
_CUT_MARK: Final = "+"
_SIDECAR: Final = ".path"


class TrashName(Struct, frozen=True, gc=False):
    """The data in the name of an entry.

    Attributes:
        name: the whole name.
        stamp: the time of the move, as text that sorts by time.
        id: the entry's id.
        hash: sha256 of its bytes.
        reason: why it was moved.
        quoted: its former path, percent-encoded; with a mark at its end if it is cut.
    """

    name: str
    stamp: str
    id: str
    hash: str
    reason: str
    quoted: str

    @property
    def moved_at(self) -> float:
        """The time of the move in seconds since the epoch."""
        return datetime.datetime.strptime(self.stamp, _STAMP).replace(tzinfo=datetime.UTC).timestamp()

    @property
    def is_cut(self) -> bool:
        """True if the name holds only the begin of the path. The whole one is in the file ``sidecar_name``."""
        return self.quoted.endswith(_CUT_MARK)

    @property
    def raw_path(self) -> bytes:
        """The bytes of the path, as far as the name holds it."""
        return unquote_to_bytes(self.quoted.removesuffix(_CUT_MARK))

    def may_be_of(self, path: str) -> bool:
        """Return True if the entry is of this path, or cut and of one that begins like it."""
        quoted = _quote(path)
        return quoted.startswith(self.quoted.removesuffix(_CUT_MARK)) if self.is_cut else quoted == self.quoted


def parse_name(name: str) -> TrashName | None:
    """Return the data in the name of an entry; None for the name of another file."""
    parts = _ENTRY.fullmatch(name)
    return None if parts is None else TrashName(name, *parts.groups())


def entry_name(path: str, sha256: str, reason: str, entry_id: str, now: float) -> str:
    """Return the name of an entry; ``now`` in seconds since the epoch."""
    stamp = datetime.datetime.fromtimestamp(now, datetime.UTC).strftime(_STAMP)
    head = f"{stamp}-{entry_id}-{sha256}-{reason}-"
    quoted = _quote(path)
    if len(head) + len(quoted) > MAX_PART_BYTES:
        quoted = quoted[: MAX_PART_BYTES - len(head) - len(_CUT_MARK)] + _CUT_MARK
    return head + quoted


def sidecar_name(name: str) -> str | None:
    """Return the name of the file with the whole path of an entry; None if the entry's name is not cut."""
    if not name.endswith(_CUT_MARK):
        return None
    stamp, entry_id = name.split("-", 2)[:2]
    return f"{stamp}-{entry_id}{_SIDECAR}"


def _quote(path: str) -> str:
    return quote_from_bytes(path.encode("utf-8", "surrogateescape"), safe="")
