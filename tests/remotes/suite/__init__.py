"""The conformance suite: what the port promises, in words that every dialect has. One module a group of promises.

``promises()`` returns the test classes for one dialect; a module that binds them needs a fixture ``world``.
"""

from __future__ import annotations

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


def promises(module: str) -> dict[str, type]:
    """The test classes of one dialect, by name, for the module that binds them."""
    names = {each: f"Test{each.__name__.removesuffix('Promises')}" for each in PROMISES}
    return {name: type(name, (each,), {"__module__": module, "__doc__": each.__doc__}) for each, name in names.items()}
