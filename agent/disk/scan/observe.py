"""Looking at one path: what stands there, without opening it where its stat proves that nothing changed."""

from __future__ import annotations

import enum
import errno
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import AbstractContextManager, nullcontext
from hashlib import sha256
from typing import Final

from msgspec.structs import replace

from agent.core import paths
from agent.core.model import ABSENT, Fingerprint, IndexedFile, Observation, Presence, Reason, Side
from agent.disk.fs.protocol import Dir, File, FileType, Fs, Stat
from agent.disk.root import MountMissing, PathBlocked, Root, UnsafePath
from agent.disk.scan.digest import HELD, Digest, digest, text_reason, xxh3
from agent.disk.scan.parent_cache import ParentCache
from agent.disk.selection.rules import Selection

RACY_NS: Final = 2_000_000_000
"""A file written this shortly before the look may change again without its stat changing."""


class StatTrust(enum.Enum):
    """When an equal stat means that a file did not change."""

    PROOF = "proof"
    """Where it proves it: not for a file that was written right before it was looked at last."""
    PROVISIONAL = "for now"
    """Always; the file will be looked at again once its stat is proof, and stays racy until then."""


_FILE: Final = Presence.FILE
_OWN_REASONS: Final = frozenset({None, Reason.TOO_LARGE})
_PLACEHOLDER_SUFFIX: Final = ".icloud"


def look(
    root: Root, selection: Selection, path: str, known: IndexedFile | None = None, *, max_bytes: int | None = None
) -> Observation:
    """What stands at ``path`` now, by the rules as they stand now.

    Args:
        known: what the index remembers; its hashes are kept where the file's stat, or its bytes, did not change.
        max_bytes: the largest content the server takes; a larger file is hashed and marked TOO_LARGE.
    """
    selection.renew()
    return observe(root, selection, path, known, max_bytes)


def observe(
    root: Root, selection: Selection, path: str, known: IndexedFile | None, max_bytes: int | None
) -> Observation:
    """As ``look``, by the ignore files as last read: for many paths after one ``Selection.renew``."""
    return _observe(root, selection, path, known, max_bytes, root.parent, StatTrust.PROOF)


def look_at_all(
    root: Root,
    selection: Selection,
    wanted: Sequence[str],
    known: Mapping[str, IndexedFile],
    max_bytes: int | None,
    again: Set[str] = frozenset(),
) -> list[Observation]:
    """As ``look``, for many paths: the rules are read once, and a folder is walked to once for paths in a row.

    Args:
        again: paths that will be looked at again once their stat is proof. A file written just now, by the agent most
            likely, is not read twice meanwhile: where its stat is the one known it counts as known, and stays racy.
    """
    selection.renew()
    parents = ParentCache(root)

    def walk(path: str) -> AbstractContextManager[tuple[Dir, str]]:
        return nullcontext(parents.of(path))

    try:
        found = [
            _observe(
                root,
                selection,
                path,
                known.get(path),
                max_bytes,
                walk,
                StatTrust.PROVISIONAL if path in again else StatTrust.PROOF,
            )
            for path in wanted
        ]
    finally:
        parents.leave()
    strayed = parents.strayed
    return [
        observe(root, selection, seen.path, known.get(seen.path), max_bytes) if seen.path in strayed else seen
        for seen in found
    ]


def _observe(
    root: Root,
    selection: Selection,
    path: str,
    known: IndexedFile | None,
    max_bytes: int | None,
    walk: Callable[[str], AbstractContextManager[tuple[Dir, str]]],
    trust: StatTrust,
) -> Observation:
    if "\x00" in path or any(part in {"", ".", ".."} for part in path.split("/")):
        return _out_of_scope(path, Reason.UNSAFE_PATH, paths.check(path))
    try:
        verdict = selection.verdict(path)
        if not verdict.selected:
            return _out_of_scope(path, None, f"not selected: {verdict.rule} ({verdict.origin})")
        with walk(path) as (handle, name):
            twin = root.case_collision(handle, name)
            if twin is not None:
                return Observation(
                    path, ABSENT, text_reason=f"'{twin}' stands there, which this disk takes for the same name"
                )
            fs = root.fs
            if known is None and _is_file(fs, handle, name):
                return first_look(fs, handle, name, path, plain=False, now_ns=fs.now_ns(handle), max_bytes=max_bytes)
            return observe_at(fs, handle, path, known=known, max_bytes=max_bytes, trust=trust)
    except (FileNotFoundError, PathBlocked):
        return Observation(path, ABSENT)
    except UnsafePath as unsafe:
        return _out_of_scope(path, Reason.LINK, unsafe.message)
    except MountMissing as unmounted:
        return _unknown(path, Reason.UNMOUNTED, unmounted.message)
    except OSError as failure:
        return _failed(path, failure)


def _is_file(fs: Fs, handle: Dir, name: str) -> bool:
    """Whether a regular file stands there, by its stat: what is none is never opened."""
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
    max_bytes: int | None,
    trust: StatTrust = StatTrust.PROOF,
) -> Observation:
    """What stands at a selected path whose folder is open."""
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
            return Observation(path, _resized(known.side, found.size, max_bytes), known.fingerprint)
        if known is not None and known.fingerprint is not None and _shrunk(known.fingerprint, found):
            side = Side(Presence.UNKNOWN, None, known.fingerprint.size, Reason.SHRUNK)
            return Observation(
                path, side, known.fingerprint, "shorter than before at the same time of change, as after a crash"
            )
        file = fs.open_file(handle, name)
        try:
            return _read(fs, file, path, known, max_bytes)
        finally:
            fs.close(file)
    except FileNotFoundError:
        return _missing(fs, handle, name, path)
    except OSError as failure:
        return _failed(path, failure)


