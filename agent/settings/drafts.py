"""Drafts: a person's merge of a conflict that could not be used yet.

Drafts are files in the home, not rows of the index. The command that writes one may run while no agent runs, and only
the agent writes to the index. A draft also survives the loss of the index.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

FOLDER: Final = "drafts"
"""Name of the folder of drafts inside the home."""

_NAME: Final = re.compile(r"(\d+)-(\d+)\.(\d+)\.txt")
_SIDES: Final = (".local", ".remote")
"""Endings of the files beside a draft that hold the two sides it was made from."""
_EDIT_NAME: Final = re.compile(r"(\d+)-(\d+)\.(\d+)-[0-9a-f]+\.edit")
_START: Final = "start"
"""Name of the file in the folder of an edit that holds the sha256 of the first text and the name of the edited file."""


class Draft(Struct, frozen=True):
    """One kept merge.

    Attributes:
        source: the source's number in this home.
        conflict: the conflict's number, without its generation.
        generation: the generation of the conflict that the person saw. If the conflict has a newer one now, a side has
            moved since, and the draft is material for a new merge, not a decision.
        written_at: seconds since the epoch.
        file: the file that holds the text.
    """

    source: int
    conflict: int
    generation: int
    written_at: float
    file: Path

    def read(self) -> bytes:
        """Return the text. Raises FileNotFoundError if the draft was deleted meanwhile."""
        return self.file.read_bytes()


class Drafts:
    """The drafts of one home: at most one for each conflict; the newest replaces the older one.

    Args:
        folder: the folder of drafts (``HOME/drafts``). It is made, with mode 0700, when the first draft is kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, source: int, conflict: int, generation: int, text: bytes) -> Draft:
        """Keep a merge durably and return its draft. Raises OSError if the disk refuses it; the older one then stays.

        The text is written beside the older draft and fsynced before it replaces it, so that a crash leaves one of
        the two whole.
        """
        target = self._folder / f"{source}-{conflict}.{generation}.txt"
        self._replace(target, text)
        for older in self._of(source, conflict):
            if older.file != target:
                self._remove(older)
        return Draft(source, conflict, generation, target.stat().st_mtime, target)

    def put_sides(self, source: int, conflict: int, generation: int, local: bytes, remote: bytes) -> None:
        """Keep the two sides from which a draft is made, once for each generation. Raises OSError.

        A later merge of the draft with a side that moved needs them, and the moved side's old text may be gone.
        """
        files = [self._folder / f"{source}-{conflict}.{generation}{ending}" for ending in _SIDES]
        for file, text in zip(files, (local, remote), strict=True):
            if not file.exists():
                self._replace(file, text)

    def has_sides(self, source: int, conflict: int, generation: int) -> bool:
        """Return True if the sides of this generation are kept."""
        return all((self._folder / f"{source}-{conflict}.{generation}{ending}").exists() for ending in _SIDES)

    def sides(self, draft: Draft) -> tuple[bytes, bytes] | None:
        """Return the local and the remote side from which a draft was made; None if they were not kept."""
        name = f"{draft.source}-{draft.conflict}.{draft.generation}"
        try:
            local, remote = ((self._folder / f"{name}{ending}").read_bytes() for ending in _SIDES)
        except FileNotFoundError:
            return None
        return local, remote

    def _replace(self, target: Path, text: bytes) -> None:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        temporary = self._folder / f".{secrets.token_hex(8)}.part"
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        self._sync_folder()

    @contextlib.contextmanager
    def editing(self, source: int, conflict: int, generation: int, text: bytes, suffix: str) -> Iterator[Path]:
        """Yield a file with ``text`` for an editor; its folder is locked, and is removed at the end of the block.

        The file lies among the drafts: a changed one whose command was killed is a draft from then on. An edit of the
        same text that was cut off is continued in its folder, where the editor finds its own recovery file. After an
        error such files stay.
        """
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._remove_unchanged()
        folder = self._cut_off(source, conflict, text)
        if folder is None:
            folder = self._folder / f"{source}-{conflict}.{generation}-{secrets.token_hex(8)}.edit"
            folder.mkdir(mode=0o700)
        try:
            with _locked(folder):
                if not (folder / _START).exists():
                    file = folder / f"merge{suffix}"
                    _write(file, text)
                    _write(folder / _START, f"{hashlib.sha256(text).hexdigest()}\n{file.name}\n".encode())
                yield folder / _start_of(folder)[1]
        except BaseException:
            # An editor that is still open holds the lock.
            if not _is_locked(folder) and _has_own_files_only(folder):
                shutil.rmtree(folder, ignore_errors=True)
            raise
        shutil.rmtree(folder, ignore_errors=True)

    def get(self, source: int, conflict: int) -> Draft | None:
        """Return the draft of a conflict, whatever its generation, or None."""
        return self.newest().get((source, conflict))

    def newest(self) -> dict[tuple[int, int], Draft]:
        """Return the draft of each conflict, by source and conflict. The folder is read once."""
        ordered = sorted(self._all(), key=lambda draft: (draft.generation, draft.written_at))
        return {(draft.source, draft.conflict): draft for draft in ordered}

    def list(self, source: int | None = None) -> tuple[Draft, ...]:
        """Return the drafts of a source, or all of them, the oldest first."""
        found = [draft for draft in self._all() if source is None or draft.source == source]
        return tuple(sorted(found, key=lambda draft: (draft.written_at, draft.source, draft.conflict)))

    def delete(self, source: int, conflict: int) -> None:
        """Delete the draft of a conflict, if there is one. Call it once a resolution with its text is carried out."""
        for draft in self._of(source, conflict):
            self._remove(draft)

    def _remove(self, draft: Draft) -> None:
        if draft.file.parent == self._folder:
            draft.file.unlink(missing_ok=True)
            for ending in _SIDES:
                draft.file.with_suffix(ending).unlink(missing_ok=True)
        else:
            shutil.rmtree(draft.file.parent, ignore_errors=True)

    def _of(self, source: int, conflict: int) -> Sequence[Draft]:
        return [draft for draft in self._all() if (draft.source, draft.conflict) == (source, conflict)]

    def _all(self) -> Sequence[Draft]:
        found = []
        with contextlib.suppress(FileNotFoundError):
            for file in self._folder.iterdir():
                matched = _NAME.fullmatch(file.name) or _EDIT_NAME.fullmatch(file.name)
                if matched is None:
                    continue
                with contextlib.suppress(FileNotFoundError):
                    edited = _changed_file(file) if file.suffix == ".edit" else file
                    if edited is not None:
                        source, conflict, generation = (int(number) for number in matched.groups())
                        found.append(Draft(source, conflict, generation, edited.stat().st_mtime, edited))
        return found

    def _edits(self) -> Iterator[tuple[int, int, Path]]:
        """Yield source, conflict and folder of each edit that no command holds."""
        for folder in list(self._folder.iterdir()):
            matched = _EDIT_NAME.fullmatch(folder.name)
            if matched is not None and not _is_locked(folder):
                yield int(matched[1]), int(matched[2]), folder

    def _cut_off(self, source: int, conflict: int, text: bytes) -> Path | None:
        """Return the folder of an edit of this conflict that was cut off at ``text``; None if there is none."""
        for *owner, folder in self._edits():
            with contextlib.suppress(FileNotFoundError):
                if owner == [source, conflict] and (folder / _start_of(folder)[1]).read_bytes() == text:
                    return folder
        return None

    def _remove_unchanged(self) -> None:
        """Remove edits that were cut off before anything was saved, unless the editor left files of its own."""
        for _, _, folder in self._edits():
            with contextlib.suppress(FileNotFoundError):
                if _changed_file(folder) is None and _has_own_files_only(folder):
                    shutil.rmtree(folder, ignore_errors=True)

    def _sync_folder(self) -> None:
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _write(file: Path, text: bytes) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(text)


def _start_of(folder: Path) -> tuple[str, str]:
    """Return sha256 of the first text and name of the edited file. Raises FileNotFoundError."""
    digest, _, name = (folder / _START).read_text("utf-8").rstrip("\n").partition("\n")
    return digest, name


def _changed_file(folder: Path) -> Path | None:
    """Return the file of an edit that no command holds, if a person saved another text than the first one.

    Raises:
        FileNotFoundError: the edit ended meanwhile.
    """
    if _is_locked(folder):
        return None
    digest, name = _start_of(folder)
    file = folder / name
    return None if hashlib.sha256(file.read_bytes()).hexdigest() == digest else file


def _has_own_files_only(folder: Path) -> bool:
    """True if the folder holds no file of the editor, as a swap file is, from which it recovers a text."""
    with contextlib.suppress(FileNotFoundError):
        return {file.name for file in folder.iterdir()} <= {_START, _start_of(folder)[1]}
    return False


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder of an edit until this process and the editor, which inherits the lock, have ended."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    os.set_inheritable(descriptor, True)
    try:
        # Without locks, as on some network file systems, an edit that goes on counts as one that was cut off.
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _is_locked(folder: Path) -> bool:
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    else:
        return False
    finally:
        os.close(descriptor)
