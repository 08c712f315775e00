"""Observation of one path. The file is not opened if its stat proves that it is unchanged."""

from __future__ import annotations

import enum
import errno
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import AbstractContextManager, nullcontext
from hashlib import sha256
from typing import Final, NamedTuple

from msgspec.structs import replace

from agent.core import paths
from agent.core.accepts import TEXT, Accepts
from agent.core.model import ABSENT, Fingerprint, IndexedFile, Observation, Presence, Reason, Side
from agent.disk.fs.protocol import Dir, File, FileType, Fs, Stat
from agent.disk.root import MountMissing, PathBlocked, Root, UnsafePath
from agent.disk.scan.births import with_birth
from agent.disk.scan.digest import HELD, PEEK, Digest, ReadInterrupted, digest, head_reason, never, text_reason, xxh3
from agent.disk.scan.parent_cache import ParentCache
from agent.disk.selection.rules import Selection

RACY_NS: Final = 2_000_000_000
"""Nanoseconds. A file written this shortly before its observation can change again with an equal stat."""
LARGE: Final = 8 << 20
"""Bytes. A larger file is read on a thread of its own, so that it delays no other."""
_LONG_READ: Final = 256 << 10
"""Bytes of a file whose reading is long enough to ask afterwards if the process stops."""
REST_NS: Final = 5_000_000_000
"""Nanoseconds. A large file written this shortly ago is not read: a growing log would be read again and again."""
UNREAD: Final = Side(Presence.UNKNOWN)
"""The side, compared by identity, of a large file that must be read to be known."""


class ReadPolicy(NamedTuple):
    """The way to treat files that take long to read.

    Attributes:
        defer_large: do not read a file of more than ``LARGE`` bytes; its side is ``UNREAD``.
        interrupted: True once the process stops; a read then ends with ``ReadInterrupted``.
    """

    defer_large: bool = False
    interrupted: Callable[[], bool] = never


READ_ALL: Final = ReadPolicy()


class StatTrust(enum.Enum):
    """The condition under which an equal stat counts as an unchanged file."""

    PROOF = "proof"
    """Only if it is proof: not for a racy file, written right before its last observation."""
    PROVISIONAL = "provisional"
    """Always. The file is observed again once its stat is proof, and stays racy until then."""


_FILE: Final = Presence.FILE
_OWN_REASONS: Final = frozenset({None, Reason.TOO_LARGE})
OF_NO_TEXT: Final = frozenset({Reason.BINARY, Reason.NOT_UTF8})
"""Reasons of files that only a server of texts refuses."""
_PLACEHOLDER_SUFFIX: Final = ".icloud"


def observe_path(
    root: Root, selection: Selection, path: str, known: IndexedFile | None = None, *, accepts: Accepts = TEXT
) -> Observation:
    """Observe ``path`` by the current rules, after reading changed ignore files.

    Args:
        known: the index's record; its hashes are kept if the stat or the bytes of the file are unchanged.
        accepts: the contents that the server takes; a file with another content is marked with the reason.
    """
    selection.refresh()
    return observe(root, selection, path, known, accepts)


def observe(
    root: Root,
    selection: Selection,
    path: str,
    known: IndexedFile | None,
    accepts: Accepts,
    policy: ReadPolicy = READ_ALL,
) -> Observation:
    """As ``observe_path``, by the ignore files as last read: for many paths after one ``Selection.renew``."""
    return _observe(root, selection, path, known, accepts, root.parent, StatTrust.PROOF, policy)


