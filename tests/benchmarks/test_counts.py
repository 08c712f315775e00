"""What goes over the wire follows the change: counted, not timed."""

from __future__ import annotations

from benchmarks.conftest import Machines
from benchmarks.tree import Shape, plant, text, texts
from support.servers import HubServer

SHAPE = Shape(files=300, folders=10, size=1024)


def test_each_file_is_sent_once_in_full_batches_and_nothing_when_nothing_changed(
    machines: Machines, hub: HubServer
) -> None:
    """300 new files are 3 pushes of 100 operations; an unchanged folder is none; 7 edits are one push of 7; a machine
    that joins pulls the 300 and pushes nothing back.
    """
    one, other = machines("counted"), machines("joined")
    content = texts(SHAPE, seed=1)
    plant(one.home.folder, content)
    first = one.up_once()
    assert (first["state"], first["pushed"], first["skipped"], first["errors"]) == ("up_to_date", 300, [], [])
    assert one.relay.counted().batches == [100, 100, 100]

    assert one.up_once()["pushed"] == 0
    unchanged = one.relay.counted()
    assert unchanged.batches == []
    assert unchanged.requests < 10

    edited = {SHAPE.path(number): text(number, SHAPE.size, seed=2) for number in range(7)}
    plant(one.home.folder, edited)
    assert one.up_once()["pushed"] == 7
    assert one.relay.counted().batches == [7]

    other.join(first["id"])
    joined = other.relay.counted()
    assert other.home.texts() == content | edited
    assert joined.batches == []
    assert joined.endpoints["file"] == 0
    assert joined.requests < 12
    assert len(hub.hashes(first["id"])) == SHAPE.files
