"""FP3: many resolutions are carried out in rounds, with one list of conflicts and one poll for each round."""

from __future__ import annotations

import math

from agent.core.events import ConflictClosed, FeedEvent
from agent.core.model import Resolution
from agent.core.remote_records import Result
from agent.engine import effects as e
from agent.engine import messages as m
from agent.engine.resolutions import _ROUND, _ROUND_BYTES
from engine.harness import EngineHarness, conflict, drain, head, sha, started, upsert

COUNT = 120


def parked(count: int, large: str = "") -> EngineHarness:
    """Files that differ on both sides, each with its conflict on the server."""
    harness = started()
    paths = [f"n{number:03}.md" for number in range(count)]
    for number, path in enumerate(paths):
        harness.saves(path, "one")
        harness.agreed(path, "one")
        harness.saves(path, f"mine {number}{large}")
        harness.answer(Result.CONFLICT, found=conflict(f"k{number}", path, "one", f"mine {number}{large}", "theirs"))
    harness.rest()
    harness.effects.clear()
    return harness


def decide(harness: EngineHarness, choice: Resolution) -> None:
    """A person decides all conflicts."""
    harness.tell(*(m.Resolve(c.id, c.generation, choice, None) for c in harness.conflicts()))


def test_each_round_costs_one_list_and_one_poll() -> None:
    """FP3: 120 resolutions ask for the conflicts three times, and end with what the feed shows of them."""
    harness = parked(COUNT)
    decide(harness, Resolution.KEEP_RAVEN)
    rounds = 0
    position = harness.cursor
    while harness.wants(e.FetchHeadsAndConflicts):
        rounds += 1
        asked = harness.take(e.FetchHeadsAndConflicts)
        for path in asked.paths:
            number = int(path[1:4])
            listed = conflict(f"k{number}", path, "one", f"mine {number}", "theirs")
            harness.tell(m.HeadArrived(path, head(path, "theirs", "one"), (listed,)))
        closes = [effect for effect in harness.effects if isinstance(effect, e.CloseConflict)]
        assert sorted(close.path for close in closes) == sorted(asked.paths)
        for close in closes:
            harness.effects.remove(close)
            assert not harness.wants(e.Poll)
            harness.tell(m.ConflictCloseAnswered(close.conflict))
        events: list[FeedEvent] = []
        for close in closes:
            position += 2
            events += [
                ConflictClosed(close.path, close.server_id, position - 1, sha("theirs")),
                upsert(close.path, "theirs", position, f"resolve-{close.server_id}"),
            ]
        drain(harness, *events)
        jobs = [job for effect in harness.effects if isinstance(effect, e.ApplyChanges) for job in effect.jobs]
        assert len(jobs) == len(closes)
        harness.land(*["theirs"] * len(jobs))
    assert rounds == math.ceil(COUNT / _ROUND)
    assert harness.conflicts() == []


def test_a_round_of_large_texts_is_small() -> None:
    """FC7: the texts of one round fit into memory, however large each of them is."""
    harness = parked(4, "x" * (_ROUND_BYTES // 5))
    decide(harness, Resolution.KEEP_RAVEN)
    assert len(harness.take(e.FetchHeadsAndConflicts).paths) == 2