def first_look(
    fs: Fs, handle: Dir, name: str, path: str, *, plain: bool, now_ns: int, max_bytes: int | None
) -> Observation:
    """As ``observe_at``, of a path nothing is known of and that is likely a small file at rest.

    Args:
        plain: ``core.paths.check`` has nothing against the path.
        now_ns: by the clock that stamps files here, from before the look: an older moment only makes a file look racy.
    """
    try:
        grabbed = fs.read_small(handle, name, HELD)
    except OSError:
        grabbed = None
    if grabbed is None:
        return observe_at(fs, handle, path, known=None, max_bytes=max_bytes)
    content, (size, mtime_ns, ctime_ns, inode) = grabbed
    reason = text_reason(content)
    if not plain and paths.check(path) is not None:
        reason = Reason.BAD_NAME
    elif reason is None and max_bytes is not None and size > max_bytes:
        reason = Reason.TOO_LARGE
    mark = Fingerprint(size, mtime_ns, ctime_ns, inode, xxh3(content), mtime_ns > now_ns - RACY_NS)
    return Observation(path, Side(_FILE, sha256(content).hexdigest(), size, reason), mark)


def fingerprint_of(found: Stat, xxh3: str, now_ns: int) -> Fingerprint:
    """The fingerprint of a file whose bytes are known, judged racy by the file system's clock."""
    racy = found.mtime_ns > now_ns - RACY_NS
    return Fingerprint(found.size, found.mtime_ns, found.ctime_ns, found.inode, xxh3, racy)


def side_of_content(path: str, content: bytes, sha256: str, max_bytes: int | None) -> Side:
    """The side a file with these bytes makes at ``path``."""
    return _side(path, Digest("", sha256, len(content), text_reason(content)), sha256, max_bytes)


def placeholder_of(name: str) -> str | None:
    """The file a cloud stub stands for: ``.notes.md.icloud`` for ``notes.md``; None if the name is no stub's."""
    if name.startswith(".") and name.endswith(_PLACEHOLDER_SUFFIX) and len(name) > len(_PLACEHOLDER_SUFFIX) + 1:
        return name[1 : -len(_PLACEHOLDER_SUFFIX)]
    return None


def _read(fs: Fs, file: File, path: str, known: IndexedFile | None, max_bytes: int | None) -> Observation:
    before = fs.fstat(file)
    if before.kind is not FileType.FILE:
        return _unknown(path, Reason.CHANGING, "replaced while it was looked at")
    remembered = known.fingerprint if known is not None and known.side.is_file else None
    found = digest(fs, file, before.size, remembered.xxh3 if remembered else None)
    after = fs.fstat(file)
    if _stamp(before) != _stamp(after) or found.size != after.size:
        return _unknown(path, Reason.CHANGING, "changed while it was read")
    if found.sha256 is None:
        assert known is not None
        side = _resized(known.side, found.size, max_bytes)
    else:
        side = _side(path, found, found.sha256, max_bytes)
    return Observation(path, side, fingerprint_of(after, found.xxh3, fs.now_ns(file)))


def _side(path: str, found: Digest, sha256: str, max_bytes: int | None) -> Side:
    if paths.check(path) is not None:
        reason: Reason | None = Reason.BAD_NAME
    else:
        # A large binary file is left out by policy, so what the bytes are counts before how many there are.
        reason = found.reason or _size_reason(found.size, max_bytes)
    return Side(Presence.FILE, sha256, found.size, reason)


def _size_reason(size: int, max_bytes: int | None) -> Reason | None:
    return Reason.TOO_LARGE if max_bytes is not None and size > max_bytes else None


def _resized(side: Side, size: int, max_bytes: int | None) -> Side:
    """The known side, judged by the server's limit of today: only this reason can change without the bytes."""
    if side.reason not in _OWN_REASONS:
        return side
    reason = _size_reason(size, max_bytes)
    return side if reason is side.reason else replace(side, reason=reason)


def _stamp(found: Stat) -> tuple[int, int, int, int]:
    return found.size, found.mtime_ns, found.ctime_ns, found.inode


def _unchanged(known: IndexedFile, found: Stat, trust: StatTrust) -> bool:
    mark = known.fingerprint
    if mark is None or (mark.racy and trust is StatTrust.PROOF) or not known.side.is_file:
        return False
    return (mark.size, mark.mtime_ns, mark.ctime_ns, mark.inode) == _stamp(found)


def _shrunk(mark: Fingerprint, found: Stat) -> bool:
    """Whether bytes went without anybody writing: an edit moves the time of change. The old fingerprint is kept, so
    that the next look still knows.
    """
    same = (mark.inode, mark.mtime_ns) == (found.inode, found.mtime_ns)
    return same and not mark.racy and found.size < mark.size


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
        return Observation(path, ABSENT, text_reason="no file can have a name this long here")
    if failure.errno == errno.ELOOP:
        return _not_a_file(path, FileType.LINK)
    return _unknown(path, Reason.UNREADABLE, f"cannot be read: {failure.strerror}")