def observe_paths(
    root: Root,
    selection: Selection,
    wanted: Sequence[str],
    known: Mapping[str, IndexedFile],
    accepts: Accepts,
    again: Set[str] = frozenset(),
    policy: ReadPolicy = READ_ALL,
) -> list[Observation]:
    """As ``observe_path``, for many paths. The rules are read once; a folder is opened once for consecutive paths.

    Args:
        again: paths that will be observed again once their stat is proof. A file just written, probably by the agent,
            is not read twice meanwhile: with an equal stat it counts as unchanged and stays racy.
    """
    selection.refresh()
    parents = ParentCache(root)

    def walk(path: str) -> AbstractContextManager[tuple[Dir, str]]:
        return nullcontext(parents.open_parent(path))

    try:
        found = [
            _observe(
                root,
                selection,
                path,
                known.get(path),
                accepts,
                walk,
                StatTrust.PROVISIONAL if path in again else StatTrust.PROOF,
                policy,
            )
            for path in wanted
        ]
    finally:
        parents.release()
    moved_away = parents.moved_away
    return [
        observe(root, selection, seen.path, known.get(seen.path), accepts, policy) if seen.path in moved_away else seen
        for seen in found
    ]


def _observe(
    root: Root,
    selection: Selection,
    path: str,
    known: IndexedFile | None,
    accepts: Accepts,
    walk: Callable[[str], AbstractContextManager[tuple[Dir, str]]],
    trust: StatTrust,
    policy: ReadPolicy,
) -> Observation:
    if policy.interrupted():
        raise ReadInterrupted
    if "\x00" in path or any(part in {"", ".", ".."} for part in path.split("/")):
        return _out_of_scope(path, Reason.UNSAFE_PATH, paths.check(path))
    try:
        verdict = selection.verdict(path)
        if not verdict.selected:
            return _out_of_scope(path, None, f"not selected: {verdict.rule} ({verdict.origin})")
        with walk(path) as (handle, name):
            other = root.case_collision(handle, name)
            if other is not None:
                return Observation(
                    path, ABSENT, text_reason=f"this disk takes the existing name '{other}' for the same"
                )
            fs = root.fs
            if known is None and _is_file(fs, handle, name):
                now_ns = fs.now_ns(handle)
                seen = observe_new(fs, handle, name, path, plain=False, now_ns=now_ns, accepts=accepts, policy=policy)
            else:
                seen = observe_at(fs, handle, path, known=known, accepts=accepts, trust=trust, policy=policy)
            return with_birth(fs, handle, seen, known)
    except (FileNotFoundError, PathBlocked):
        return Observation(path, ABSENT)
    except UnsafePath as unsafe:
        return _out_of_scope(path, Reason.LINK, unsafe.message)
    except MountMissing as unmounted:
        return _unknown(path, Reason.UNMOUNTED, unmounted.message)
    except OSError as failure:
        return _failed(path, failure)


def _is_file(fs: Fs, handle: Dir, name: str) -> bool:
    """Return True for a regular file, by its stat. Any other type is never opened."""
    try:
        return fs.quick_stat(handle, name) is not None
    except OSError:
        return False


def observe_at(
    fs: Fs,
    handle: Dir,
    path: str,
    *,
    known: IndexedFile | None,
    accepts: Accepts,
    trust: StatTrust = StatTrust.PROOF,
    policy: ReadPolicy = READ_ALL,
) -> Observation:
    """Observe a selected path whose folder is open."""
    name = path.rpartition("/")[2]
    try:
        found = fs.stat(handle, name)
        if found.kind is FileType.FOLDER:
            return Observation(path, ABSENT)
        if found.kind is not FileType.FILE:
            return _not_a_file(path, found.kind)
        if found.dataless:
            return _unknown(path, Reason.PLACEHOLDER, "the bytes are in the cloud, not on this disk")
        if known is not None and _unchanged(known, found, trust):
            return Observation(path, _rejudged(known.side, found.size, accepts), known.fingerprint)
        if known is not None and known.fingerprint is not None and _shrunk(known.fingerprint, found):
            side = Side(Presence.UNKNOWN, None, known.fingerprint.size, Reason.SHRUNK)
            text = "shorter than before at an unchanged modification time, as after a crash"
            return Observation(path, side, known.fingerprint, text)
        known_size = known.fingerprint.size if known is not None and known.fingerprint is not None else None
        if accepts.max_bytes is not None and accepts.max_bytes < found.size != known_size:
            # Never sent, so it costs one stat. A file of a known size was in step: read, it receives newer versions.
            return _too_large(path, found.size, accepts.max_bytes)
        if policy.defer_large and found.size > LARGE:
            return _deferred(path, found, fs.now_ns(handle))
        file = fs.open_file(handle, name)
        try:
            return _read(fs, file, path, known, accepts, policy.interrupted)
        finally:
            fs.close(file)
    except FileNotFoundError:
        return _missing(fs, handle, name, path)
    except OSError as failure:
        return _failed(path, failure)


