"""Ordered lists of gitignore patterns that report which pattern decided and where it is written."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Final

from msgspec import Struct

from agent.core.paths import is_own_name, spelling_key
from agent.disk.selection.glob import GlobPattern, InvalidPattern, translate

BUILT_IN: Final = "built-in"
"""The origin of the rules that cannot be changed."""
MAX_PATTERNS: Final = 1000
"""The most patterns that a person or a server may give to one source."""
MAX_IGNORE_PATTERNS: Final = 5000
"""The most patterns in one ignore file."""

_BUILT_IN_NAMES: Final = (
    "node_modules",
    "*.pem",
    "*.key",
    "id_*",
    # temporary files of vim, Emacs, LibreOffice, Office, GNOME and other programs
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
    # placeholders of files whose content is only on a server of that program
    "*.nextcloud",
    "*.owncloud",
)
_BUILT_IN_REGEX: Final = re.compile(
    "|".join(f"(?P<p{i}>{fnmatch.translate(p)})" for i, p in enumerate(_BUILT_IN_NAMES)), re.IGNORECASE
)
_NEVER: Final = ".git"
_CACHED_NAMES: Final = 20_000


def built_in(name: str) -> str | None:
    """Return the built-in pattern that excludes this part of a path, whatever its case; dot names are not covered."""
    if is_own_name(name) or ((name[:1] == "." or not name.isascii()) and spelling_key(name) == _NEVER):
        return name
    found = _BUILT_IN_REGEX.match(name)
    if found is None or found.lastgroup is None:
        return None
    pattern = _BUILT_IN_NAMES[int(found.lastgroup[1:])]
    return pattern.replace("[#]", "#")


def check_pattern(text: str) -> str | None:
    """Return the reason why a person or a server may not give this pattern, as a clause; None if it is fine."""
    if not text.strip():
        return "it is empty"
    if text.startswith("!"):
        return "it is negated: give the opposite list a pattern instead"
    if text.startswith("#"):
        return "it is a comment: write \\# for a name that begins with #"
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        return "it has a control character"
    try:
        return None if translate(text) else "it names nothing"
    except InvalidPattern as error:
        return str(error)


class PatternMatch(Struct, frozen=True):
    """The pattern of a list that decided.

    Attributes:
        pattern: as it was written.
        origin: where it is written.
        negated: it begins with '!', so that it takes the path back.
    """

    pattern: str
    origin: str
    negated: bool


class PatternList:
    """Patterns in order; the last one that matches decides. A line that is no valid pattern is left out.

    As in git, a pattern that matches the path itself counts more than one that matches a folder above it.

    Attributes:
        adding: the patterns that match without taking back, each as it was written and as a regular expression that
            any path it matches begins with.
        takes_back: True if some pattern takes back what an earlier one matched.
    """

    def __init__(self, lines: Iterable[tuple[str, str]]) -> None:
        self._lines: list[tuple[str, str]] = []
        self._globs: list[GlobPattern] = []
        for line, origin in lines:
            try:
                glob = translate(line)
            except InvalidPattern:
                continue
            if glob is not None:
                self._lines.append((line, origin))
                self._globs.append(glob)
        self.adding = [
            (line.strip(), glob.regex.replace("(?P<folder>/)", "/"))
            for (line, _), glob in zip(self._lines, self._globs, strict=True)
            if not glob.negated
        ]
        self.takes_back = any(glob.negated for glob in self._globs)
        self._names = _NameIndex(self._globs)
        self._at_top: dict[str, list[tuple[int, _LateRegex]]] = {}
        self._paths: list[tuple[int, _LateRegex]] = []
        for index, glob in enumerate(self._globs):
            if glob.name is None:
                where = self._paths if glob.top is None else self._at_top.setdefault(glob.top, [])
                where.append((index, _LateRegex(glob.regex)))

    @classmethod
    def given(cls, patterns: Sequence[str], origin: str) -> PatternList:
        """Return the patterns that a person or a server gave, all of one origin."""
        return cls((pattern, origin) for pattern in patterns)

    @classmethod
    def read(cls, text: str, path: str) -> PatternList:
        """Return the lines of an ignore file; the origin names file and line."""
        return cls((line.rstrip("\r"), f"{path}:{number}") for number, line in enumerate(text.split("\n"), 1))

    def __bool__(self) -> bool:
        return bool(self._lines)

    def __len__(self) -> int:
        return len(self._lines)

    def match(self, path: str) -> PatternMatch | None:
        """Return the deciding pattern for a path; a folder's path ends with '/'."""
        if not self._lines:
            return None
        itself, above = -1, -1
        for index, is_above in self._matching(path):
            if is_above:
                above = max(above, index)
            else:
                itself = max(itself, index)
        decided = itself if itself >= 0 else above
        if decided < 0:
            return None
        line, origin = self._lines[decided]
        return PatternMatch(line, origin, self._globs[decided].negated)

    def touches(self, path: str) -> bool:
        """Return True if some pattern that adds matches, even if another takes the path back."""
        return any(not self._globs[index].negated for index, _ in self._matching(path))

    def excludes_name(self, name: str) -> bool:
        """Return True if a pattern that adds matches a file by its name alone."""
        globs = self._globs
        return any(not globs[i].negated and not globs[i].folders_only for i in self._names.matching(name))

    def _matching(self, path: str) -> Iterator[tuple[int, bool]]:
        """Yield the index of each pattern that matches, and True if it matches a folder above the path."""
        parts = path.split("/")
        last = len(parts) - 1
        for depth, part in enumerate(parts):
            for index in self._names.matching(part) if part else ():
                if depth < last or not self._globs[index].folders_only:
                    yield index, depth < last
        for index, regex in chain(self._paths, self._at_top.get(parts[0], ())):
            found = regex.match(path)
            if found is not None:
                yield index, found.groupdict().get("folder") is not None


