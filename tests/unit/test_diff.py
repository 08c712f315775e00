"""Line differences are right for all small texts, and cost bounded work for hostile ones."""

from __future__ import annotations

import itertools
import random
import sys
import time
from collections.abc import Sequence

import pytest

from agent.core.diff import DIFF_WORK, LineDiff, diff_lines, unified
from agent.core.merge import propose


def checked(a: Sequence[str], b: Sequence[str], work: int = DIFF_WORK) -> LineDiff:
    """The difference, after proof that it covers both texts and that its equal regions are equal."""
    found = diff_lines(a, b, work)
    at = (0, 0)
    kinds = [block.equal for block in found.blocks]
    assert all(one != other for one, other in itertools.pairwise(kinds))
    for equal, start_a, end_a, start_b, end_b in found.blocks:
        assert (start_a, start_b) == at != (end_a, end_b)
        assert not equal or a[start_a:end_a] == b[start_b:end_b]
        at = (end_a, end_b)
    assert at == (len(a), len(b))
    return found


def test_every_pair_of_small_texts_is_compared_exactly() -> None:
    """The regions cover both texts. Between unique common lines, as many lines are equal as can be."""
    texts = ["".join(lines) for length in range(6) for lines in itertools.product("ab", repeat=length)]
    for a, b in itertools.product(texts, texts):
        found = checked(a, b)
        assert not found.cut
        equal = sum(block.end_a - block.start_a for block in found.blocks if block.equal)
        head = _common_start(a, b)
        tail = _common_start(a[head:][::-1], b[head:][::-1])
        middle_a, middle_b = a[head : len(a) - tail], b[head : len(b) - tail]
        anchored = any(middle_a.count(line) == middle_b.count(line) == 1 for line in middle_a)
        assert (equal > 0) == (_common(a, b) > 0)
        assert anchored or equal == _common(a, b)


def _common_start(a: str, b: str) -> int:
    return len(list(itertools.takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False))))


def _common(a: str, b: str) -> int:
    row = [0] * (len(b) + 1)
    for x in a:
        last = row[:]
        for index, y in enumerate(b):
            row[index + 1] = last[index] + 1 if x == y else max(row[index], last[index + 1])
    return row[-1]


def test_a_comparison_without_work_left_is_coarse_and_says_so() -> None:
    """The answer stays a correct difference."""
    rng = random.Random(1)
    a, b = (["ab"[rng.randrange(2)] for _ in range(40)] for _ in range(2))
    assert checked(a, b, work=10).cut
    assert not checked(a, b).cut


@pytest.mark.parametrize("name", ["equal lines", "one line before", "two kinds of lines", "reversed", "many lines"])
def test_fh3_every_comparison_ends_within_a_second(name: str) -> None:
    """FH3: two texts of 30 kB of empty lines, and worse ones, are compared and merged within the bound."""
    rng = random.Random(2)
    pairs = {
        "equal lines": (["\n"] * 30_000, ["\n"] * 29_000),
        "one line before": (["x\n"] + ["\n"] * 30_000, ["\n"] * 29_000 + ["y\n"]),
        "two kinds of lines": tuple([rng.choice(["\n", "a\n"]) for _ in range(30_000)] for _ in range(2)),
        "reversed": ([f"{n}\n" for n in range(30_000)], [f"{n}\n" for n in reversed(range(30_000))]),
        "many lines": tuple([rng.choice("abc") for _ in range(500_000)] for _ in range(2)),
    }
    a, b = pairs[name]
    # Under a tracer (coverage) most of the time is the tracer's, so the bound is wider there alone.
    traced = 1.0 if sys.gettrace() is None else 5.0
    started = time.process_time()
    checked(a, b)
    spent = time.process_time() - started
    assert spent < 1.0 * traced, f"{spent:.2f} s of processor time"
    started = time.process_time()
    base, local, remote = ("".join(text).encode() for text in (["\n"] * 30_000, a, b))
    assert propose(base, local, remote) is not None
    assert time.process_time() - started < 2.0 * traced


def test_fh3_a_merge_that_was_cut_is_never_clean() -> None:
    """FH3: what was compared only coarsely is shown to a person and never taken by itself."""
    rng = random.Random(3)
    base = b"".join(rng.choice([b"\n", b"a\n"]) for _ in range(5_000))
    local = b"".join(rng.choice([b"\n", b"a\n"]) for _ in range(5_000))
    found = propose(base, local, base)
    assert found is not None and found.cut and not found.clean


def test_a_unified_diff_has_the_known_form() -> None:
    """Three lines of context, ranges that count from 1, and a hunk for each distant change."""
    a = [f"{n}" for n in range(20)]
    b = ["new", *a[:10], *a[11:]]
    lines, cut = unified(a, b, ("raven", "local"))
    assert not cut
    assert lines == [
        "--- raven", "+++ local",
        "@@ -1,3 +1,4 @@", "+new", " 0", " 1", " 2",
        "@@ -8,7 +9,6 @@", " 7", " 8", " 9", "-10", " 11", " 12", " 13",
    ]  # fmt: skip
    assert unified(a, a, ("raven", "local")) == ([], False)
    assert unified([], ["x"], ("raven", "local"))[0][2:] == ["@@ -0,0 +1 @@", "+x"]
