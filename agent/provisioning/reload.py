"""Reload settings and declarations while the agent runs."""

from __future__ import annotations

import logging
from dataclasses import fields
from typing import Final

from msgspec import Struct

from agent.core.errors import AgentError
from agent.engine import messages as m
from agent.provisioning.apply import Provisioner
from agent.runtime.agent import Agent
from agent.settings.config_file import load_settings
from agent.settings.credentials import CredentialStore
from agent.settings.declarations import read_home
from agent.settings.settings import Settings

log = logging.getLogger(__name__)

AT_THE_NEXT_START: Final = frozenset({"hub_port", "hub_token_days", "ui_port", "log_format", "server_url", "workspace"})
"""Settings that a running agent cannot change."""


class Reloaded(Struct, frozen=True):
    """The result of a reload.

    Attributes:
        ok: everything was read and is valid; otherwise the old values stay where a new one is in doubt.
        message: one sentence.
        changed: settings that are in effect now.
        waiting: changed settings that take effect at the next start.
    """

    ok: bool
    message: str
    changed: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()


def reload(agent: Agent, provisioner: Provisioner) -> Reloaded:
    """Read settings and declarations again and apply them.

    Waits for no network and raises nothing: invalid files change nothing. From any thread but the control thread.
    """
    try:
        settings = load_settings(agent.home, agent.env)
        wanted = read_home(agent.home)
    except AgentError as error:
        return Reloaded(False, f"nothing is changed: {error.message}")
    except Exception as error:
        log.exception("the configuration could not be read")
        return Reloaded(False, f"nothing is changed: {error!r}")
    different = _different(agent.settings, settings)
    changed = tuple(name for name in different if name not in AT_THE_NEXT_START)
    waiting = tuple(name for name in different if name in AT_THE_NEXT_START)
    _apply(agent, settings, changed)
    provisioner.set_desired(wanted)
    words = [f"changed: {', '.join(changed)}"] if changed else []
    words += [f"from the next start on: {', '.join(waiting)}"] if waiting else []
    words += [f"[[{r.kind}]] {r.name} in {r.file} is refused: {r.message}" for r in wanted.refusals]
    return Reloaded(
        not wanted.refusals,
        "; ".join(words) or f"reloaded, no changes; {len(wanted.servers) + len(wanted.sources)} declared",
        changed,
        waiting,
    )


def _different(before: Settings, after: Settings) -> list[str]:
    return [f.name for f in fields(Settings) if getattr(before, f.name) != getattr(after, f.name)]


def _apply(agent: Agent, settings: Settings, changed: tuple[str, ...]) -> None:
    agent.settings = settings
    agent.credentials = CredentialStore(agent.home, settings, agent.env)
    if "log_level" in changed:
        logging.getLogger().setLevel(logging.getLevelNamesMapping()[settings.log_level.upper()])
    if "hub_listen" in changed:
        agent.hub.use_door(settings.hub_listen)
    if "machine_name" in changed:
        agent.hub.use_name(settings.machine_name)
    if {"ca_file", "heartbeat_seconds", "credentials", "machine_name"} & set(changed):
        for server in agent.registry.servers:
            agent.drop_server(server.name)
    for source in agent.registry.sources:
        runner = agent.runner(source.key)
        if runner is not None:
            setup = agent.engine_config(source, runner.config.run_mode)
            agent.control.post(lambda runner=runner, setup=setup: runner.configure(setup))  # type: ignore[misc]
            # A token that was refused may have been replaced.
            runner.deliver(m.Retry(()))
