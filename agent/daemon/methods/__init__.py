"""Every method of the agent, by name: the daemon's socket and a session in the command's own process answer alike."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, Final

from agent.core.errors import UsageError
from agent.daemon.agent import Agent
from agent.daemon.methods import accounts, conflicts, doctor, links, looking, settings, syncing, versions
from agent.daemon.methods.common import Params

METHODS: Final[dict[str, Callable[[Agent, Params], Any]]] = {
    "status": looking.status,
    "progress": looking.progress,
    "servers": looking.servers,
    "files": looking.files,
    "explain": looking.explain,
    "activity": looking.activity,
    "login": accounts.login,
    "logout": accounts.logout,
    "ensure_local_hub": accounts.ensure_local_hub,
    "sources": links.sources,
    "link": links.link,
    "unlink": links.unlink,
    "move": links.move,
    "rules": links.rules,
    "sync": syncing.sync,
    "retry": syncing.retry,
    "pause": syncing.pause,
    "resume": syncing.resume,
    "conflicts": conflicts.conflicts,
    "diff": conflicts.diff,
    "resolve": conflicts.resolve,
    "history": versions.history,
    "restore": versions.restore,
    "trash": versions.trash,
    "trash_prune": versions.trash_prune,
    "doctor": doctor.doctor,
    "reload": settings.reload,
}

ARRANGING: Final = frozenset({"link", "unlink", "move", "rules", "login", "logout"})
"""Methods that make or change accounts and links: one at a time."""

FOLLOWED: Final[dict[str, str]] = {"status_watch": "status", "activity_follow": "activity"}
"""Methods that answer document after document, and the method each document comes from."""


def call(agent: Agent, method: str, params: Params) -> Any:
    """Answer one method.

    Raises:
        AgentError: what was refused, and why.
    """
    handler = METHODS.get(method)
    if handler is None:
        raise UsageError(
            f"this agent knows no method {method!r}", "the command and the running agent differ in version"
        )
    with agent.arranging if method in ARRANGING else contextlib.nullcontext():
        return handler(agent, params)
