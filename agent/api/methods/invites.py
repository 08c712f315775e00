"""invite: one line of text with which another machine joins the embedded hub."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from typing import Any, Final

from agent.api.context import ApiContext
from agent.api.schema.invites import InviteDocument, InviteParams
from agent.core.errors import AgentError, NotRunning, UsageError
from agent.process.environment import child_environment
from agent.process.relaunch import self_command

_SECONDS: Final = 60.0
_USAGE: Final = "usage"


class InviteFailed(AgentError):
    """The hub gave no invite."""

    code = "hub"


def invite(context: ApiContext, params: InviteParams) -> InviteDocument:
    """Have the embedded hub listen for other machines, and make an invite that works once, within 10 minutes.

    The command ``hub invite`` does it in a process of its own: the agent opens no database of the hub.

    Raises:
        NotRunning: no daemon runs, so no machine could join.
        UsageError: an address cannot be used.
        InviteFailed: the hub does not start, or cannot listen.
    """
    if context.dashboard is None:
        raise NotRunning("no agent runs, so no machine could join", "raven-agent hub invite")
    before = context.agent.settings.hub_listen
    words = [f"--{name}={value}" for name, value in (("listen", params.listen), ("url", params.url)) if value]
    found = _asked(words, context.agent.env)
    listen = context.agent.settings.hub_listen
    return InviteDocument(
        invite=found["invite"],
        join=found["join"],
        expires_at=found["expires_at"],
        addresses=list(found["addresses"]),
        only_here=bool(found["only_here"]),
        listen=listen,
        opened=bool(listen) and listen != before,
    )


def _asked(words: list[str], env: Mapping[str, str]) -> Mapping[str, Any]:
    command = [*self_command(), "hub", "invite", "--json", *words]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
            env=child_environment(env),
        )
    except subprocess.TimeoutExpired as error:
        raise InviteFailed("the hub gave no invite in time", "raven-agent hub invite") from error
    if done.returncode != 0:
        raise refusal(done.stderr)
    found: Mapping[str, Any] = json.loads(done.stdout)
    return found


def refusal(text: str) -> AgentError:
    """Return the error that the command reported as JSON on stderr."""
    try:
        error = json.loads(text)["error"]
        code, message, hint = error["code"], str(error["message"]), error["hint"]
    except (ValueError, KeyError, TypeError):
        return InviteFailed("the hub gave no invite", "raven-agent hub invite")
    return (UsageError if code == _USAGE else InviteFailed)(message, hint)
