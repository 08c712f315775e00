"""Build what a source needs to run: its folder, its engine's configuration, its watcher and its effect handlers."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from agent.core.accepts import Accepts
from agent.core.delete_guard import DeleteGuardLimits
from agent.core.remote_records import RemoteFolder
from agent.core.scope import WHOLE
from agent.disk.apply.downloads import VerifiedDownloads
from agent.disk.fs.protocol import Fs
from agent.disk.root import Root, RootIdentity
from agent.disk.selection.rules import Rules, Selection
from agent.disk.watch.events import ChangedPaths
from agent.disk.watch.watcher import Watcher
from agent.engine import messages as m
from agent.engine.config import EngineConfig, RunMode
from agent.remotes.protocol import Capabilities, ListingCost
from agent.runtime.effect_executor import EffectExecutor, ServerConnection
from agent.runtime.local_folder import LocalFolder
from agent.runtime.local_index_reader import LocalIndexReader
from agent.runtime.source_executors import SourceExecutors
from agent.settings.home import Home
from agent.settings.links import SourceEntry
from agent.settings.settings import Settings

if TYPE_CHECKING:
    from agent.runtime.source_runner import SourceRunner

log = logging.getLogger(__name__)

_DEAR_LISTING_SECONDS: Final = 86_400.0
"""Least time between two verifications where a listing costs a call for each folder or file."""


def rules_of(source: SourceEntry) -> Rules:
    """Return the rules of a source: this machine's patterns, and the folders that the server's preferences choose."""
    preference = source.preference
    return Rules(source.include, source.exclude, WHOLE if preference is None else preference.scope)


def open_folder(fs: Fs, home: Home, source: SourceEntry) -> LocalFolder:
    """Return the folder of a source, for the use of one thread. The caller closes it."""
    expected = None
    if source.root_device is not None and source.root_inode is not None:
        expected = RootIdentity(source.root_device, source.root_inode)
    rules = rules_of(source)
    return LocalFolder(fs, str(source.root), rules, str(home.state_dir), str(source.key), expected, source.source_id)


def engine_config(
    source: SourceEntry,
    settings: Settings,
    run_mode: RunMode,
    capabilities: Capabilities | None,
    *,
    listening: bool = False,
) -> EngineConfig:
    """Return the configuration of a source's engine.

    Args:
        capabilities: features of the server; None before the account was used.
        listening: the server reports changes now.
    """
    # A tenth more or less, so that many agents that started together do not scan and verify together for ever.
    spread = random.SystemRandom().uniform(0.9, 1.1)
    config = EngineConfig(
        source.key,
        source.mode,
        run_mode,
        limits=DeleteGuardLimits(
            settings.brake_min,
            settings.brake_percent / 100,
            settings.brake_total,
            settings.brake_window_minutes * 60.0,
        ),
        quiet=settings.quiet_ms / 1000,
        quiet_most=settings.quiet_max_ms / 1000,
        look_every=settings.full_look_minutes * 60 * spread,
        verify_every=settings.full_look_minutes * 60 * spread,
        long_poll_seconds=settings.poll_wait_seconds,
        listening=listening,
        poll_least=settings.poll_min_seconds,
        poll_most=settings.poll_max_seconds,
        poll_idle=settings.poll_idle_seconds,
        idle_after=settings.poll_idle_after_minutes * 60.0,
    )
    return config if capabilities is None else with_capabilities(config, capabilities)


def with_capabilities(config: EngineConfig, capabilities: Capabilities) -> EngineConfig:
    """Return the configuration for a server with these features."""
    cheap = capabilities.listing is ListingCost.CHEAP
    return replace(
        config,
        verify_every=config.verify_every if cheap else max(config.verify_every, _DEAR_LISTING_SECONDS),
        long_poll=capabilities.long_poll,
        reports_position=capabilities.machines,
        ordered_feed=capabilities.ordered_feed,
        item_results=capabilities.item_results,
        keeps_history=capabilities.keeps_history,
        history=capabilities.history,
        expected_hash=capabilities.expected_hash,
        hides_files=capabilities.hides_files,
        blind_resolve=capabilities.blind_resolve,
        conflict_events=capabilities.conflict_events,
        inline_limit=capabilities.inline_limit,
        resumable_uploads=capabilities.resumable_uploads,
        moves=capabilities.moves,
        state_digest=capabilities.state_digest,
        accepts=Accepts(capabilities.text_only, capabilities.max_bytes),
    )


def source_executors(
    source: SourceEntry,
    runner: SourceRunner,
    open_source_folder: Callable[[], LocalFolder],
    index: LocalIndexReader,
    connect: Callable[[], ServerConnection],
    clock: Callable[[], float],
    on_connection_lost: Callable[[], None],
    has_moved: Callable[[Sequence[RemoteFolder]], bool],
    make_watcher: Callable[[], Watcher | None] | None,
) -> SourceExecutors:
    """Return the executors of a source. Changes, calls, large files and transfers get a handle of the folder each.

    A transfer may hold its handle open for hours, so that it must not be the one of small calls.
    """
    folders = open_source_folder(), open_source_folder(), open_source_folder(), open_source_folder()
    verified = VerifiedDownloads()
    for folder in folders:
        folder.interrupted = lambda: runner.is_stopped
        folder.accepts = lambda: runner.accepts
        folder.verified = verified

    def executor(folder: LocalFolder) -> EffectExecutor:
        return EffectExecutor(
            source.source_id, folder, index, connect, lambda: runner.accepts, clock, runner, has_moved
        )

    def close() -> None:
        for folder in folders:
            folder.close()
        index.close()

    def release() -> bool:
        # Each is released, also after one that is in use.
        released = [folder.release() for folder in folders]
        return all(released)

    return SourceExecutors(
        executor(folders[0]),
        executor(folders[1]),
        executor(folders[2]),
        executor(folders[3]),
        make_watcher,
        close,
        release,
        on_connection_lost,
    )


def make_watcher(fs: Fs, source: SourceEntry, runner: SourceRunner) -> Watcher | None:
    """Return a watcher that posts changed paths to the runner; None while the folder cannot be opened."""

    def post(changed: ChangedPaths) -> None:
        runner.deliver(m.PathsChanged(changed.paths, changed.rescan, changed.finished))

    try:
        root = Root(fs, str(source.root))
    except Exception as error:
        # The next regular scan opens the folder again and then starts a watcher. Until then the state shows the error.
        log.warning("%s cannot be watched: %s", source.root, error)
        return None
    return Watcher(str(source.root), Selection(root, rules_of(source)), post)
