"""conflicts: the list of parked conflicts, filtered, in an order, page by page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from agent.api.methods.common import chosen_sources, first_rows, readable
from agent.api.methods.conflicts import Shown, documents
from agent.api.methods.files import path_matches
from agent.api.schema.conflicts import ConflictCount, ConflictDocument, ConflictOrder, ConflictsParams
from agent.core.errors import UsageError
from agent.index.conflicts import ConflictHead
from agent.runtime.agent import Agent

_KEYS: Final[Mapping[ConflictOrder, Callable[[ConflictHead, str], tuple[Any, ...]]]] = {
    ConflictOrder.OLDEST: lambda head, _root: (head.id,),
    ConflictOrder.NEWEST: lambda head, _root: (-head.id,),
    ConflictOrder.PATH: lambda head, root: (root, head.path, head.id),
    ConflictOrder.KIND: lambda head, _root: (head.kind, head.id),
}
"""Sort key of a conflict in a folder, for each order. Ids only grow, so they are an order by age."""


def conflicts(agent: Agent, params: ConflictsParams) -> list[ConflictDocument]:
    """List parked conflicts; without an order the oldest first.

    Raises:
        UsageError: the folder is not linked, or there never was a conflict ``after``.
    """
    chosen = {source.key: source for source in chosen_sources(agent, params)}
    roots = {key: readable(str(source.root)) for key, source in chosen.items()}

    def read() -> list[Shown]:
        table = agent.index.conflicts
        last = None if params.after is None else table.head(_number(str(params.after)))
        if params.after is not None and last is None:
            raise UsageError(f"there never was a conflict {params.after!r}", "raven-agent conflicts lists them")
        heads = page_of(table.heads(chosen), roots, params, last)
        found = table.by_ids([head.id for head in heads])
        return [Shown(chosen[head.source], found[head.id]) for head in heads]

    return documents(agent, agent.control.call(read))


def page_of(
    heads: Sequence[ConflictHead], roots: Mapping[int, str], params: ConflictsParams, last: ConflictHead | None
) -> list[ConflictHead]:
    """Return the selected conflicts in their order, those behind ``last``, at most as many as the limit says.

    Args:
        roots: folder of each source.
        last: the conflict behind which the page begins. It may be closed by now, so that it is not among ``heads``.
    """
    key = _KEYS[params.order]
    found = [(key(head, roots[head.source]), head) for head in heads if is_selected(head, params)]
    if last is not None:
        begin = key(last, roots.get(last.source, ""))
        found = [one for one in found if one[0] > begin]
    return first_rows([head for _, head in sorted(found, key=lambda one: one[0])], params.limit)


def is_selected(head: ConflictHead, params: ConflictsParams) -> bool:
    """Return True if a conflict is of the wanted kind and its path matches."""
    return params.kind in (None, head.kind) and path_matches(head.path, params.match)


def conflict_counts(agent: Agent, params: ConflictsParams) -> list[ConflictCount]:
    """Count the parked conflicts of each folder that has any, and those among them that a list would show."""
    chosen = chosen_sources(agent, params)
    heads = agent.control.call(lambda: agent.index.conflicts.heads([source.key for source in chosen]))
    found = []
    for source in chosen:
        own = [head for head in heads if head.source == source.key]
        if own:
            matching = sum(is_selected(head, params) for head in own)
            root = readable(str(source.root))
            found.append(ConflictCount(source_id=source.source_id, root=root, conflicts=len(own), matching=matching))
    return found


def _number(key: str) -> int:
    try:
        return int(key.split(".", maxsplit=1)[0])
    except ValueError:
        raise UsageError(f"{key!r} is no conflict id", "raven-agent conflicts lists them") from None
