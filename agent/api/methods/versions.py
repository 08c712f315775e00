"""Find one version of a file in the trash or on the server, and bring it to a path. Large ones are copied in pieces."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import Callable, Collection
from pathlib import Path
from shlex import quote
from typing import BinaryIO, Final

from msgspec import Struct

from agent.api.methods.common import RequestRefused, opened_folder, remote_of
from agent.api.methods.late_writes import install, rescue_quietly
from agent.core.errors import AgentError, DiskError, ProblemKind, RemoteError, UsageError
from agent.core.model import SENTINEL_BASE
from agent.core.remote_records import RemoteVersion
from agent.core.supply import Transfer
from agent.disk.apply.trash import TrashEntry
from agent.engine import messages as m
from agent.runtime.agent import Agent
from agent.runtime.local_folder import LocalFolder
from agent.runtime.source_runner import SourceRunner
from agent.settings.links import SourceEntry

_INLINE: Final = 1 << 20
"""Bytes of the largest version that is held in memory."""


class LargeVersion(Struct, frozen=True):
    """A version that is not held in memory.

    Attributes:
        source, path: the link and the path that it was found at.
        entry: the trash entry that is its place; None if it is on the server.
        rev: the server's revision; opaque.
    """

    source: SourceEntry
    path: str
    hash: str
    size: int
    entry: TrashEntry | None = None
    rev: str | None = None


def find_version(
    agent: Agent, source: SourceEntry, path: str, wanted: str, trash_id: str | None = None
) -> bytes | LargeVersion:
    """Return a trash entry, or the version whose hash begins with ``wanted``: its bytes, or where a large one is.

    Raises:
        RemoteError: the server cannot be asked.
        RequestRefused: the bytes of the version are kept nowhere.
        UsageError: no single version is meant.
    """
    rescue_quietly(agent, source)
    with opened_folder(agent, source) as folder:
        if trash_id:
            found = folder.trash.entries_with_id(trash_id)
            if len(found) != 1:
                words = "several trash entries start" if found else "no trash entry starts"
                raise UsageError(f"{words} with {trash_id}", "raven-agent trash lists them")
            return _of_entry(source, folder, found[0])
        if not wanted:
            raise UsageError("version or trash_id is needed", "raven-agent history lists them")
        trashed = {entry.hash: entry for entry in folder.trash.entries_of(path) if entry.hash.startswith(wanted)}
        if wanted in trashed:
            return _of_entry(source, folder, trashed[wanted])
        sent = _sent_versions(agent, source, path, wanted, known=trashed)
        hashes = {*trashed, *sent}
        if len(hashes) != 1:
            words = f"several versions of {path} begin" if hashes else f"no version of {path} begins"
            raise UsageError(f"{words} with {wanted!r}", "raven-agent history lists them")
        (digest,) = hashes
        if digest in trashed:
            return _of_entry(source, folder, trashed[digest])
        return _of_server(source, path, sent[digest])


def version_content(agent: Agent, source: SourceEntry, path: str, wanted: str, trash_id: str | None = None) -> bytes:
    """Return the bytes of a version as ``find_version`` does; a large one is refused."""
    found = find_version(agent, source, path, wanted, trash_id)
    if isinstance(found, bytes):
        return found
    raise RequestRefused(
        f"version {found.hash[:12]} of {path} is over {_INLINE:,} bytes, too large to be shown",
        f"raven-agent restore {quote(str(source.root / path))} --version {found.hash[:12]} --to FILE",
    )


def install_version(
    agent: Agent, runner: SourceRunner, source: SourceEntry, path: str, found: bytes | LargeVersion
) -> None:
    """Have the engine put a version in place, and wait for the outcome.

    Raises:
        RequestRefused: the file is still another after several tries, or the disk has no room.
        RemoteError: the server cannot send it.
    """
    if isinstance(found, bytes):
        install(agent, runner, source, m.Restore(path, found))
        return
    transfer = Transfer(secrets.token_hex(8), path, None, found.rev, found.hash, found.size)
    with opened_folder(agent, source) as folder:
        try:
            with folder.download(transfer) as writer:
                _copy(agent, found, writer.append)
                writer.finish()
            install(agent, runner, source, m.Restore(path, None, transfer))
        except (DiskError, ValueError) as error:
            raise RequestRefused(f"{source.root / path} could not be restored: {error}") from error
        finally:
            # Left over after a failure, and where the bytes were at the path already.
            with contextlib.suppress(AgentError, OSError):
                folder.discard_download(transfer.id)


def write_version(agent: Agent, found: bytes | LargeVersion, target: Path) -> None:
    """Write a version to a new file outside every linked folder; an existing file is never replaced.

    Raises:
        RequestRefused: it cannot be written.
        RemoteError: the server cannot send it.
    """
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        raise RequestRefused(f"{target} cannot be written: {error.strerror}", "choose another --to") from error
    try:
        with os.fdopen(descriptor, "wb") as out:
            if isinstance(found, bytes):
                out.write(found)
            else:
                _write_checked(agent, found, out)
            out.flush()
            os.fsync(out.fileno())
    except BaseException as error:
        # A part of a version must not be taken for it.
        target.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise RequestRefused(f"{target} cannot be written: {error.strerror}", "choose another --to") from error
        raise


def _write_checked(agent: Agent, found: LargeVersion, out: BinaryIO) -> None:
    digest = hashlib.sha256()

    def take(piece: bytes) -> None:
        digest.update(piece)
        out.write(piece)

    _copy(agent, found, take)
    if digest.hexdigest() != found.hash:
        raise RequestRefused(f"version {found.hash[:12]} of {found.path} came with other bytes than those of its hash")


def hash_of_version(found: bytes | LargeVersion) -> str:
    """Return the sha256 of a version."""
    return hashlib.sha256(found).hexdigest() if isinstance(found, bytes) else found.hash


def size_of(found: bytes | LargeVersion) -> int:
    """Return the size of a version in bytes."""
    return len(found) if isinstance(found, bytes) else found.size


def _copy(agent: Agent, found: LargeVersion, take: Callable[[bytes], object]) -> None:
    """Pass the bytes of a version to ``take``, piece by piece."""
    if found.entry is not None:
        with opened_folder(agent, found.source) as folder:
            for piece in folder.trash.pieces(found.entry):
                take(piece)
        return
    wanted = Transfer("", found.path, None, found.rev, found.hash, found.size)

    def sink(_offset: int, piece: bytes) -> None:
        take(piece)

    try:
        remote_of(agent, found.source).fetch(found.source.source_id, wanted, 0, sink)
    except RemoteError as error:
        if error.problem.kind not in (ProblemKind.NOT_FOUND, ProblemKind.GONE):
            raise
        raise RequestRefused(f"the server no longer has version {found.hash[:12]} of {found.path}") from error


def _of_entry(source: SourceEntry, folder: LocalFolder, entry: TrashEntry) -> bytes | LargeVersion:
    if entry.size <= _INLINE or entry.hash == SENTINEL_BASE:
        return folder.trash.read(entry.id)
    return LargeVersion(source, entry.path, entry.hash, entry.size, entry)


def _of_server(source: SourceEntry, path: str, version: RemoteVersion) -> bytes | LargeVersion:
    if version.content is not None:
        return bytes(version.content)
    if version.size is not None and version.size > _INLINE and version.rev is not None:
        return LargeVersion(source, path, version.hash, version.size, None, version.rev)
    raise RequestRefused(f"the server knows version {version.hash[:12]} of {path} and has no text of it")


def _sent_versions(
    agent: Agent, source: SourceEntry, path: str, wanted: str, *, known: Collection[str]
) -> dict[str, RemoteVersion]:
    """Return the versions on the server whose hash begins with ``wanted``, by their hash.

    A server that cannot be asked is no error where the trash has a ``known`` one.
    """
    try:
        versions = remote_of(agent, source).history(source.source_id, path)
    except AgentError:
        if known:
            return {}
        raise
    # A text that was written twice may be kept with one of its versions only.
    chosen = sorted((v for v in versions if v.hash.startswith(wanted)), key=lambda v: v.content is not None)
    return {version.hash: version for version in chosen}
