"""A connector that belongs to no machine of the run: it pushes texts of others on its own bases and resolves nothing.

An agent cannot tell its conflicts from its own by the text. Only base and text together show the owner.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulation.user import sha

if TYPE_CHECKING:
    from simulation.world import World

NO_BASE = "0" * 64


class Stranger:
    """See above.

    Attributes:
        conflicts: server id of each conflict it opened -> (path, base, sha256 of the refused text).
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._count = 0
        self.conflicts: dict[str, tuple[str, str | None, str]] = {}

    def push(self) -> None:
        """Push a text that somebody has written before to a path that is there, mostly on an old base."""
        world = self._world
        heads = world.server.heads(world.source_id)
        if world.plain is not None or not heads or not world.people.texts:
            return
        path = world.rng.choice(sorted(heads))
        text = world.rng.choice(world.people.texts)
        base = world.rng.choice([sha(heads[path].encode()), *map(sha, world.people.texts)])
        self._count += 1
        item = {
            "operationId": f"stranger-{self._count}", "relativePath": path, "content": text.decode(),
            "contentHash": sha(text), "contentType": "text/markdown", "baseHash": base,
        }  # fmt: skip
        before = self._open()
        status, answer = world.ask("sources/push-batch", sourceId=world.source_id, items=[item])
        opened = self._open() - before if status == 200 else set()
        world.note("stranger", f"pushes {path} = {world.people.name(text)} on {world.script.word(base)}: {status}")
        for identifier in opened:
            self.conflicts[identifier] = (path, None if base == NO_BASE else base, sha(text))
        if status == 200 and answer["data"]["applied"] and not opened:
            world.people.accepted.add(sha(text))

    def _open(self) -> set[str]:
        listed = self._world.ask("sources/conflicts", sourceId=self._world.source_id)[1]
        return {found["id"] for found in listed["data"]}
