"""Which names of a folder are surely synced and which surely are not, told for all of them at once.

A sieve never decides against ``Selection.verdict``: whatever is not common it leaves to it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from agent.core.paths import MAX_PLAIN, PLAIN_NAME
from agent.disk.selection.patterns import PatternList, built_in, may_match_below

_PLAIN: Final = re.compile(PLAIN_NAME)
_CHARACTERS: Final = bytes(one for one in range(128) if re.fullmatch(PLAIN_NAME, f"a{chr(one)}"))
_FIRST: Final = frozenset(chr(one) for one in range(128) if re.fullmatch(PLAIN_NAME, chr(one))) - {"i"}
"""What a plain name may begin with; without the letter that the built-in patterns' names begin with."""
_MOST: Final = 500
"""Patterns in force at once from which on nothing is sure: to try each on each path would cost more than it spares."""
_ANYWHERE: Final = "^(?:.+/)?"
"""How the expression of a pattern without a slash begins: it matches a name in whatever folder."""
_ENDING: Final = re.compile(r"\*[\w.-]+")
"""A pattern that asks for nothing but how a name ends."""
_ANYTHING: Final = re.compile("")
_NOTHING: Final = re.compile("(?!)")


class FilterResult(NamedTuple):
    """A folder's file names; those in neither list are surely not synced.

    Attributes:
        sure: synced, and such that ``core.paths.check`` has nothing against them.
        doubtful: to be asked about one by one.
    """

    sure: list[str]
    doubtful: list[str]


class IncludeFilter:
    """What the include patterns want, before anything is excluded.

    Args:
        endings: where the patterns ask for nothing but one of these, in any case.
    """

    def __init__(self, patterns: PatternList, endings: tuple[str, ...] | None) -> None:
        self._endings = endings
        wanted = "|".join(re.escape(ending) for ending in endings or ())
        # Of the built-in patterns that exclude, only this one matches a plain name with the endings there are.
        self._named = re.compile(rf"(?!id_){PLAIN_NAME}(?:{wanted})", re.IGNORECASE)
        self._adding = _united(tuple(("", regex) for _, regex in patterns.adding))
        self._takes_back = patterns.takes_back

    def sift(self, prefix: str, names: Sequence[str]) -> FilterResult:
        """Which of these names, in the folder whose path with a slash is ``prefix``, the patterns want."""
        if self._endings is not None:
            endings = self._endings
            if _are_ascii_and_plain(names):
                sure = [n for n in names if n[0] in _FIRST and n.endswith(endings)]
                if len(sure) == len(names):
                    return FilterResult(sure, [])
            wanted = self._named.fullmatch
            sure = [n for n in names if wanted(n) and (len(n) <= MAX_PLAIN or n.isascii())]
            return FilterResult(sure, [n for n in _others(names, sure) if n.lower().endswith(endings)])
        adds = self._adding.match
        found = [n for n in names if adds(prefix + n)]
        sure = [] if self._takes_back else [n for n in found if _is_plain(n) and built_in(n) is None]
        return FilterResult(sure, _others(found, sure))


class ExcludeChain:
    """The patterns in force in a folder that may exclude what is in it.

    Args:
        lists: each with the prefix, a folder's path with a slash or nothing, that its paths are relative to.
    """

    def __init__(self, lists: tuple[tuple[str, PatternList], ...]) -> None:
        self.lists = lists
        adding = [(prefix, line, regex) for prefix, patterns in lists for line, regex in patterns.adding]
        self._any = _united(tuple((prefix, regex) for prefix, _, regex in adding))
        for_files = [one for one in adding if not one[1].endswith("/")]
        of_names = [one for one in for_files if "/" not in one[1] and one[2].startswith(_ANYWHERE)]
        self._of_paths = [one for one in for_files if one not in of_names]
        self._endings = tuple(line[1:] for _, line, _ in of_names if _ENDING.fullmatch(line))
        rest = tuple(
            ("", f"^{regex.removeprefix(_ANYWHERE)}") for _, line, regex in of_names if not _ENDING.fullmatch(line)
        )
        self._names = _united(rest) if rest else None

    def touches(self, path: str) -> bool:
        """Whether any pattern that excludes matches a path, be it taken back later; a folder's path ends with '/'."""
        return self._any.match(path) is not None

    def left(self, folder: str, names: list[str]) -> list[str]:
        """The names in ``folder`` that no pattern excludes, as far as that is sure.

        The folder, and all above it, is one that no pattern ``touches``. Then only a pattern that can match a file's
        own name matters, and none that is for folders.
        """
        if self._endings:
            names = [n for n in names if not n.endswith(self._endings)]
        if self._names is not None:
            excludes = self._names.match
            names = [n for n in names if not excludes(n)]
        of_paths = [
            (prefix, regex)
            for prefix, line, regex in self._of_paths
            if not (inside := folder[len(prefix) :]) or may_match_below(line, inside)
        ]
        if of_paths:
            excludes, above = _united(tuple(of_paths)).match, f"{folder}/" if folder else ""
            names = [n for n in names if not excludes(above + n)]
        return names


def _others(names: Sequence[str], known: list[str]) -> list[str]:
    if len(known) == len(names):
        return []
    without = set(known)
    return [n for n in names if n not in without]


def _are_ascii_and_plain(names: Sequence[str]) -> bool:
    """Whether all of them are made of nothing but ASCII characters that plain names may hold behind their first."""
    together = "".join(names)
    return together.isascii() and not together.encode().translate(None, _CHARACTERS)


def _is_plain(name: str) -> bool:
    return _PLAIN.fullmatch(name) is not None and (len(name) <= MAX_PLAIN or name.isascii())


@lru_cache(maxsize=256)
def _united(parts: tuple[tuple[str, str], ...]) -> re.Pattern[str]:
    """One pattern for all of these, each of paths that begin with a prefix."""
    if len(parts) > _MOST:
        return _ANYTHING
    if not parts:
        return _NOTHING
    return re.compile("|".join(f"{re.escape(prefix)}(?:{_anchored(regex)})" for prefix, regex in parts))


def _anchored(regex: str) -> str:
    """Without its own anchor; an expression that has none may begin anywhere."""
    return regex[1:] if regex.startswith("^") else f"(?s:.*?){regex}"
