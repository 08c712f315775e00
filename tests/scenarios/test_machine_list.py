"""What the machines of a source tell each other, through a hub, about how far they have come."""

from __future__ import annotations

from scenarios.conftest import Machines
from support.servers import HubServer


def test_a_machine_is_listed_by_what_it_has_applied(machine: Machines, shared_hub: HubServer) -> None:
    """A status without an agent reads the changes of others and applies none; an unlinked machine syncs nothing."""
    one, two = machine("one"), machine("two")
    one.login(shared_hub)
    two.login(shared_hub)
    one.write("a.md", "a\n")
    source = one.link()
    one.sync(code=0)
    two.run("link", two.folder, "--source", source, "--wait")
    two.sync(code=0)

    def other() -> list[tuple[str, int | None]]:
        (listed,) = one.json("status", "--machines")["machines"]
        return [(each["state"], each["behind"]) for each in listed["machines"] if not each["this_machine"]]

    assert other() == [("up_to_date", 0)]
    one.write("b.md", "b\n")
    one.sync(code=0)
    for _ in range(2):
        assert two.json("status", "--check", code=7)["sources"][0]["pending_pull"] == 1
    assert other() == [("behind", 1)]
    two.sync(code=0)
    assert other() == [("up_to_date", 0)]
    assert two.run("unlink", two.folder).code == 0
    assert other() == []
