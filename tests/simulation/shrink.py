"""Reduction of a failing run to a short one that fails in the same way, as a script to read."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from simulation.run import Verdict, run
from simulation.world import Plan

_KIND = re.compile(r"law 6: \w+|[^:]+")
_CHATTER = frozenset({"<-", "->"})
_END = "calm"


def kind_of(verdict: Verdict) -> str | None:
    """Which sort of reason a run ends with; None where every law held."""
    found = _KIND.match(verdict.wrong[0]) if verdict.wrong else None
    return found[0] if found else None


def shrink(plan: Plan) -> Plan:
    """The same plan with only those turns that are needed for the same sort of reason.

    Raises:
        ValueError: every law holds under this plan.
    """
    kind = kind_of(run(plan))
    if kind is None:
        raise ValueError("every law holds: there is nothing to shrink")
    turns = range(plan.turns) if plan.keep is None else plan.keep
    kept = minimal(turns, lambda some: kind_of(run(replace(plan, keep=tuple(some)))) == kind)
    return replace(plan, keep=tuple(kept))


def minimal(items: Sequence[int], fails: Callable[[Sequence[int]], bool]) -> list[int]:
    """Delta debugging: items none of which, and no stretch of which, can be left out; ``fails(items)`` must hold."""
    kept = list(items)
    size = max(1, len(kept) // 2)
    while kept:
        start, before = 0, len(kept)
        while start < len(kept):
            fewer = kept[:start] + kept[start + size :]
            if fails(fewer):
                kept = fewer
            else:
                start += size
        if size > 1:
            size //= 2
        elif len(kept) == before:
            break
    return kept


def script_of(verdict: Verdict) -> str:
    """Who did what up to the end of the edits, then what is wrong: without what agents only said to themselves."""
    script = verdict.world.script
    lines = []
    for line, words in zip(script.lines, script.told(), strict=True):
        if line[2] == _END:
            break
        if line[2] not in _CHATTER:
            lines.append(words)
    plan = verdict.plan
    named = f"Plan({plan.seed}, {plan.server!r}, keep={plan.keep})"
    return "\n".join([named, *lines, *verdict.wrong])
