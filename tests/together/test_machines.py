"""How far each machine of a source has come, as each dialect tells it."""

from __future__ import annotations

from typing import Any

import pytest

from together.machines import Together, TogetherHome

pytestmark = pytest.mark.long


def seen_by(home: TogetherHome) -> dict[str, Any]:
    """The machines of the only source, this one and the number of the others by their states."""
    (source,) = home.json("status", home.folder, "--machines")["machines"]
    assert (source["known"], source["message"]) == (True, None)
    own = [machine for machine in source["machines"] if machine["this_machine"]]
    others = [machine for machine in source["machines"] if not machine["this_machine"]]
    assert all(machine["seen_at"] and machine["reached_at"] for machine in source["machines"])
    return {"own": [machine["state"] for machine in own], "others": sorted(machine["state"] for machine in others)}


def test_each_dialect_tells_who_is_behind(together: Together) -> None:
    """Raven's face knows every machine of the hub, the other two those that speak their own dialect."""
    together.raven.write("a.md", "a\n")
    together.sync()
    together.raven.write("b.md", "b\n")
    together.raven.sync()
    assert seen_by(together.raven) == {"own": ["up_to_date"], "others": ["behind", "behind"]}
    assert seen_by(together.drive) == {"own": ["behind"], "others": []}
    assert seen_by(together.pinakes) == {"own": ["behind"], "others": []}
    behind = together.raven.json("status", "--machines")["machines"][0]["machines"]
    assert [machine["behind"] for machine in behind] == [0, 1, 1]
    shown = together.raven.run("status", "--machines").out
    assert "(this machine)" in shown and "all but 1 change" in shown and "is behind; if it stays so" in shown
    together.once(together.drive, together.pinakes)
    assert seen_by(together.raven) == {"own": ["up_to_date"], "others": ["up_to_date", "up_to_date"]}
    assert "every machine has every change" in together.raven.run("status", "--machines").out
    assert seen_by(together.drive)["own"] == seen_by(together.pinakes)["own"] == ["up_to_date"]
    assert "machines" not in together.raven.json("status")
