"""The selection of a folder: the paths that are synced, and the rule that decides each."""

from __future__ import annotations

import contextlib
import errno
import threading
from collections.abc import Collection
from typing import Final

from msgspec import Struct

from agent.core.paths import parent_of
from agent.core.scope import WHOLE, Scope
from agent.disk.fs.protocol import Dir, FileType, Fs, Stat
from agent.disk.root import PathBlocked, Root, UnsafePath
from agent.disk.selection.bulk_filter import ExcludeChain, FilterResult, IncludeFilter
from agent.disk.selection.patterns import (
    BUILT_IN,
    MAX_IGNORE_PATTERNS,
    PatternList,
    built_in,
    dot_names,
    may_match_below,
)

DEFAULT_INCLUDE: Final = ("**/*.md", "**/*.markdown", "**/*.txt")
"""The include patterns of a source without any; the case of these endings does not matter."""
ANY_FILE: Final = ("**",)
"""The include patterns of a source without any, on a server that takes any file."""

IGNORE_FILES: Final = (".gitignore", ".ravenignore")
"""Read in every folder; the second one decides over the first."""

_IGNORE_LIMIT: Final = 1 << 20
_EXCLUDE_ORIGIN: Final = "exclude patterns"
_INCLUDE_ORIGIN: Final = "include patterns"
_SCOPE_ORIGIN: Final = "server preferences"


