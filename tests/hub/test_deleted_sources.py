"""A deleted source is unknown to every API; the account of another API is not deleted."""

from __future__ import annotations

from agent.hub.domain.ports import Growth
from hub.fixtures import WORKSPACE, InProcess, upsert


def test_a_deleted_source_is_unknown_by_id_and_by_number(hub: InProcess) -> None:
    """Neither a request nor a file's id leads to it, and the other sources stay."""
    gone, kept = hub.source(), hub.source()
    for source in (gone, kept):
        hub.push(source, upsert("a.md", "one"))
    with hub.store.read() as session:
        found = session.source(WORKSPACE, gone)
        assert found is not None
        number = found.number
    assert hub.ok("sources/delete", sourceId=gone)["status"] == "deleted"
    for endpoint in ("sources/deltas", "sources/files", "sources/delete", "sources/conflicts"):
        assert hub.refused(endpoint, sourceId=gone) == (404, "Local sync source not found")
    with hub.store.read() as session:
        assert session.source_by_number(WORKSPACE, number) is None
    assert [source["id"] for source in hub.ok("sources/list")] == [kept]
    assert hub.text(kept, "a.md") == "one"


def test_the_account_of_pinakes_clients_is_not_deleted(hub: InProcess) -> None:
    """They would see the files of another source in its place, as if theirs had been deleted."""
    source = hub.source()
    with hub.store.write(Growth.SMALL) as session:
        found = session.source(WORKSPACE, source)
        assert found is not None
        session.locked_account(WORKSPACE)
        session.save_account(WORKSPACE, found.number)
    status, message = hub.refused("sources/delete", sourceId=source)
    assert status == 400 and "archive it instead" in message
    assert hub.ok("sources/archive", sourceId=source)["status"] == "archived"
