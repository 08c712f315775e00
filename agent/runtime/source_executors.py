"""The objects that one source runner uses to execute effects."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Struct

from agent.runtime.effect_executor import EffectExecutor

if TYPE_CHECKING:
    from agent.disk.watch.watcher import Watcher


class SourceExecutors(Struct, frozen=True):
    """Executors and callbacks of one source.

    Attributes:
        folder: executes effects on the folder, one after another.
        server: executes effects on the server, each on its own thread. It has its own handle of the folder.
        large: reads large files on a thread of its own. It has its own handle of the folder too.
        transfers: downloads and uploads large contents, each on its own thread. It has its own handle of the folder.
        make_watcher: returns a watcher, or None while the folder is missing. None itself for a single command.
        close: closes the handles of the folder and the index.
        release: closes the handles of the folder until the next use. Returns False if one is in use now.
        on_connection_lost: called on any thread when a poll ended because the connection failed.
    """

    folder: EffectExecutor
    server: EffectExecutor
    large: EffectExecutor
    transfers: EffectExecutor
    make_watcher: Callable[[], Watcher | None] | None
    close: Callable[[], None]
    release: Callable[[], bool]
    on_connection_lost: Callable[[], None]
