"""What is seen for the first time, many files at once, comes to the same rows as when each is seen by itself."""

from __future__ import annotations

import pytest

from agent.core.model import Fingerprint, Mode, Observation, Presence, Reason, Side
from agent.core.reconcile import Step
from agent.engine import messages as m
from agent.index.trees import PathRow
from engine.harness import SOURCE, EngineHarness, seen, upsert

NAMES = [f"n{number:03}.md" for number in range(60)]
ODD = (
    Observation("absent.md", Side(Presence.ABSENT)),
    Observation("hidden.md", Side(Presence.OUT_OF_SCOPE)),
    Observation(
        "large.md", Side(Presence.FILE, "1" * 64, 9, Reason.TOO_LARGE), Fingerprint(9, 1, 2, 3, "2" * 32, True)
    ),
    Observation("restless.md", Side(Presence.UNKNOWN, reason=Reason.CHANGING)),
    Observation("shut.md", Side(Presence.UNKNOWN, reason=Reason.UNREADABLE)),
)


def looked(mode: Mode, *messages: m.Message) -> list[PathRow]:
    harness = EngineHarness(hub=True, mode=mode)
    harness.tell(m.ChangesApplied(()))
    for message in messages:
        harness.tell(message)
    return list(harness.index.trees.all(SOURCE))


@pytest.mark.parametrize("mode", Mode)
def test_many_at_once_are_the_rows_that_one_by_one_are(mode: Mode) -> None:
    found = (*ODD, *(seen(name, name) for name in NAMES))
    together = looked(mode, m.ScanResults(found))
    assert together == looked(mode, *(m.ScanResults((one,)) for one in found))
    assert [row.path for row in together] == ["large.md", *NAMES, "shut.md"]
    assert {row.path: row.step for row in together if row.path not in NAMES} == {
        "large.md": Step.SKIP,
        "shut.md": Step.UNKNOWN,
    }


def test_a_new_file_the_server_also_has_is_compared_with_it() -> None:
    """One path that is known already, and all the others keep their rows too."""
    harness = EngineHarness(hub=True, mode=Mode.LOCAL_TO_CLOUD)
    harness.begin({}, upsert(NAMES[30], NAMES[30], 1))
    harness.tell(m.ScanResults(tuple(seen(name, name) for name in NAMES)))
    steps = {row.path: row.step for row in harness.index.trees.all(SOURCE)}
    assert steps == {name: Step.NOTHING if name == NAMES[30] else Step.PUSH for name in NAMES}
