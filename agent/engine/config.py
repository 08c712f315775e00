"""Configuration of one engine."""

from __future__ import annotations

import enum

from msgspec import Struct, field

from agent.core import defaults
from agent.core.accepts import TEXT, Accepts
from agent.core.delete_guard import DeleteGuardLimits
from agent.core.model import Mode


class RunMode(enum.Enum):
    """The life of an engine: one pass or a daemon, and its right to change anything."""

    DAEMON = "follow"
    """A daemon: wait for the feed, scan racy files again."""
    ONE_SHOT = "once"
    """A single pass: wait only for what the pass needs."""
    DRY_RUN = "observe"
    """Read both sides once and change neither."""


class EngineConfig(Struct, frozen=True):
    """Settings of one source and capabilities of its server. Times in seconds, sizes in bytes.

    Attributes:
        source: the source's key in the registry.
        long_poll, ordered_feed, item_results, keeps_history, history, expected_hash, hides_files, blind_resolve,
            conflict_events, inline_limit, resumable_uploads, moves, state_digest: see remotes.protocol.Capabilities.
            Before the server states its features, the engine assumes that it has none of them.
        reports_position: the server learns from a poll how far this machine has come.
        accepts: the contents that the server takes, as far as it states that.
        quiet, quiet_most: quiet time before a changed file is scanned, and the longest delay by further changes.
        deletes_quiet, deletes_quiet_most: the same before due deletes are judged.
        long_poll_seconds: longest wait of one poll; 0 polls at intervals although the server could wait.
        listening: the server reports changes as they happen, so that polls at intervals are rare.
        look_every, verify_every: time between whole scans and between verifications.
        poll_least, poll_most, poll_idle: time between polls without a long poll: right after an event, a while after
            it, and ``idle_after`` it.
        batch_items, batch_bytes: limits of one batch. This many bytes of text mostly fit into one request.
        batches: batches in flight at once on a server with an ordered feed; one on others.
        fetches, uploads: contents over the inline limit that are downloaded and uploaded at once, beside the batches.
        group_items: changes of the folder made together.
        next_items: waiting texts from which on a second group is journalled while the first is being made.
    """

    source: int
    mode: Mode
    run_mode: RunMode = RunMode.DAEMON
    long_poll: bool = False
    ordered_feed: bool = False
    item_results: bool = False
    keeps_history: bool = False
    history: bool = False
    expected_hash: bool = False
    hides_files: bool = False
    blind_resolve: bool = False
    conflict_events: bool = False
    inline_limit: int | None = None
    resumable_uploads: bool = False
    moves: bool = False
    state_digest: bool = False
    reports_position: bool = False
    accepts: Accepts = TEXT
    limits: DeleteGuardLimits = field(default_factory=DeleteGuardLimits)
    quiet: float = defaults.QUIET_MS / 1000
    quiet_most: float = defaults.QUIET_MAX_MS / 1000
    deletes_quiet: float = 1.0
    deletes_quiet_most: float = 30.0
    look_every: float = defaults.FULL_LOOK_MINUTES * 60.0
    verify_every: float = defaults.FULL_LOOK_MINUTES * 60.0
    long_poll_seconds: float = defaults.POLL_WAIT_SECONDS
    listening: bool = False
    poll_least: float = defaults.POLL_MIN_SECONDS
    poll_most: float = defaults.POLL_MAX_SECONDS
    poll_idle: float = defaults.POLL_IDLE_SECONDS
    idle_after: float = defaults.POLL_IDLE_AFTER_MINUTES * 60.0
    batch_items: int = 100
    batch_bytes: int = 3 << 18
    batches: int = 4
    fetches: int = 4
    uploads: int = 4
    group_items: int = 2000
    next_items: int = 500

    def is_large(self, size: int) -> bool:
        """Return True if a content of this size travels as a transfer of its own."""
        return self.inline_limit is not None and size > self.inline_limit
