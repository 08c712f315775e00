"""What the server's list of devices proves about their positions."""

from __future__ import annotations

from dataclasses import replace

from strict_pinakes.state import PinTraps
from strict_pinakes.world import PinakesWorld


def test_a_server_that_runs_ahead_tells_no_machines_position() -> None:
    """Its own record of a position may lie beyond the feed. Then nothing is said about who is behind."""
    world = PinakesWorld(replace(PinTraps(), ack_ahead=True))
    try:
        world.put("a.md", "A\n")
        _, state = world.drain()
        world.clock.now += 61
        world.remote.pull(world.source, state, 0.0, world.clock.now)
        listing = world.remote.machine_list
        assert listing is not None
        assert [(each.name, each.is_current) for each in listing.machines(world.source)] == [("laptop", None)]
    finally:
        world.close()