def observe_new(
    fs: Fs,
    handle: Dir,
    name: str,
    path: str,
    *,
    plain: bool,
    now_ns: int,
    accepts: Accepts,
    policy: ReadPolicy = READ_ALL,
) -> Observation:
    """As ``observe_at``, for a path that is not in the index and is probably a small unchanging file.

    Args:
        plain: True if ``core.paths.check`` accepts the path.
        now_ns: time of the clock that stamps files here, from before this call. An older time only makes files racy.
    """
    try:
        small = fs.read_small(handle, name, HELD if accepts.max_bytes is None else min(HELD, accepts.max_bytes))
    except OSError:
        small = None
    if small is None:
        return observe_at(fs, handle, path, known=None, accepts=accepts, policy=policy)
    content, (size, mtime_ns, ctime_ns, inode) = small
    if size > _LONG_READ and policy.interrupted():
        raise ReadInterrupted
    reason = text_reason(content) if accepts.text_only else None
    if not plain and paths.check(path) is not None:
        reason = Reason.BAD_NAME
    stored = Fingerprint(size, mtime_ns, ctime_ns, inode, xxh3(content), mtime_ns > now_ns - RACY_NS)
    return Observation(path, Side(_FILE, sha256(content).hexdigest(), size, reason), stored)


def fingerprint_of(found: Stat, xxh3: str, now_ns: int) -> Fingerprint:
    """Return the fingerprint of a file whose bytes are known. The clock of the file system decides if it is racy."""
    racy = found.mtime_ns > now_ns - RACY_NS
    return Fingerprint(found.size, found.mtime_ns, found.ctime_ns, found.inode, xxh3, racy)


def side_of_digest(path: str, found: Digest, accepts: Accepts) -> Side:
    """Return the local side of a file with these bytes at ``path``; their sha256 must be known."""
    return _side(path, found, found.sha256 or "", accepts)


def placeholder_target(name: str) -> str | None:
    """Return the file name of a cloud placeholder: ``notes.md`` for ``.notes.md.icloud``; None for other names."""
    if name.startswith(".") and name.endswith(_PLACEHOLDER_SUFFIX) and len(name) > len(_PLACEHOLDER_SUFFIX) + 1:
        return name[1 : -len(_PLACEHOLDER_SUFFIX)]
    return None


def _no_text(path: str, size: int, reason: Reason) -> Observation:
    """Report a large file that is no text. It was not read to its end, so its hash is unknown."""
    return Observation(path, Side(Presence.UNKNOWN, None, size, reason), text_reason="a large file that is no text")


def _too_large(path: str, size: int, max_bytes: int) -> Observation:
    side = Side(Presence.UNKNOWN, None, size, Reason.TOO_LARGE)
    return Observation(path, side, text_reason=f"larger than the {max_bytes} bytes this server takes")


def _deferred(path: str, found: Stat, now_ns: int) -> Observation:
    """Defer a large file that is at rest. A modification time in the future, from a wrong clock, counts as at rest."""
    if now_ns - REST_NS < found.mtime_ns <= now_ns:
        return _unknown(path, Reason.CHANGING, "a large file that is being written")
    return Observation(path, UNREAD)