class _LateRegex:
    """A regular expression that is compiled with its first use: most patterns of a long list are never tried."""

    __slots__ = ("_compiled", "_source")

    def __init__(self, source: str) -> None:
        self._source = source
        self._compiled: re.Pattern[str] | None = None

    def match(self, text: str) -> re.Match[str] | None:
        """Match at the beginning of the text."""
        if self._compiled is None:
            self._compiled = re.compile(self._source)
        return self._compiled.match(text)


class _NameIndex:
    """The patterns that match one part of a path at any depth. Names and endings are looked up, not searched."""

    def __init__(self, globs: Sequence[GlobPattern]) -> None:
        self._literals: dict[str, list[int]] = {}
        self._endings: dict[str, list[int]] = {}
        self._others: dict[tuple[str, str], list[tuple[int, _LateRegex]]] = {}
        """The other patterns by the beginning or the end that a matching name must have, whichever is longer."""
        self._known: dict[str, tuple[int, ...]] = {}
        for index, glob in enumerate(globs):
            if glob.literal is not None:
                self._literals.setdefault(glob.literal, []).append(index)
            elif glob.ending is not None:
                self._endings.setdefault(glob.ending, []).append(index)
            elif glob.name is not None:
                key = (glob.prefix, "") if len(glob.prefix) >= len(glob.suffix) else ("", glob.suffix)
                self._others.setdefault(key, []).append((index, _LateRegex(glob.name)))
        self._lengths = sorted({len(ending) for ending in self._endings})
        self._sides = sorted({(len(prefix), len(suffix)) for prefix, suffix in self._others})

    def matching(self, name: str) -> tuple[int, ...]:
        """Return the indices of the patterns that match this part of a path."""
        known = self._known.get(name)
        if known is None:
            if len(self._known) >= _CACHED_NAMES:
                self._known.clear()
            known = self._known[name] = tuple(self._search(name))
        return known

    def _search(self, name: str) -> list[int]:
        found: list[int] = []
        for prefix, suffix in self._sides:
            candidates = self._others.get(
                (name[:prefix], name[len(name) - suffix :] if suffix <= len(name) else ""), ()
            )
            found += [index for index, regex in candidates if regex.match(name)]
        found += self._literals.get(name, ())
        for length in self._lengths:
            found += self._endings.get(name[-length:], ()) if length <= len(name) else ()
        return found


def segments(pattern: str) -> tuple[str, ...]:
    """Return the parts of a pattern that adds, without leading and closing slash; () for one that takes back."""
    if pattern.startswith(("!", "#")):
        return ()
    return tuple(pattern.strip().strip("/").split("/"))


def may_match_below(pattern: str, folder: str) -> bool:
    """Return False if a pattern that adds can match nothing inside ``folder``; True if it can or in doubt."""
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
    # A backslash or a range has rules of its own in gitignore, so it never excludes a folder here.
    if "\\" in segment or "[" in segment:
        return True
    return fnmatch.fnmatchcase(name, segment)


def dot_parts(patterns: Iterable[str]) -> set[str]:
    """Return the parts that begin with a dot in the patterns that add."""
    return {part for pattern in patterns for part in segments(pattern) if part.startswith(".") and part.strip(".")}


def dot_names(patterns: Iterable[str]) -> re.Pattern[str] | None:
    """Return a regular expression for the dot names that the patterns name; None if they name none."""
    named = dot_parts(patterns)
    return re.compile("|".join(fnmatch.translate(part) for part in sorted(named))) if named else None
