"""One intent while it is carried out."""

from __future__ import annotations

from msgspec import Struct, field

from agent.core import paths
from agent.core.accepts import Accepts
from agent.core.model import ApplyOutcome, Intent, Observation
from agent.core.supply import Inline, Staged, Supply
from agent.disk.apply.target import Target
from agent.disk.fs.protocol import Fs
from agent.disk.scan.digest import Digest, text_reason, xxh3
from agent.disk.scan.observe import fingerprint_of, side_of_digest


class ApplyJob(Struct):
    """An intent, the place of its bytes and what is known about it so far.

    Attributes:
        now: seconds since the epoch.
        size: bytes of the new file, once it is known.
        digest: of the new file, once it is known; ``new_digest`` computes that of bytes in memory.
        inode, mtime_ns: of the new file, once it is written.
        outcome: None while it is undecided.
        text: the reason of an outcome other than DONE.
        seen: the observation of the path after the change, where it is known without another look.
        made: folders created for it, outermost first.
    """

    intent: Intent
    supply: Supply
    now: float
    size: int | None = None
    digest: Digest | None = None
    inode: int | None = None
    mtime_ns: int | None = None
    outcome: ApplyOutcome | None = None
    text: str | None = None
    seen: Observation | None = None
    made: list[str] = field(default_factory=list)

    def decide(self, outcome: ApplyOutcome, text: str | None = None) -> None:
        """Set the outcome and its reason."""
        self.outcome, self.text = outcome, text

    @property
    def download(self) -> str | None:
        """The download that becomes the new file; None if the bytes come from elsewhere."""
        return self.supply.transfer if isinstance(self.supply, Staged) else None

    def new_digest(self) -> Digest:
        """Return the digest of the new file, whose bytes are known by now."""
        if self.digest is None:
            assert isinstance(self.supply, Inline)
            content = self.supply.content
            self.digest = Digest(xxh3(content), self.intent.new, len(content), text_reason(content))
        return self.digest

    def observe_new(self, fs: Fs, target: Target, accepts: Accepts) -> Observation | None:
        """Return the observation of the new file without reading it again; None if another file is there by now."""
        if self.intent.new is None:
            return None
        try:
            found = fs.stat(target.folder, target.name)
            now_ns = fs.now_ns(target.folder)
        except OSError:
            return None
        if (found.inode, found.size, found.mtime_ns) != (self.inode, self.size, self.mtime_ns):
            return None
        digest = self.new_digest()
        side = side_of_digest(self.intent.path, digest, accepts)
        return Observation(self.intent.path, side, fingerprint_of(found, digest.xxh3, now_ns))

    @property
    def is_done(self) -> bool:
        """True if it was carried out."""
        return self.outcome is ApplyOutcome.DONE

    @property
    def is_creation(self) -> bool:
        """True if a new file is expected where no file is."""
        return self.intent.new is not None and self.intent.expected is None and self.intent.origin is None

    @property
    def is_move(self) -> bool:
        """True if a file of the folder is renamed to a path where no file is."""
        return self.intent.origin is not None

    @property
    def order(self) -> tuple[bool, str]:
        """Sort key: removals first, because they make room, then folder by folder."""
        return (self.intent.new is not None, paths.parent_of(self.intent.path))
