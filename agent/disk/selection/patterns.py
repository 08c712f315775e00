"""Lists of gitignore patterns that can say which pattern decided and where it stands."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from agent.core.paths import is_own_name

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

BUILT_IN: Final = "built-in"
"""The origin of the rules nobody can change."""

_BUILT_IN_NAMES: Final = (
    "node_modules",
    "*.pem",
    "*.key",
    "id_*",
    # vim and its probe, Emacs, LibreOffice, Office, GNOME and others while they save
    "*.sw[a-p]",
    "4913",
    "*~",
    "[#]*[#]",
    "~$*",
    "~WR[DL]*.tmp",
    "*.tmp",
    "*.vsctmp",
    "*___jb_tmp___",
    "*___jb_old___",
)
_BUILT_IN_REGEX: Final = re.compile(
    "|".join(f"(?P<p{i}>{fnmatch.translate(p)})" for i, p in enumerate(_BUILT_IN_NAMES))
)
_NEVER: Final = frozenset({".git"})


def built_in(name: str) -> str | None:
    """The built-in pattern that excludes this part of a path, dot names apart."""
    if name in _NEVER or is_own_name(name):
        return name
    found = _BUILT_IN_REGEX.match(name)
    if found is None or found.lastgroup is None:
        return None
    pattern = _BUILT_IN_NAMES[int(found.lastgroup[1:])]
    return pattern.replace("[#]", "#")


class PatternMatch(Struct, frozen=True):
    """The last pattern of a list that matched.

    Attributes:
        pattern: as it was written.
        origin: where it stands.
        negated: it begins with '!', so that it takes the path back.
    """

    pattern: str
    origin: str
    negated: bool


class PatternList:
    """Patterns in order, the last that matches decides. A line that is no valid pattern is left out."""

    def __init__(self, lines: Iterable[tuple[str, str]]) -> None:
        self._lines: list[tuple[str, str]] = []
        patterns: list[str] = []
        for line, origin in lines:
            if not line.strip() or line.startswith("#"):
                continue
            if _spec_of([line]) is None:
                continue
            self._lines.append((line, origin))
            patterns.append(line)
        self._spec = _spec_of(patterns) if patterns else None
        pairs = zip(patterns, self._spec.patterns if self._spec else (), strict=True)
        self.adding = [(line.strip(), _unnamed(one)) for line, one in pairs if one.include]
        """The patterns that match without taking back: each as it was written, and as a regular expression that any
        path it matches begins with.
        """

    @classmethod
    def given(cls, patterns: Sequence[str], origin: str) -> PatternList:
        """Patterns a person or a server gave, all of one origin."""
        return cls((pattern, origin) for pattern in patterns)

    @classmethod
    def read(cls, text: str, path: str) -> PatternList:
        """The lines of an ignore file; the origin names file and line."""
        return cls((line.rstrip("\r"), f"{path}:{number}") for number, line in enumerate(text.split("\n"), 1))

    def __bool__(self) -> bool:
        return self._spec is not None

    @property
    def takes_back(self) -> bool:
        """Whether some pattern takes back what an earlier one matched."""
        return self._spec is not None and any(one.include is False for one in self._spec.patterns)

    def match(self, path: str) -> PatternMatch | None:
        """The deciding pattern for a path; a folder's path ends with '/'."""
        if self._spec is None:
            return None
        found = self._spec.check_file(path)
        if found.index is None:
            return None
        line, origin = self._lines[found.index]
        return PatternMatch(line, origin, negated=not found.include)


def _spec_of(patterns: Sequence[str]) -> GitIgnoreSpec | None:
    """These patterns, ready to be matched; None if one of them is not valid."""
    # Not above: where nobody gives a pattern nothing of it is needed.
    from pathspec import GitIgnoreSpec
    from pathspec.patterns.gitignore import GitIgnorePatternError

    try:
        return GitIgnoreSpec.from_lines(patterns, backend="simple")
    except GitIgnorePatternError:
        return None


def _unnamed(pattern: object) -> str:
    """A pattern's expression, fit to stand beside others."""
    regex: re.Pattern[str] = getattr(pattern, "regex")  # noqa: B009 - not every kind of pattern has one
    return re.sub(r"\(\?P<\w+>", "(?:", regex.pattern)


def segments(pattern: str) -> tuple[str, ...]:
    """The parts of a pattern that adds, without its leading and closing slash; nothing for one that takes back."""
    if pattern.startswith(("!", "#")):
        return ()
    return tuple(pattern.strip().strip("/").split("/"))


def may_match_below(pattern: str, folder: str) -> bool:
    """Whether a pattern that adds can match anything inside ``folder``; in doubt it can."""
    parts = segments(pattern)
    if not parts:
        return False
    if "/" not in pattern.strip().rstrip("/"):
        return True
    for depth, name in enumerate(folder.split("/")):
        if depth >= len(parts) or "**" in parts[depth]:
            return True
        if not _segment_matches(parts[depth], name):
            return False
    return True


def _segment_matches(segment: str, name: str) -> bool:
    # A backslash or a class is gitignore's own dialect: never rule a folder out on a reading of ours.
    if "\\" in segment or "[" in segment:
        return True
    return fnmatch.fnmatchcase(name, segment)


def dot_names(patterns: Iterable[str]) -> re.Pattern[str] | None:
    """What the patterns that add say of names that start with a dot; None if they name none."""
    named = {part for pattern in patterns for part in segments(pattern) if part.startswith(".") and part != "."}
    if not named:
        return None
    return re.compile("|".join(fnmatch.translate(part) for part in sorted(named)))
