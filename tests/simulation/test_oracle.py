"""The oracle can fail: some seed finds a naive agent. ``test_mutants`` breaks the product itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from msgspec.structs import replace

from agent.core.model import ApplyOutcome, ApplyResult
from agent.core.supply import Inline
from agent.disk.fs.protocol import Dir
from agent.engine import effects as e
from agent.engine import messages as m
from agent.runtime.effect_executor import EffectExecutor
from simulation.run import run
from simulation.simfs import SimFs
from simulation.world import Plan

SEEDS = 100


class Overwrites(EffectExecutor):
    """Writes straight over whatever stands there, as a naive agent does."""

    def carry_out(self, effect: e.Effect) -> Iterator[m.Message]:
        if not isinstance(effect, e.ApplyChanges):
            yield from super().carry_out(effect)
            return
        root = self._folder.root
        for intent, supply in effect.jobs:
            # No file of the simulation is large enough for another way.
            assert isinstance(supply, Inline)
            with root.parent(intent.path, []) as (folder, name):
                if any(entry.name == name for entry in root.fs.entries(folder)):
                    root.fs.unlink(folder, name)
                if intent.new is not None:
                    file = root.fs.create(folder, name, 0o644)
                    root.fs.write(file, supply.content)
                    root.fs.close(file)
        yield m.ChangesApplied(tuple(ApplyResult(intent.id, ApplyOutcome.DONE) for intent, _ in effect.jobs))


class Overlooks(EffectExecutor):
    """Never sees one of the files."""

    def carry_out(self, effect: e.Effect) -> Iterator[m.Message]:
        for message in super().carry_out(effect):
            if isinstance(message, m.ScanResults):
                yield replace(message, seen=tuple(seen for seen in message.seen if seen.path != "a.md"))
            else:
                yield message


class Forgets(SimFs):
    """What an exchange brings out is gone."""

    def exchange(self, dir_a: Dir, name_a: str, dir_b: Dir, name_b: str) -> None:
        super().exchange(dir_a, name_a, dir_b, name_b)
        self.unlink(dir_a, name_a)


def _found(make: Callable[[int], Plan], law: str) -> bool:
    return any(reason.startswith(law) for seed in range(SEEDS) for reason in run(make(seed)).wrong)


@pytest.mark.parametrize(
    ("make", "law"),
    [
        (lambda seed: Plan(seed, "hub", make_carrier=Overwrites), "law 1"),
        (lambda seed: Plan(seed, "hub", make_carrier=Overlooks), "law 6: NeverAtRest"),
        (lambda seed: Plan(seed, "hub", make_fs=Forgets), "law"),
    ],
    ids=["overwrites", "overlooks", "forgets what it exchanged"],
)
def test_what_is_broken_is_found_out(make: Callable[[int], Plan], law: str) -> None:
    assert _found(make, law)


def test_a_name_that_leads_elsewhere_is_a_wrong() -> None:
    fs = SimFs(lambda: 0.0)
    handle = Dir(fs._open(fs.top, 1))
    with pytest.raises(FileNotFoundError):
        fs.stat(handle, "../outside")
    assert fs.wrongs == ["stat with the name '../outside'"]
