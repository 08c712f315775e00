"""``python -m strict_scaidrive.mutants`` runs every mutant of the dialect and lists the first seed that finds it.

A mutant breaks one promise of the product. It is found by a life that breaks a law only while the mutant is in.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from agent.core.events import Page
from agent.remotes.book import Book
from agent.remotes.scaidrive import conflicts, wire
from agent.remotes.scaidrive.feed import ShareFeed
from agent.remotes.scaidrive.position import ChangePosition
from agent.runtime.account_tokens import AccountTokens
from agent.settings.credentials import Token, TokenOrigin
from agent.settings.token_pair import TokenPair
from simulation.mutant import instead
from strict_scaidrive import feed_lives, lives, token_lives
from strict_scaidrive.state import DriveTraps


@dataclass(frozen=True, slots=True)
class DriveMutant:
    """One thing broken.

    Attributes:
        name: what people call it.
        broken: one sentence: what the product does now.
        breaking: makes it so for as long as it is entered.
        complaint: lives one life and returns the law that it broke; None if it broke none.
        seed: a seed that is known to find it.
    """

    name: str
    broken: str
    breaking: Callable[[], AbstractContextManager[object]]
    complaint: Callable[[int, Path], str | None]
    seed: int


def _no_walk() -> AbstractContextManager[object]:
    careful = ShareFeed._begin

    def without(self: ShareFeed, share: str) -> ChangePosition:
        return ChangePosition(careful(self, share).cursor, 0, [])

    return instead(ShareFeed, "_begin", without)


def _walk_after_the_cursor() -> AbstractContextManager[object]:
    careful = ShareFeed.pull

    def late(self: ShareFeed, share: str, state: str | None, book: Book) -> Page:
        page = careful(self, share, state, book)
        before, after = ChangePosition.from_json(state), ChangePosition.from_json(page.state)
        if (before is None or before.walk) and after is not None and not after.walk:
            after.cursor = self.head(share) or after.cursor
            return replace(page, state=after.to_json())
        return page

    return instead(ShareFeed, "pull", late)


def _last_writer_wins() -> AbstractContextManager[object]:
    return instead(wire, "MANUAL", "LAST_WRITER_WINS")


def _client_wins() -> AbstractContextManager[object]:
    return instead(conflicts, "SERVER_WINS", "CLIENT_WINS")


def _saved_after_use() -> AbstractContextManager[object]:
    store = AccountTokens._store

    def later(self: AccountTokens, made: TokenPair) -> Token:
        unsaved: TokenPair | None = vars(self).pop("unsaved", None)
        if unsaved is not None:
            return store(self, unsaved)
        vars(self)["unsaved"] = made
        return Token(made.access, TokenOrigin.TOKEN_FILE, made.ends_at, stored=made)

    return instead(AccountTokens, "_store", later)


def _life(seed: int, top: Path) -> str | None:
    return lives.broken_law(seed, top, DriveTraps(), is_busy=True)


DRIVE_MUTANTS: Sequence[DriveMutant] = (
    DriveMutant("no walk", "the first pass reads changes only", _no_walk, feed_lives.broken_law, 0),
    DriveMutant(
        "walk after the cursor",
        "changes during the walk are passed over",
        _walk_after_the_cursor,
        feed_lives.broken_law,
        0,
    ),
    DriveMutant("LAST_WRITER_WINS", "a change replaces a head nobody saw here", _last_writer_wins, _life, 0),
    DriveMutant("CLIENT_WINS", "a closed conflict replaces the head", _client_wins, _life, 6),
    DriveMutant(
        "refresh token saved after use", "a new pair is used first", _saved_after_use, token_lives.broken_law, 0
    ),
)


def first_seed(mutant: DriveMutant, seeds: Iterable[int]) -> tuple[int, str] | None:
    """The first seed whose life breaks a law with the mutant and none without it, and that law."""
    for seed in seeds:
        with mutant.breaking():
            wrong = _complaint(mutant, seed)
        if wrong is not None and _complaint(mutant, seed) is None:
            return seed, wrong
    return None


def _complaint(mutant: DriveMutant, seed: int) -> str | None:
    with tempfile.TemporaryDirectory() as top:
        return mutant.complaint(seed, Path(top))


def main() -> int:
    """Exit code 0 if every mutant was found."""
    parser = argparse.ArgumentParser(prog="python -m strict_scaidrive.mutants", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="so many seeds, then it has survived")
    parser.add_argument("--only", default="", help="mutants whose name holds this")
    given = parser.parse_args()
    survived = 0
    for mutant in DRIVE_MUTANTS:
        if given.only in mutant.name:
            began = time.process_time()
            seed, law = first_seed(mutant, (mutant.seed, *range(given.seeds))) or ("–", "survived")
            survived += seed == "–"
            print(f"| {mutant.name} | {seed} | {time.process_time() - began:.1f} | {law[:120]} |", flush=True)
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
