"""Promises about conflicts: they are listed, closed once, and nothing unseen is replaced by a decision."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from agent.core.errors import ProblemKind, RemoteError
from agent.core.model import Resolution
from agent.core.remote_records import Result
from remotes.suite.world import World, needs, sha

CHOICES = [
    (Resolution.KEEP_LOCAL, None, b"ours"),
    (Resolution.KEEP_RAVEN, None, b"theirs"),
    (Resolution.MANUAL_MERGE, b"both", b"both"),
]


def opened(world: World) -> str:
    """The id of an open conflict over a.md: ours against theirs."""
    world.put("a.md", "theirs")
    found = world.only(world.edit("a.md", "ours")).conflict
    assert found is not None
    return found.id


class ResolvePromises:
    """See the module."""

    @pytest.mark.parametrize(("choice", "content", "kept"), CHOICES)
    def test_a_decision_closes_the_conflict_and_is_carried_out(
        self, world: World, choice: Resolution, content: bytes | None, kept: bytes
    ) -> None:
        """By the server itself, or by a push on the head after the conflict was closed."""
        conflict = opened(world)
        world.remote.resolve(world.source, conflict, choice, content, sha("theirs"))
        assert list(world.remote.conflicts(world.source)) == []
        if world.can.blind_resolve and kept != b"theirs":
            world.drain()
            assert world.results(world.edit("a.md", kept, "theirs")) == [Result.APPLIED]
        assert world.held() == {"a.md": kept}

    @pytest.mark.parametrize(("choice", "content", "kept"), CHOICES)
    def test_a_blind_resolve_never_moves_the_head(
        self, world: World, choice: Resolution, content: bytes | None, kept: bytes
    ) -> None:
        """Not even one that nobody here has seen; the push afterwards is compared with it."""
        needs(world.can.blind_resolve, "blind resolve")
        conflict = opened(world)
        world.drain()
        world.put("a.md", "newer")
        before = world.identity("a.md")
        world.remote.resolve(world.source, conflict, choice, content, sha("theirs"))
        assert (world.held(), world.identity("a.md")) == ({"a.md": b"newer"}, before)
        assert world.results(world.edit("a.md", kept + b"!", "theirs")) == [Result.CONFLICT]
        assert world.held() == {"a.md": b"newer"}

    def test_a_conflict_resolved_already_is_stale(self, world: World) -> None:
        """The second one is told to look again."""
        conflict = opened(world)
        world.remote.resolve(world.source, conflict, Resolution.KEEP_RAVEN, None, sha("theirs"))
        with pytest.raises(RemoteError) as error:
            world.remote.resolve(world.source, conflict, Resolution.KEEP_LOCAL, None, sha("theirs"))
        assert error.value.problem.kind is ProblemKind.STALE
        assert world.held() == {"a.md": b"theirs"}

    def test_every_machines_conflicts_are_listed_with_both_texts(self, world: World) -> None:
        """Also those of other connectors; each with the revision of the head."""
        opened(world)
        other = world.other()
        other.results(other.edit("a.md", "third"))
        conflicts = list(world.remote.conflicts(world.source))
        kept = {(c.local_hash, c.local_text, c.remote_text, c.base_hash) for c in conflicts}
        assert kept == {
            (digest, text if world.keeps_refused else None, b"theirs", None)
            for digest, text in ((sha(b"ours"), b"ours"), (world.foreign_hash(b"third"), b"third"))
        }
        assert {c.remote_rev for c in conflicts} == {world.identity("a.md")[0]}
        assert all(c.opened_at for c in conflicts)

    def test_a_list_without_texts_costs_one_request(self, world: World) -> None:
        """A list is read after every change of a conflict: texts that are known here are not read with it again."""
        for name in "abc":
            world.put(f"{name}.md", f"theirs {name}")
        world.results(*(world.edit(f"{name}.md", f"ours {name}") for name in "abc"))
        whole = list(world.remote.conflicts(world.source))
        world.requests.clear()
        listed = list(world.remote.conflicts(world.source, with_texts=frozenset()))
        assert len(world.requests) == 1
        without = {"local_text": None, "remote_text": None}
        assert [replace(found, **without) for found in listed] == [replace(found, **without) for found in whole]
        wanted = world.remote.conflicts(world.source, {"b.md"}, {found.id for found in whole})
        assert [found for found in wanted if found.path == "b.md"] == [found for found in whole if found.path == "b.md"]

    def test_more_conflicts_than_one_page_are_all_listed(self, world: World) -> None:
        """Sixty."""
        for number in range(60):
            world.put(f"{number}.md", "theirs")
        batch = [world.edit(f"{number}.md", "ours") for number in range(60)]
        assert set(world.results(*batch)) == {Result.CONFLICT}
        paths = [conflict.path for conflict in world.remote.conflicts(world.source)]
        assert sorted(paths) == sorted(f"{number}.md" for number in range(60))
