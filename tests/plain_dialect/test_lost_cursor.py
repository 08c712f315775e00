"""A whole agent whose server forgets its position in the feed: nothing is lost, and nothing is deleted by mistake."""

from __future__ import annotations

from agent.engine import effects as e
from plain_dialect.household import SOURCE, Household
from plain_dialect.world import PlainWorld

LARGE = "a large content of forty bytes, or so it is"


def synced(home: Household, world: PlainWorld, count: int = 4) -> dict[str, bytes]:
    """Files on both sides, after a first pass."""
    for number in range(count):
        world.put(f"d/{number}.md", f"text {number}")
    home.sync()
    assert home.files() == world.held()
    return home.files()


def test_the_feed_is_read_anew_and_bases_stay(home: Household, world: PlainWorld) -> None:
    """Edits of both sides made meanwhile arrive as edits; no conflict opens, and nothing is sent twice."""
    synced(home, world)
    world.put("d/0.md", "edited there")
    world.put("new.md", LARGE)
    (home.root / "d/1.md").write_text("edited here")
    world.server.cut_log()
    home.sync()
    wanted = {
        "d/0.md": b"edited there", "d/1.md": b"edited here", "d/2.md": b"text 2", "d/3.md": b"text 3",
        "new.md": LARGE.encode(),
    }  # fmt: skip
    assert home.files() == world.held() == wanted
    assert home.index.conflicts.live(SOURCE) == []
    assert [line.what for line in home.index.activity.entries([SOURCE], 0, 100)].count("feed_restarted") == 1
    home.sync()
    assert home.files() == world.held() == wanted


def test_a_missing_file_is_deleted_after_two_listings(home: Household, world: PlainWorld) -> None:
    """The first listing that lacks it deletes nothing (FC3)."""
    synced(home, world)
    world.remove("d/0.md")
    world.server.cut_log()
    home.sync()
    assert home.files() == world.held() and "d/0.md" not in home.files()
    listings = [number for number, effect in enumerate(home.done) if isinstance(effect, e.FetchListing)]
    removed = [
        number
        for number, effect in enumerate(home.done)
        if isinstance(effect, e.ApplyChanges) and effect.jobs[0][0].path == "d/0.md" and effect.jobs[0][0].new is None
    ]
    restarted = [n for n, effect in enumerate(home.done) if isinstance(effect, e.Poll) and effect.state is None][-1]
    assert len([at for at in listings if restarted < at < removed[0]]) == 2


def test_many_missing_files_wait_for_a_person(home: Household, world: PlainWorld) -> None:
    """The delete guard judges them like any other deletes (FC3)."""
    before = synced(home, world, 60)
    for number in range(50):
        world.remove(f"d/{number}.md")
    world.server.cut_log()
    home.sync()
    assert home.files() == before
    assert home.engine.held is not None and len(home.engine.held.files) == 50


def test_an_upload_under_way_goes_on(home: Household, world: PlainWorld) -> None:
    """Its base stays, and its chunks are not sent again."""
    synced(home, world)
    (home.root / "up.md").write_text(LARGE)
    world.interrupt_chunks(3)
    home.sync(killed_by=e.Send)
    world.put("other.md", "x")
    world.server.cut_log()
    home.restart()
    home.sync()
    assert home.files() == world.held()
    assert sum(request.method == "PUT" for request in world.requests) == -(-len(LARGE) // 8)


def test_a_server_that_forgets_always_is_asked_rarely(home: Household, world: PlainWorld) -> None:
    """The feed is read from its beginning once in ten minutes; a later loss in between is a failure to be seen."""
    synced(home, world)
    world.put("once.md", "x")
    world.server.cut_log()
    home.sync()
    assert "once.md" in home.files()
    world.put("again.md", "x")
    world.server.cut_log()
    home.sync()
    starts = [effect for effect in home.done if isinstance(effect, e.Poll) and effect.state is None]
    assert len(starts) == 2
    assert home.engine.trouble is not None
    assert "again.md" not in home.files()
    world.clock.now += 700
    home.sync()
    assert home.files() == world.held()
