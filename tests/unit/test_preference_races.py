"""Preferences of selective sync that change while another change of theirs is on its way."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from msgspec import structs

from agent.core.model import Mode
from agent.core.remote_records import RemoteFolder
from agent.core.scope import PreferredFolder, SyncPreference
from agent.remotes.protocol import Nudge
from agent.runtime.agent import Agent
from agent.runtime.preferences import Preferences
from agent.settings.links import Registry, SourceEntry

CHOSEN = SyncPreference(selected=(PreferredFolder("f", ("keep",)),))
ENTRY = SourceEntry(1, "drive", "s", "notes", Path("/notes"), Mode.BIDIRECTIONAL, (), (), 0.0, preference=CHOSEN)


class Host:
    """The parts of an agent that preferences need; its source does not run, and no file of it is in step."""

    def __init__(self) -> None:
        self.registry = Registry(sources=(ENTRY,))
        self.links_lock = threading.RLock()
        self.control = SimpleNamespace(call=lambda _question: False)

    def runner(self, _key: int) -> None:
        """No source runs."""

    def change_registry(self, change: Callable[[Registry], Registry]) -> Registry:
        """In memory."""
        self.registry = change(self.registry)
        return self.registry


def test_a_renamed_folder_takes_back_no_newer_preference() -> None:
    """The source is switched off after a rename was seen and before it is applied: both hold afterwards."""
    host = Host()
    preferences = Preferences(cast(Any, host))
    with preferences._lock:
        assert preferences.follow_folders(ENTRY, [RemoteFolder("f", "kept", None)])
        host.registry = Registry(sources=(replace(ENTRY, preference=structs.replace(CHOSEN, enabled=False)),))
    for thread in threading.enumerate():
        if thread.name == "preferences":
            thread.join(60)
    (entry,) = host.registry.sources
    assert entry.preference is not None and not entry.preference.enabled
    assert entry.preference.selected == (PreferredFolder("f", ("kept", "keep")),)


@pytest.mark.parametrize(
    "nudge, refreshed, looked",
    [(Nudge(None), True, True), (Nudge("s"), False, True), (Nudge("s", preferences=True), True, False)],
)
def test_a_new_connection_asks_for_preferences_too(nudge: Nudge, refreshed: bool, looked: bool) -> None:
    """What changed before the server nudges was not reported, of contents and of preferences."""
    done: list[str] = []
    runner = SimpleNamespace(deliver=lambda _message: done.append("looked"))
    agent = SimpleNamespace(
        preferences=SimpleNamespace(refresh_soon=lambda _server: done.append("refreshed")),
        registry=Registry(sources=(ENTRY,)),
        _runners={1: runner},
    )
    Agent._on_nudge(cast(Any, agent), "drive", nudge)
    assert done == ["refreshed"] * refreshed + ["looked"] * looked
