"""Late writes: what a program writes to a file after the agent moved it to the trash comes back into the folder."""

from __future__ import annotations

import logging
from functools import partial
from shlex import quote
from typing import Final

from agent.api.methods.common import RequestRefused, opened_folder
from agent.core.errors import AgentError
from agent.disk.apply.late_writes import LateWrite, accept, find_late_writes
from agent.engine import messages as m
from agent.index.activity import ActivityKind
from agent.runtime.agent import Agent
from agent.runtime.source_runner import SourceRunner
from agent.settings.links import SourceEntry

log = logging.getLogger(__name__)

_TRIES: Final = 3
_WAIT_SECONDS: Final = 30.0
"""Longest wait for a file that is busy; each try may take as long."""


def install(agent: Agent, runner: SourceRunner, source: SourceEntry, message: m.Restore) -> None:
    """Have the engine put a version in place, and wait for the outcome.

    Raises:
        RequestRefused: the file is still another after several tries.
    """
    whole = source.root / message.path
    if not _try_restore(agent, runner, source, message):
        raise RequestRefused(f"{whole} could not be restored", f"raven-agent explain {quote(str(whole))}")


def remove_file(agent: Agent, runner: SourceRunner, source: SourceEntry, path: str, expected: str | None) -> None:
    """Have the engine move the file into the trash, if it is the version ``expected``, and wait for the outcome.

    Raises:
        RequestRefused: the file is another one, or still there after several tries.
    """
    if _local_hash(agent, source, path) != expected or not _try_restore(agent, runner, source, m.Restore(path, None)):
        raise RequestRefused(
            f"{source.root / path} could not be removed", f"raven-agent explain {quote(str(source.root / path))}"
        )


def _try_restore(agent: Agent, runner: SourceRunner, source: SourceEntry, message: m.Restore) -> bool:
    """Send the message until the path holds its version. Return False after the last try."""
    path, digest = message.path, message.hash

    def at_rest() -> bool:
        return not runner.engine.is_busy(path)

    for _ in range(_TRIES):
        runner.when(at_rest).result(_WAIT_SECONDS)
        # A file that is busy again by now ignores the message; the next try repeats it.
        agent.control.call(lambda: runner.tell(message))
        runner.when(at_rest).result(_WAIT_SECONDS)
        if _local_hash(agent, source, path) == digest:
            return True
    return False


def _local_hash(agent: Agent, source: SourceEntry, path: str) -> str | None:
    return agent.control.call(lambda: agent.index.trees.get(source.key, [path])[path].local.hash)


def rescue_late_writes(agent: Agent, source: SourceEntry) -> int:
    """Put each late version into the folder under a name of its own, and correct its trash entry.

    Returns the number of entries that a program may still change.

    Raises:
        AgentError, OSError: the folder or its trash cannot be used now. A later call repeats the rescue.
    """
    with opened_folder(agent, source) as folder:
        found = list(find_late_writes(agent.fs, folder.trash, agent.clock()))
    for late in found:
        rescued = _rescue(agent, source, late)
        with opened_folder(agent, source) as folder:
            accept(agent.fs, folder.trash, late)
        detail = f"written after the file was moved to the trash; kept as {rescued}"
        line = (late.entry.path, ActivityKind.LATE_WRITE, detail, None)
        agent.control.call(partial(agent.index.activity.append, source.key, agent.clock(), [line]))
        log.warning("%s: %s", source.root / late.entry.path, detail)
    with opened_folder(agent, source) as folder:
        return sum(1 for _ in folder.trash.watched())


def rescue_quietly(agent: Agent, source: SourceEntry) -> None:
    """Rescue late versions as far as possible now; what fails is tried again later and is only logged."""
    try:
        rescue_late_writes(agent, source)
    except (AgentError, OSError) as error:
        log.debug("late writes of %s cannot be rescued now: %s", source.root, error)


def _rescue(agent: Agent, source: SourceEntry, late: LateWrite) -> str:
    """Return where the late version is: its path in the folder, or the trash if it cannot be put into the folder."""
    in_trash = f"trash entry {late.entry.id}"
    linked = any(one.key == source.key for one in agent.registry.sources)
    if late.content is None or not linked or late.entry.path.startswith("recovered/"):
        return in_trash
    runner = agent.runner(source.key) or agent.start_source(source)
    try:
        install(agent, runner, source, m.Restore(late.rescue_path, late.content))
    except RequestRefused:
        # The folder excludes such a name, for example. The bytes stay in the trash, under their own hash.
        return in_trash
    return late.rescue_path
