"""Lives of two machines with the strict server: a few of every trap, and ten thousand in the long run."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.core.errors import RemoteError
from strict_scaidrive import feed_lives, token_lives
from strict_scaidrive.lives import CHOICES, FAULTS, chosen, failures, lived


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("traps", CHOICES)
def test_a_life_ends_equal_and_loses_nothing(tmp_path: Path, seed: int, traps: str) -> None:
    """OP1, CR4: in no trap, in each, and in all."""
    lived(seed, chosen(traps), tmp_path)


def test_a_file_of_ours_follows_no_older_move_of_a_folder(tmp_path: Path) -> None:
    """It was pushed to the old name of a folder whose move was not read yet. The moved folder keeps its own file."""
    lived(20001, chosen("ignores_ranges"), tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("thousand", range(10))
def test_ten_thousand_lives_break_no_law(thousand: int) -> None:
    """The traps in turn. ``python -m strict_scaidrive.lives --seeds A-B`` lives any other range."""
    assert failures(range(1000 * thousand + 2, 1000 * (thousand + 1) + 2)) == []


@pytest.mark.parametrize("traps", CHOICES)
def test_the_feed_alone_ends_where_the_server_ends(tmp_path: Path, traps: str) -> None:
    """People work on the server while it is walked and read; nothing is left for the listing to find."""
    assert [feed_lives.broken_law(seed, tmp_path, chosen(traps)) for seed in range(5)] == [None] * 5


def test_the_feed_follows_a_folder_that_the_walk_missed(tmp_path: Path) -> None:
    """It was moved from a part that the walk had not reached to one that it had passed."""
    assert feed_lives.broken_law(120, tmp_path) is None


def test_the_feed_tells_two_folders_of_one_path_apart(tmp_path: Path) -> None:
    """The walk met the second one; the changes then filled, moved and emptied the first one."""
    assert feed_lives.broken_law(528, tmp_path) is None


def test_a_crash_never_ends_the_sign_in(tmp_path: Path) -> None:
    """Each refresh token is good once; the stored pair is the server's newest, unless its answer was lost."""
    for seed in range(30):
        assert token_lives.broken_law(seed, tmp_path / str(seed)) is None


def test_the_failures_of_calls_are_no_failures_of_a_life() -> None:
    """The faults that lives draw are those that a call may end with."""
    assert issubclass(RemoteError, Exception)
    assert len({make().name for make in FAULTS}) == len(FAULTS)