def _read(
    fs: Fs,
    file: File,
    path: str,
    known: IndexedFile | None,
    accepts: Accepts,
    interrupted: Callable[[], bool],
) -> Observation:
    before = fs.fstat(file)
    if before.kind is not FileType.FILE:
        return _unknown(path, Reason.CHANGING, "replaced while it was being read")
    head = fs.read(file, PEEK) if accepts.text_only and before.size > HELD else b""
    reason = head_reason(head)
    if reason is not None:
        return _no_text(path, before.size, reason)
    remembered = known.fingerprint if known is not None and known.side.is_file else None
    expected = remembered.xxh3 if remembered else None
    text_only = accepts.text_only
    found = digest(
        fs, file, before.size, expected, head=head, interrupted=interrupted, text_only=text_only, check_text=text_only
    )
    if found.sha256 is None and found.reason is not None:
        return _no_text(path, before.size, found.reason)
    after = fs.fstat(file)
    if _stamp(before) != _stamp(after) or found.size != after.size:
        return _unknown(path, Reason.CHANGING, "changed while it was being read")
    if found.sha256 is None:
        assert known is not None
        side = _rejudged(known.side, found.size, accepts)
    else:
        side = _side(path, found, found.sha256, accepts)
    return Observation(path, side, fingerprint_of(after, found.xxh3, fs.now_ns(file)))


def _side(path: str, found: Digest, sha256: str, accepts: Accepts) -> Side:
    if paths.check(path) is not None:
        reason: Reason | None = Reason.BAD_NAME
    else:
        # A binary file is skipped whatever its size, so that reason comes before the size.
        reason = (found.reason if accepts.text_only else None) or _size_reason(found.size, accepts)
    return Side(Presence.FILE, sha256, found.size, reason)


def _size_reason(size: int, accepts: Accepts) -> Reason | None:
    return Reason.TOO_LARGE if accepts.max_bytes is not None and size > accepts.max_bytes else None


def _rejudged(side: Side, size: int, accepts: Accepts) -> Side:
    """Return the known side by what the server takes now. Only these reasons can change without the bytes."""
    if side.reason not in _OWN_REASONS and (accepts.text_only or side.reason not in OF_NO_TEXT):
        return side
    reason = _size_reason(size, accepts)
    return side if reason is side.reason else replace(side, reason=reason)


def _stamp(found: Stat) -> tuple[int, int, int, int]:
    return found.size, found.mtime_ns, found.ctime_ns, found.inode


def _unchanged(known: IndexedFile, found: Stat, trust: StatTrust) -> bool:
    stored = known.fingerprint
    if stored is None or (stored.racy and trust is StatTrust.PROOF) or not known.side.is_file:
        return False
    return (stored.size, stored.mtime_ns, stored.ctime_ns, stored.inode) == _stamp(found)


def _shrunk(stored: Fingerprint, found: Stat) -> bool:
    """Return True if the file lost bytes without a write: an edit changes the modification time.

    The caller keeps the old fingerprint, so that the next observation finds the same.
    """
    same = (stored.inode, stored.mtime_ns) == (found.inode, found.mtime_ns)
    return same and not stored.racy and found.size < stored.size


def _missing(fs: Fs, handle: Dir, name: str, path: str) -> Observation:
    try:
        fs.stat(handle, f".{name}{_PLACEHOLDER_SUFFIX}")
    except FileNotFoundError:
        return Observation(path, ABSENT)
    except OSError as failure:
        return Observation(path, ABSENT) if failure.errno == errno.ENAMETOOLONG else _failed(path, failure)
    return _unknown(path, Reason.PLACEHOLDER, "the bytes are in the cloud, not on this disk")


def _not_a_file(path: str, kind: FileType) -> Observation:
    if kind is FileType.LINK:
        return _out_of_scope(path, Reason.LINK, "a link, and links are not followed")
    return _out_of_scope(path, Reason.SPECIAL, "neither a file nor a folder")


def _out_of_scope(path: str, reason: Reason | None, text: str | None) -> Observation:
    return Observation(path, Side(Presence.OUT_OF_SCOPE, reason=reason), text_reason=text)


def _unknown(path: str, reason: Reason, text: str) -> Observation:
    return Observation(path, Side(Presence.UNKNOWN, reason=reason), text_reason=text)


def _failed(path: str, failure: OSError) -> Observation:
    if failure.errno == errno.ENAMETOOLONG:
        return Observation(path, ABSENT, text_reason="no file on this disk can have a name this long")
    if failure.errno == errno.ELOOP:
        return _not_a_file(path, FileType.LINK)
    return _unknown(path, Reason.UNREADABLE, f"cannot be read: {failure.strerror}")