class Rules(Struct, frozen=True):
    """A source's patterns.

    Attributes:
        include: patterns of the files to sync; empty means ``DEFAULT_INCLUDE``.
        exclude: patterns of the files to leave out of these.
        scope: the folders that the server's preferences choose for this machine.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    scope: Scope = WHOLE


class SelectionVerdict(Struct, frozen=True):
    """The decision about a path, with its reason.

    Attributes:
        selected: True if the path is synced.
        rule: the pattern that decided; all include patterns if none of them matches.
        origin: where it is written: ``built-in``, ``server preferences``, ``exclude patterns``, ``include patterns`` or
            ``FILE:LINE``.
        unmatched: True if no pattern matches the path, which is why it is not synced.
    """

    selected: bool
    rule: str
    origin: str
    unmatched: bool = False


class _Folder(Struct, frozen=True):
    """The rules for everything in one folder.

    Attributes:
        excluded: the verdict on the folder itself if it is out of scope.
        chain: the exclude patterns, and the ignore files from the root down.
        clear: True if no excluding pattern matches the folder or one above it, even if another takes it back.
    """

    excluded: SelectionVerdict | None
    chain: ExcludeChain
    clear: bool


class _Parsed(Struct):
    """A parsed ignore file with the stat it had."""

    stamp: tuple[int, int, int, int]
    patterns: PatternList


class Selection:
    """The rules over one root: built-in excludes, the server's preferences, patterns, ignore files at every level.

    Ignore files are cached until ``refresh``. Then each is examined again on its next use, and parsed again only if
    its stat changed. Any thread may call the methods.
    """

    def __init__(self, root: Root, rules: Rules) -> None:
        self._root = root
        self.rules = rules
        self._scope = None if rules.scope == WHOLE else rules.scope
        self._include = rules.include or DEFAULT_INCLUDE
        self._plain = self._include == DEFAULT_INCLUDE
        self._endings = tuple(pattern.removeprefix("**/*") for pattern in DEFAULT_INCLUDE)
        self._includes = PatternList.given(() if self._plain else self._include, _INCLUDE_ORIGIN)
        self._wanted = IncludeFilter(self._includes, self._endings if self._plain else None)
        self._excludes = PatternList.given(rules.exclude, _EXCLUDE_ORIGIN)
        self._outermost = ExcludeChain((("", self._excludes),) if self._excludes else ())
        self._dots = dot_names(self._include)
        self._folders: dict[str, _Folder] = {}
        self._gates: dict[str, _Folder] = {}
        """The rules of a folder without its own ignore files."""
        self._parsed: dict[str, _Parsed] = {}
        self._lock = threading.RLock()

    def release(self) -> None:
        """Close the handle of the root until it is needed again. Only for a selection with a root of its own."""
        with self._lock:
            self._root.release()

    def refresh(self) -> None:
        """Examine every ignore file again on its next use, because it may have changed."""
        with self._lock:
            self._folders.clear()
            self._gates.clear()

    def verdict(self, path: str) -> SelectionVerdict:
        """Decide whether a file at ``path`` is synced. The file need not exist.

        Raises:
            OSError: an ignore file on the way exists and cannot be used, so the decision is not known.
        """
        inside = self._folder(parent_of(path))
        if inside.excluded is not None:
            return inside.excluded
        return self._excluded(path, path, inside) or self._included(path)

    def may_contain(self, folder: str) -> bool:
        """Return False if no synced file can be below ``folder``, so that it is neither walked nor watched.

        Raises:
            OSError: as ``verdict``.
        """
        if not folder:
            return True
        if self._gate(folder).excluded is not None:
            return False
        return self._plain or any(may_match_below(pattern, folder) for pattern in self._include)

    def folder_verdict(self, folder: str) -> SelectionVerdict:
        """Decide whether files below a folder can be synced; "" is the root. The rule is the one that decides it.

        Raises:
            OSError: as ``verdict``.
        """
        excluded = self._gate(folder).excluded
        if excluded is not None:
            return excluded
        selected = self.may_contain(folder)
        return SelectionVerdict(selected, " ".join(self._include), _INCLUDE_ORIGIN, unmatched=not selected)

    def ignore_texts(self, folder: str) -> list[tuple[str, str]]:
        """Return path and text of each ignore file that counts in a folder, from the root down; "" is the root.

        Raises:
            OSError: as ``verdict``.
        """
        fs = self._root.fs
        parts = folder.split("/") if folder else []
        found: list[tuple[str, str]] = []
        for depth in range(len(parts) + 1):
            inside = "/".join(parts[:depth])
            try:
                with self._root.folder(inside) as handle:
                    for name in IGNORE_FILES:
                        path = f"{inside}/{name}" if inside else name
                        with contextlib.suppress(FileNotFoundError):
                            stat = fs.stat(handle, name)
                            if stat.kind is FileType.FILE:
                                found.append((path, _ignore_text(fs, handle, path, stat)))
            except (FileNotFoundError, UnsafePath, PathBlocked):
                break
        return found

    def learn_folder(self, folder: str, names: Collection[str], handle: Dir | None = None) -> None:
        """Learn the rules of a folder that was just listed, without another access to the disk.

        If the names include an ignore file, it is read through the folder's open ``handle``.

        Raises:
            OSError: as ``verdict``.
        """
        listed = any(name.lower() in IGNORE_FILES for name in names if name[0] == ".")
        with self._lock:
            if folder not in self._folders and (handle is not None or not listed):
                self._folders[folder] = self._complete(folder, handle if listed else None)

    def filter_names(self, folder: str, names: list[str]) -> FilterResult:
        """Decide many files of one folder by their names; ``verdict`` must decide the doubtful ones.

        Raises:
            OSError: as ``verdict``.
        """
        inside = self._folder(folder)
        if inside.excluded is not None:
            return FilterResult([], [])
        if self._scope is not None and self._scope.rule_against(f"{folder}/_" if folder else "_") is not None:
            return FilterResult([], [])
        sure, doubtful = self._wanted.filter_names(f"{folder}/" if folder else "", names)
        left = inside.chain.remaining(folder, sure) if inside.clear else []
        if len(left) < len(sure):
            known = set(left)
            doubtful = doubtful + [name for name in sure if name not in known]
        return FilterResult(left, doubtful)

    def _included(self, path: str) -> SelectionVerdict:
        if self._plain:
            lower = path.lower()
            for ending, pattern in zip(self._endings, DEFAULT_INCLUDE, strict=True):
                if lower.endswith(ending):
                    return SelectionVerdict(True, pattern, _INCLUDE_ORIGIN)
        else:
            match = self._includes.match(path)
            if match is not None:
                return SelectionVerdict(not match.negated, match.pattern, match.origin)
        return SelectionVerdict(False, " ".join(self._include), _INCLUDE_ORIGIN, unmatched=True)

    def _excluded(self, path: str, shown: str, inside: _Folder) -> SelectionVerdict | None:
        """Return the verdict that excludes ``path``, if any; ``shown`` is the path, with a '/' after a folder's."""
        name = path.rpartition("/")[2]
        rule = built_in(name)
        if rule is None and name.startswith(".") and (self._dots is None or not self._dots.match(name)):
            rule = ".*"
        if rule is not None:
            return SelectionVerdict(False, rule, BUILT_IN)
        left_out = self._left_out(shown)
        if left_out is not None:
            return SelectionVerdict(False, left_out, _SCOPE_ORIGIN)
        if not inside.chain.touches(shown):
            return None
        match = self._excludes.match(shown)
        if match is not None and not match.negated:
            return SelectionVerdict(False, match.pattern, match.origin)
        for prefix, patterns in reversed(inside.chain.lists[1 if self._excludes else 0 :]):
            match = patterns.match(shown[len(prefix) :])
            if match is not None:
                return None if match.negated else SelectionVerdict(False, match.pattern, match.origin)
        return None

    def _left_out(self, shown: str) -> str | None:
        """Return the rule of the server's preferences that leaves out a path; a folder's ends with '/'."""
        if self._scope is None:
            return None
        is_folder = shown.endswith("/")
        return self._scope.rule_against_folder(shown[:-1]) if is_folder else self._scope.rule_against(shown)

    def _folder(self, folder: str) -> _Folder:
        with self._lock:
            known = self._folders.get(folder)
            if known is None:
                known = self._folders[folder] = self._work_out(folder)
            return known

    def _work_out(self, folder: str) -> _Folder:
        gate = self._gate(folder)
        if gate.excluded is not None:
            return gate
        try:
            with self._root.folder(folder) as handle:
                return self._complete(folder, handle)
        except (FileNotFoundError, UnsafePath, PathBlocked):
            return gate

    def _gate(self, folder: str) -> _Folder:
        """Return the verdict on a folder, and the rules in it as far as they come from above."""
        if not folder:
            return _Folder(None, self._outermost, clear=True)
        with self._lock:
            known = self._gates.get(folder)
            if known is None:
                above = self._folder(parent_of(folder))
                known = above
                if above.excluded is None:
                    excluded = self._excluded(folder, folder + "/", above)
                    known = _Folder(excluded, above.chain, above.clear and not above.chain.touches(folder + "/"))
                self._gates[folder] = known
            return known

    def _complete(self, folder: str, handle: Dir | None) -> _Folder:
        """Return the rules in a folder, with its ignore files read through ``handle``; None if it has none."""
        gate = self._gate(folder)
        if handle is None or gate.excluded is not None:
            return gate
        prefix = f"{folder}/" if folder else ""
        read = [self._ignore_file(handle, prefix, name) for name in IGNORE_FILES]
        found = tuple((prefix, patterns) for patterns in read if patterns)
        return _Folder(None, ExcludeChain(gate.chain.lists + found), gate.clear) if found else gate

    def _ignore_file(self, handle: Dir, prefix: str, name: str) -> PatternList | None:
        fs = self._root.fs
        try:
            found = fs.stat(handle, name)
        except FileNotFoundError:
            self._parsed.pop(prefix + name, None)
            return None
        if found.kind is not FileType.FILE:
            return None
        stamp = _stamp(found)
        parsed = self._parsed.get(prefix + name)
        if parsed is None or parsed.stamp != stamp:
            patterns = PatternList.read(_ignore_text(fs, handle, prefix + name, found), prefix + name)
            if len(patterns) > MAX_IGNORE_PATTERNS:
                raise OSError(errno.EFBIG, f"{prefix}{name} has more than {MAX_IGNORE_PATTERNS} patterns")
            parsed = self._parsed[prefix + name] = _Parsed(stamp, patterns)
        return parsed.patterns


def _ignore_text(fs: Fs, handle: Dir, path: str, found: Stat) -> str:
    """Return the text of an ignore file in an open folder. Raises OSError, also if it is too large."""
    # A file over a limit is refused as a whole: files it excludes would be sent if a part of it were dropped.
    if found.size > _IGNORE_LIMIT:
        raise OSError(errno.EFBIG, f"{path} is larger than {_IGNORE_LIMIT} bytes")
    file = fs.open_file(handle, path.rpartition("/")[2])
    try:
        return fs.read(file, _IGNORE_LIMIT).decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    finally:
        fs.close(file)


def _stamp(found: Stat) -> tuple[int, int, int, int]:
    return found.size, found.mtime_ns, found.ctime_ns, found.inode
