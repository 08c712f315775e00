"""The conformance suite: what the port promises, in words that every dialect has. One module a group of promises.

``promises()`` returns the test classes for one dialect; a module that binds them needs a fixture ``world``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

_MODULES = ("account", "failures", "feed", "looking", "push", "resolve", "transfers", "world")
pytest.register_assert_rewrite(*(f"remotes.suite.{name}" for name in _MODULES))

from remotes.suite.account import AccountPromises  # noqa: E402
from remotes.suite.failures import FailurePromises  # noqa: E402
from remotes.suite.feed import FeedPromises  # noqa: E402
from remotes.suite.looking import LookingPromises  # noqa: E402
from remotes.suite.push import MovePromises, PushPromises  # noqa: E402
from remotes.suite.resolve import ResolvePromises  # noqa: E402
from remotes.suite.transfers import DownloadPromises, ResumePromises, UploadPromises  # noqa: E402

PROMISES = (
    AccountPromises,
    FeedPromises,
    PushPromises,
    MovePromises,
    LookingPromises,
    ResolvePromises,
    DownloadPromises,
    UploadPromises,
    ResumePromises,
    FailurePromises,
)


CROWDED = (
    "test_a_long_feed_is_read_to_its_end",
    "test_many_operations_are_split_into_requests",
    "test_more_conflicts_than_one_page_are_all_listed",
    "test_the_listing_names_every_file_once",
)
"""Promises about hundreds of files: with a trap each they would take half of the time of all others together."""


def promises(module: str, *, crowded_in_long_run: bool = False) -> dict[str, type]:
    """The test classes of one dialect, by name, for the module that binds them.

    Args:
        crowded_in_long_run: the promises about hundreds of files are tested by ``-m long`` alone.
    """
    made = {}
    for each in PROMISES:
        own = {"__module__": module, "__doc__": each.__doc__}
        later = {name: _in_long_run(vars(each)[name]) for name in CROWDED if name in vars(each)}
        name = f"Test{each.__name__.removesuffix('Promises')}"
        made[name] = type(name, (each,), own | later if crowded_in_long_run else own)
    return made


def _in_long_run(test: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(test)
    def same(*given: Any, **more: Any) -> None:
        test(*given, **more)

    marked: Callable[..., None] = pytest.mark.long(same)
    return marked
