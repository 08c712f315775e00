"""What an engine is told of its source before it begins, and how it behaves."""

from __future__ import annotations

import enum

from msgspec import Struct, field

from agent.core import defaults
from agent.core.delete_guard import BrakeLimits
from agent.core.model import Mode


class RunMode(enum.Enum):
    """Whether the engine stays."""

    DAEMON = "follow"
    """A daemon: wait on the feed, look again after racy files settle."""
    ONE_SHOT = "once"
    """A single pass: nothing is waited for that is not needed to come to rest."""
    DRY_RUN = "observe"
    """A single look at both sides that changes neither."""


class EngineConfig(Struct, frozen=True):
    """What is configured for one source, and what its server can do. Times in seconds.

    Attributes:
        source: the registry's key.
        long_poll, ordered_feed, item_results, keeps_history, expected_hash: see remotes.protocol.Capabilities.
        quiet, quiet_most: how long a changed file must rest before it is looked at, and the longest it can delay that.
        long_poll_seconds: longest wait of one poll; 0 polls at intervals although the server could wait.
        poll_least, poll_most, poll_idle: time between polls without a long poll: right after activity, a while after
            it, and ``idle_after`` it.
        batch_items, batch_bytes: how much one batch may hold; so many bytes of text mostly fit into one request, and
            several batches on their way hold no more in memory than a few requests.
        batches: how many may be on their way at once where the feed is ordered; elsewhere it is one.
        group_items: how many changes of the folder are made together.
        next_items: how many texts must wait until their group is journalled while another is still being made.
    """

    source: int
    mode: Mode
    run_mode: RunMode = RunMode.DAEMON
    long_poll: bool = False
    ordered_feed: bool = False
    item_results: bool = False
    keeps_history: bool = False
    expected_hash: bool = False
    limits: BrakeLimits = field(default_factory=BrakeLimits)
    quiet: float = defaults.QUIET_MS / 1000
    quiet_most: float = defaults.QUIET_MAX_MS / 1000
    look_every: float = defaults.FULL_LOOK_MINUTES * 60.0
    verify_every: float = defaults.FULL_LOOK_MINUTES * 60.0
    long_poll_seconds: float = defaults.POLL_WAIT_SECONDS
    poll_least: float = defaults.POLL_MIN_SECONDS
    poll_most: float = defaults.POLL_MAX_SECONDS
    poll_idle: float = defaults.POLL_IDLE_SECONDS
    idle_after: float = defaults.POLL_IDLE_AFTER_MINUTES * 60.0
    batch_items: int = 100
    batch_bytes: int = 3 << 18
    batches: int = 4
    group_items: int = 2000
    next_items: int = 500
