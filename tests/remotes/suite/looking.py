"""Promises about looking: the listing, heads, histories."""

from __future__ import annotations

from agent.core.remote_records import RemoteFile
from remotes.suite.world import World, needs, sha


def listed(world: World) -> dict[str, RemoteFile]:
    """The listing by path; no path is named twice."""
    rows = [file for page in world.remote.listing(world.source) for file in page]
    found = {file.path: file for file in rows}
    assert len(found) == len(rows)
    return found


class LookingPromises:
    """See the module."""

    def test_the_listing_names_every_file_once(self, world: World) -> None:
        """In folders, and more than fit on one page."""
        for start in range(0, 220, 110):
            world.results(*(world.edit(f"d{n % 3}/{n:03}.md", str(n)) for n in range(start, start + 110)))
        assert sorted(listed(world)) == sorted(f"d{n % 3}/{n:03}.md" for n in range(220))

    def test_a_changed_file_is_known_by_its_hash_or_its_mark(self, world: World) -> None:
        """One of the two is there, changes with the file, and with nothing else."""
        world.put("a.md", "A1")
        world.put("b.md", "B")
        before = listed(world)
        again = listed(world)
        world.clock.now += 1
        world.put("a.md", "A2")
        after = listed(world)
        for path in ("a.md", "b.md"):
            assert before[path].hash is not None or before[path].mark is not None
            assert before[path] == again[path]
        assert before["a.md"] != after["a.md"]
        assert before["b.md"] == after["b.md"]

    def test_listed_files_carry_what_the_server_knows(self, world: World) -> None:
        """Revision and id, where they are listed, are the server's own."""
        world.put("a.md", "A1")
        (file,) = listed(world).values()
        rev, identifier = world.identity("a.md")
        assert file.remote_id == identifier
        assert file.rev in (None, rev)
        assert file.hash in (None, sha("A1"))

    def test_a_head_has_its_content_and_the_versions_before_it(self, world: World) -> None:
        """Newest first, with the server's revision and id; None where there is nothing."""
        world.put("a.md", "A1")
        world.clock.now += 1
        world.put("a.md", "A2")
        head = world.remote.head(world.source, "a.md")
        assert head is not None
        assert (head.path, head.hash, head.content) == ("a.md", sha("A2"), b"A2")
        assert (head.rev, head.remote_id) == world.identity("a.md")
        assert [version.hash for version in head.versions] == ([sha("A2"), sha("A1")] if world.can.history else [])
        assert [version.rev for version in head.versions[:1]] == [head.rev][: world.can.history]
        assert world.remote.head(world.source, "b.md") is None
        assert world.remote.head(world.source, "d/b.md") is None

    def test_a_head_is_found_whatever_the_book_says(self, world: World) -> None:
        """The book is older than the server: the file was moved, deleted, or made anew."""
        needs(world.has_ids, "ids")
        world.put("a.md", "A1")
        world.put("b.md", "B1")
        world.drain()
        world.move("a.md", "c.md")
        world.remove("b.md")
        assert [world.remote.head(world.source, path) for path in ("a.md", "b.md")] == [None, None]
        world.put("a.md", "A2")
        heads = {path: world.remote.head(world.source, path) for path in ("a.md", "c.md")}
        assert {path: head and head.content for path, head in heads.items()} == {"a.md": b"A2", "c.md": b"A1"}

    def test_history_has_the_contents_newest_first(self, world: World) -> None:
        """More than one page of versions, all of them."""
        needs(world.can.history, "history")
        for number in range(25):
            world.clock.now += 1
            world.put("a.md", f"A{number}")
        versions = world.remote.history(world.source, "a.md")
        assert [version.content for version in versions] == [f"A{n}".encode() for n in reversed(range(25))]
        assert all(version.rev is not None for version in versions)
        assert world.remote.history(world.source, "a.md", 3) == versions[:3]

    def test_history_outlives_a_delete(self, world: World) -> None:
        """Where the server forgets it, the contents are found in the feed."""
        needs(world.can.history, "history")
        world.put("a.md", "A1")
        world.clock.now += 1
        world.put("a.md", "A2")
        world.remove("a.md")
        assert world.remote.head(world.source, "a.md") is None
        versions = world.remote.history(world.source, "a.md")
        assert [version.content for version in versions] == [b"A2", b"A1"]
        assert world.remote.history(world.source, "never.md") == []
