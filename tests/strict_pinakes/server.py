"""The strict server: its files, changes, conflicts and uploads, without HTTP."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from blake3 import blake3
from msgspec.structs import replace

from strict_pinakes.state import PinChange, PinConflict, PinFile, PinSession, PinState, PinTraps

SESSION_SECONDS = 86_400.0
LOGIN_SECONDS = 3600.0
HASHES: dict[str, Callable[[bytes], str]] = {
    "sha256": lambda data: hashlib.sha256(data).hexdigest(),
    "blake3": lambda data: blake3(data).hexdigest(),
}


class PinError(Exception):
    """A refusal: a status and words."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status
        self.words = words


class StrictPinakes:
    """One account.

    Args:
        clock: seconds since the epoch.
        algorithm: of content hashes.
        most: bytes of the largest file.
    """

    def __init__(
        self, clock: Callable[[], float], traps: PinTraps | None = None, algorithm: str = "sha256", most: int = 1 << 20
    ) -> None:
        self.clock = clock
        self.traps = traps or PinTraps()
        self.hash = HASHES[algorithm]
        self.most = most
        self.state = PinState()

    def new_id(self, kind: str) -> str:
        """An id that was never used."""
        self.state.numbers += 1
        return f"{kind}-{self.state.numbers}"

    def log_in(self, seconds: float = LOGIN_SECONDS) -> str:
        """A new session."""
        token = self.new_id("session")
        self.state.logins[token] = self.clock() + seconds
        return token

    def snapshot(self) -> PinState:
        """A copy of everything."""
        return self.state.copy()

    def restore_backup(self, copy: PinState) -> None:
        """Become an older copy. Ids that were used since are not used again; sequences are."""
        numbers = self.state.numbers
        self.state = copy.copy()
        self.state.numbers = numbers

    # Files

    def heads(self) -> dict[str, bytes]:
        """Path -> content of every file."""
        return {path: self.state.contents[file.hash] for path, file in self.state.files.items()}

    def head_hash(self, path: str) -> str | None:
        """The hash of a file; None if there is none."""
        found = self.state.files.get(path)
        return None if found is None else found.hash

    def require_path(self, path: str) -> None:
        """Refuse a path that is none, or that a folder has, or that lies below a file."""
        parts = path.split("/")
        above = ("/".join(parts[:end]) for end in range(1, len(parts)))
        if not all(parts) or {".", ".."} & set(parts) or any(each in self.state.files for each in above):
            raise PinError(400, f"invalid path: {path}")
        if any(each.startswith(f"{path}/") for each in self.state.files):
            raise PinError(400, f"{path} is a folder")

    def put(self, path: str, content: bytes, by: str | None = None) -> None:
        """Create or replace a file."""
        self.require_path(path)
        state, digest = self.state, self.hash(content)
        change = "modified" if path in state.files else "created"
        state.contents[digest] = content
        state.files[path] = PinFile(digest, len(content))
        self._log(change, path, None, digest, len(content), by)

    def remove(self, path: str, by: str | None = None) -> None:
        """Delete a file."""
        del self.state.files[path]
        self._log("deleted", path, None, None, 0, by)

    def move(self, old: str, new: str, by: str | None = None) -> None:
        """Move one file."""
        self.require_path(new)
        if new in self.state.files:
            raise PinError(400, f"{new} exists")
        file = self.state.files.pop(old)
        self.state.files[new] = file
        self._log("moved", new, old, file.hash, file.size, by)

    def _log(self, change: str, path: str, old: str | None, digest: str | None, size: int, by: str | None) -> None:
        state = self.state
        # Entries of other accounts lie between.
        state.sequence += 1 + len(state.log) % 3
        entry = PinChange(self.new_id("change"), state.sequence, change, path, old, digest, size, by, self.clock())
        state.log.append(entry)

    def compact(self) -> None:
        """Keep only the newest change of each file there is. No cursor but the newest and 0 is known afterwards."""
        state = self.state
        newest: dict[str, PinChange] = {entry.path: entry for entry in state.log if entry.path in state.files}
        kept = (replace(entry, change="created", old_path=None) for entry in newest.values())
        state.log = sorted(kept, key=lambda entry: entry.sequence)
        state.sequence += 1
        state.cut = state.sequence

    def changes(self, cursor: int, limit: int) -> tuple[list[PinChange], int, bool]:
        """The changes behind a cursor, the cursor behind them, and True if there are more."""
        state = self.state
        if 0 < cursor < state.cut or cursor > state.sequence:
            raise PinError(400, "unknown cursor")
        if self.traps.sparse_pages:
            end = min(cursor + limit, state.sequence)
            found = [entry for entry in state.log if cursor < entry.sequence <= end]
            return found, end, end < state.sequence
        later = [entry for entry in state.log if entry.sequence > cursor]
        page, more = later[:limit], len(later) > limit
        return page, page[-1].sequence if more else state.sequence, more

    # Changes of devices

    def is_stale(self, path: str, base: str | None) -> bool:
        """True if a change on this base must be refused."""
        return self.head_hash(path) != base and not self.traps.compares_no_base

    def conflict(self, device: str, path: str, base: str | None, local: str | None) -> PinConflict:
        """Record a refused change; the same one again is the same conflict."""
        server = self.head_hash(path)
        for each in self.state.conflicts.values():
            same = (each.device, each.path, each.base, each.local, each.server)
            if same == (device, path, base, local, server) and each.resolution is None:
                return each
        made = PinConflict(self.new_id("conflict"), device, path, base, local, server, self.clock())
        self.state.conflicts[made.id] = made
        return made

    def resolve(self, identifier: str, resolution: str) -> PinConflict:
        """Close a conflict. The refused bytes are not here, so no word changes the head."""
        found = self.state.conflicts.get(identifier)
        if found is None or found.resolution is not None:
            raise PinError(400, "no such open conflict")
        if resolution not in ("server_wins", "client_wins", "keep_both", "manual"):
            raise PinError(400, "unknown resolution")
        closed = replace(found, resolution=resolution, resolved_at=self.clock())
        self.state.conflicts[identifier] = closed
        return closed

    # Uploads

    def begin(self, device: str, path: str, digest: str, size: int, base: str | None, chunk_size: int) -> PinSession:
        """Begin an upload."""
        self.require_path(path)
        if size > self.most:
            raise PinError(413, f"a file has at most {self.most} bytes")
        if chunk_size < 1:
            raise PinError(400, "chunk_size must be positive")
        made = PinSession(self.new_id("upload"), path, digest, size, base, chunk_size, device, self.clock())
        self.state.sessions[made.id] = made
        return made

    def session(self, identifier: str) -> PinSession:
        """A session that has not expired."""
        found = self.state.sessions.get(identifier)
        if found is None or found.created_at + SESSION_SECONDS < self.clock():
            raise PinError(404, "no such upload")
        return found

    def chunk(self, identifier: str, index: int, content: bytes) -> PinSession:
        """Take a chunk; the same one again is fine."""
        found = self.session(identifier)
        if found.status != "pending":
            raise PinError(400, "the upload is over")
        last = found.count - 1
        size = found.chunk_size if index < last else found.size - last * found.chunk_size
        if not 0 <= index <= last or len(content) != size:
            raise PinError(400, "no such chunk")
        taken = replace(found, chunks=tuple(sorted({**dict(found.chunks), index: content}.items())))
        self.state.sessions[identifier] = taken
        return taken

    def complete(self, identifier: str) -> PinSession:
        """Make the content the head, if the base still is."""
        found = self.session(identifier)
        if found.status == "completed":
            if self.traps.complete_once:
                raise PinError(400, "the upload is over")
            return found
        content = b"".join(part for _, part in found.chunks)
        if len(found.chunks) != found.count:
            raise PinError(400, "chunks are missing")
        if self.hash(content) != found.hash:
            raise PinError(400, "the content has another hash")
        if self.head_hash(found.path) != found.hash:
            if self.is_stale(found.path, found.base):
                made = self.conflict(found.device, found.path, found.base, found.hash)
                words = "the file has changed" if self.traps.silent_400 else f"conflict {made.id}: the file has changed"
                raise PinError(400, words)
            self.put(found.path, content, found.device)
        done = replace(found, status="completed")
        self.state.sessions[identifier] = done
        return done
