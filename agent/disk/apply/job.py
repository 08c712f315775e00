"""One intent while it is carried out."""

from __future__ import annotations

from msgspec import Struct, field

from agent.core import paths
from agent.core.model import ApplyOutcome, Intent, Observation
from agent.core.supply import Inline, Staged, Supply
from agent.disk.scan.digest import Digest, text_reason, xxh3


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

    @property
    def is_done(self) -> bool:
        """True if it was carried out."""
        return self.outcome is ApplyOutcome.DONE

    @property
    def is_creation(self) -> bool:
        """True if a new file is expected where no file is."""
        return self.intent.new is not None and self.intent.expected is None

    @property
    def order(self) -> tuple[bool, str]:
        """Sort key: removals first, because they make room, then folder by folder."""
        return (self.intent.new is not None, paths.parent_of(self.intent.path))
