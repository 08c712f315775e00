"""Rules that say which past versions a workspace keeps. The text that a file has now is always kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from msgspec import Struct

DAY_MS: Final = 86_400_000
GRACE_MS: Final = 3_600_000
"""Milliseconds for which a replaced text is kept whatever the rule: a wrong rule can be set right in time."""


@dataclass(frozen=True, slots=True)
class Retention:
    """Limits on the past versions of each path. A version that exceeds either of them is removed.

    Attributes:
        versions: newest versions to keep, the present one included; None for all.
        days: days to keep a version after it was replaced or deleted; None for ever.
    """

    versions: int | None = None
    days: int | None = None

    @property
    def removes(self) -> bool:
        """True if the rule can remove anything."""
        return self.versions is not None or self.days is not None

    def kept_since(self, now: int) -> int:
        """Return the time in milliseconds from which on a text must have ended to be kept by its age."""
        return 0 if self.days is None else now - self.days * DAY_MS


class PastVersion(Struct, frozen=True, gc=False):
    """A version of a path: the cursor of its event, and the time it was recorded in milliseconds."""

    cursor: int
    recorded_at: int


def expired_versions(
    versions: Sequence[PastVersion], rule: Retention, now: int, *, is_present: bool, ended_at: int
) -> list[int]:
    """Return the cursors of the versions of one path that the rule does not keep.

    The age counts from the end of a version, not from its beginning: a text of last year that was replaced by
    mistake yesterday is kept.

    Args:
        versions: all of them, oldest first.
        is_present: the newest one is the text of a present file.
        ended_at: the time of the path's last change in milliseconds. If it is absent, its newest version ended then.
    """
    ends = [after.recorded_at for after in versions[1:]] + [ended_at]
    found = []
    for index, (version, end) in enumerate(zip(versions, ends, strict=True)):
        newer = len(versions) - 1 - index
        is_head = is_present and newer == 0
        is_beyond = rule.versions is not None and newer >= max(rule.versions, 1)
        is_old = rule.days is not None and end < rule.kept_since(now)
        if not is_head and (is_beyond or is_old) and end + GRACE_MS <= now:
            found.append(version.cursor)
    return found
