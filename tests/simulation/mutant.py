"""One way to break the product on purpose, and how it is put in."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from simulation import fault_rates
from simulation.fault_rates import Chances
from simulation.run import run
from simulation.simfs import SimFs
from simulation.world import Plan

Breaking = Callable[[], AbstractContextManager[object]]


@dataclass(frozen=True, slots=True)
class Mutant:
    """One thing broken.

    Attributes:
        name: what people call it.
        broken: one sentence: what the product does now.
        breaking: makes it so for as long as it is entered.
        servers: its faces: where it can show.
        make_fs: a disk under which it is likelier.
        turns: how long a run must be for it.
        chances: under which its occasion is likelier; None: those of every run.
        seeds: seeds that are known to meet its occasion; they are tried first.
        lists_conflicts: see ``Plan``; False if its known seeds were found before.
    """

    name: str
    broken: str
    breaking: Breaking
    servers: tuple[str, ...] = ("hub", "strict")
    chances: Chances | None = None
    make_fs: Callable[..., SimFs] = SimFs
    turns: int = 100
    seeds: tuple[int, ...] = ()
    lists_conflicts: bool = True

    def complaints(self, seed: int, server: str) -> tuple[str, ...]:
        """What is found wrong with a run in these surroundings: of the mutant while it is in, else of the product."""
        profiles = fault_rates.PROFILES if self.chances is None else (self.chances,)
        with instead(fault_rates, "PROFILES", profiles):
            plan = Plan(seed, server, self.turns, make_fs=self.make_fs, lists_conflicts=self.lists_conflicts)
            return run(plan).wrong


@contextlib.contextmanager
def instead(owner: object, name: str, other: object) -> Iterator[None]:
    """Have ``other`` stand at a name of a class or module."""
    original = vars(owner)[name]
    setattr(owner, name, other)
    try:
        yield
    finally:
        setattr(owner, name, original)


def nothing(*_given: Any, **_more: Any) -> None:
    """Do nothing, whatever is given."""
