"""Every method of the agent, by name: the daemon's socket and a session in the command's own process answer alike."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, Final

from agent.api.context import ApiContext
from agent.api.methods import accounts, conflicts, doctor, history, links, settings, status, sync
from agent.api.methods.common import Params
from agent.core.errors import UsageError
from agent.runtime.agent import Agent

METHODS: Final[dict[str, Callable[[Agent, Params], Any]]] = {
    "progress": status.progress,
    "servers": status.servers,
    "files": status.files,
    "explain": status.explain,
    "activity": status.activity,
    "login": accounts.login,
    "logout": accounts.logout,
    "ensure_local_hub": accounts.ensure_local_hub,
    "sources": links.sources,
    "link": links.link,
    "unlink": links.unlink,
    "move": links.move,
    "rules": links.rules,
    "sync": sync.sync,
    "retry": sync.retry,
    "pause": sync.pause,
    "resume": sync.resume,
    "conflicts": conflicts.conflicts,
    "diff": conflicts.diff,
    "resolve": conflicts.resolve,
    "history": history.history,
    "restore": history.restore,
    "trash": history.trash,
    "trash_prune": history.trash_prune,
}

CONTEXT_METHODS: Final[dict[str, Callable[[ApiContext, Params], Any]]] = {
    "status": status.status,
    "doctor": doctor.doctor,
    "reload": settings.reload,
}
"""Methods that also need the provisioner."""

CHANGES_LINKS: Final = frozenset({"link", "unlink", "move", "rules", "login", "logout"})
"""Methods that make or change accounts and links: one at a time."""

FOLLOWED: Final[dict[str, str]] = {"status_watch": "status", "activity_follow": "activity"}
"""Methods that answer document after document, and the method each document comes from."""


def call(context: ApiContext, method: str, params: Params) -> Any:
    """Answer one method.

    Raises:
        AgentError: what was refused, and why.
    """
    if method in CONTEXT_METHODS:
        return CONTEXT_METHODS[method](context, params)
    handler = METHODS.get(method)
    if handler is None:
        raise UsageError(
            f"this agent knows no method {method!r}", "the command and the running agent differ in version"
        )
    with context.agent.links_lock if method in CHANGES_LINKS else contextlib.nullcontext():
        return handler(context.agent, params)
