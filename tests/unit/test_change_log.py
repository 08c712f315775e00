"""Recognition of another change log, over all small logs."""

from __future__ import annotations

import itertools

from agent.remotes.change_log import is_other_log


def test_a_log_is_the_same_with_both_its_ends() -> None:
    """The first change must stand first. The last one may have moved forward, as a server drops replaced changes."""
    logs = [log for size in range(4) for log in itertools.permutations("abc", size)]
    for log, first, last in itertools.product(logs, "abc", (None, *"abc")):
        same = log[:1] == (first,) and (last is None or last in log)
        assert is_other_log(log, first, last) is not same
