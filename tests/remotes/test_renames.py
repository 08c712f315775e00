"""A rename on a server whose dialect has no word for it that the agent sends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from agent.core.events import Delete, Upsert
from hub.pinakes_world import PinakesHubWorld
from plain_dialect.household import Household
from remotes.fixtures import hub_world, strict_world
from remotes.suite.world import World
from strict_pinakes.world import PinakesWorld

WORLDS: dict[str, Callable[[], World]] = {
    "raven on the hub": hub_world,
    "strict raven": strict_world,
    "pinakes on the hub": lambda: PinakesHubWorld("sha256"),
    "strict pinakes": PinakesWorld,
}


@pytest.mark.parametrize("name", WORLDS)
def test_a_rename_without_moves_is_a_new_file_and_a_delete(tmp_path: Path, name: str) -> None:
    """The new name is there before the old one goes, so that no machine is without the text."""
    world = WORLDS[name]()
    home = Household(world, tmp_path)
    assert not world.can.moves
    (home.root / "old.md").write_text("a text of more than sixteen bytes")
    home.sync()
    _, state = world.drain()
    (home.root / "old.md").rename(home.root / "new.md")
    home.sync()
    events = [each for each in world.drain(state)[0] if isinstance(each, Upsert | Delete)]
    assert [(type(each), each.path) for each in events] == [(Upsert, "new.md"), (Delete, "old.md")]
    assert home.files() == world.held() == {"new.md": b"a text of more than sixteen bytes"}
    home.close()
    world.close()
