"""Wrappers of the port: each call passes through unchanged and is seen once."""

from __future__ import annotations

import inspect
import logging
import threading
from typing import Any, get_type_hints

import pytest

from agent.core.errors import Problem, ProblemKind, RemoteError
from agent.core.model import Mode, Resolution
from agent.core.supply import Transfer
from agent.remotes.http.failures import RemoteCallError
from agent.remotes.protocol import PushAnswer, Remote
from agent.remotes.raven.adapter import RavenRemote
from agent.remotes.scaidrive.adapter import ScaiDriveRemote
from agent.remotes.wrappers import CallCounter, CallRecord, ObservedRemote, log_call
from remotes.fixtures import World, edit
from strict_raven.faults import drop_request, unauthorized

OFFLINE = Problem(ProblemKind.OFFLINE, "gone")
UNSEEN = frozenset({"capabilities", "cancel", "abort_connections", "close"})
"""Members that make no call."""

ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "register": ("n", "linux", "1", "wanted"),
    "heartbeat": ("c",),
    "rename_connector": ("c", "n"),
    "sources": (),
    "create_source": ("n", Mode.BIDIRECTIONAL, "c", ["a"], ["b"]),
    "pause": ("s",),
    "resume": ("s",),
    "pull": ("s", "state", 1.0, 2.0, [(1, 2)]),
    "push": ("s", "c", [edit("a.md", "A")], lambda *_: None),
    "cancel": ("op",),
    "recall": ("s", edit("a.md", "A").operation, "resume"),
    "fetch": ("s", Transfer("0", "a", None, None, "h", 1), 5, lambda *_: None),
    "was_restored_from_older_copy": ("s", "state"),
    "is_paused": ("s",),
    "listing": ("s",),
    "state_digest": ("s",),
    "is_gone": ("s", "a.md", "id"),
    "head": ("s", "a.md"),
    "history": ("s", "a.md", 20),
    "conflicts": ("s", {"a.md"}, frozenset()),
    "resolve": ("s", "c", Resolution.KEEP_LOCAL, b"x", "h"),
    "listen": (threading.Event(), lambda *_: None),
    "abort_connections": (),
    "close": (),
}
LISTS = ("listing", "conflicts")


class Recording:
    """An adapter that records its calls, and answers each with the same object or failure."""

    def __init__(self, answer: Any = None) -> None:
        self.answer = answer
        self.calls: list[tuple[str, tuple[Any, ...]]] = []

    def __getattr__(self, name: str) -> Any:
        def method(*args: Any, **named: Any) -> Any:
            self.calls.append((name, (*args, *named.values())))
            if isinstance(self.answer, Exception):
                raise self.answer
            return iter([self.answer]) if name in LISTS else self.answer

        return method


def members() -> set[str]:
    """Every public member of the port."""
    return {name for name in vars(Remote) if not name.startswith("_")}


def called(remote: ObservedRemote, name: str) -> Any:
    """One call; a list is read to its end."""
    answer = getattr(remote, name)(*ARGUMENTS[name])
    return list(answer) if name in LISTS else answer


def test_the_table_of_calls_is_complete() -> None:
    """A new member of the port has a row here, and every adapter and wrapper has it with the same parameters."""
    assert ARGUMENTS.keys() == members() - {
        "capabilities",
        "selective_sync",
        "source_admin",
        "machine_list",
        "device_admin",
    }
    for implementation in (ObservedRemote, RavenRemote, ScaiDriveRemote):
        for name in ARGUMENTS:
            port, own = (inspect.signature(getattr(cls, name)) for cls in (Remote, implementation))
            assert list(own.parameters.values()) == list(port.parameters.values()), name
            assert get_type_hints(getattr(implementation, name)) == get_type_hints(getattr(Remote, name)), name


@pytest.mark.parametrize("name", sorted(ARGUMENTS))
def test_a_call_passes_unchanged_and_is_seen_once(name: str) -> None:
    """Its arguments, its answer, and the seconds it took."""
    seen: list[CallRecord] = []
    answer = PushAnswer(()) if name == "push" else object()
    inner, ticks = Recording(answer), iter([1.0, 3.5])
    returned = called(ObservedRemote(inner, seen.append, ticks=lambda: next(ticks)), name)
    # A parameter that is named has its default here.
    named = (True,) if name == "pull" else ()
    assert inner.calls == [(name, (*ARGUMENTS[name], *named))]
    assert seen == ([] if name in UNSEEN else [CallRecord(name, 2.5)])
    if get_type_hints(getattr(Remote, name)).get("return") is not type(None):
        assert returned == ([answer] if name in LISTS else answer)


@pytest.mark.parametrize("name", sorted(set(ARGUMENTS) - UNSEEN - {"push"}))
def test_a_failed_call_is_seen_with_its_problem(name: str) -> None:
    """The failure itself passes unchanged; an error of the program is no problem of the server."""
    seen: list[CallRecord] = []
    for error, problem in [(RemoteError(OFFLINE), OFFLINE), (ZeroDivisionError(), None)]:
        with pytest.raises(type(error)):
            called(ObservedRemote(Recording(error), seen.append, ticks=lambda: 0.0), name)
        assert seen.pop() == CallRecord(name, 0.0, problem)
    assert seen == []


def test_the_problem_that_ended_a_push_is_seen() -> None:
    """``push`` does not raise it."""
    seen: list[CallRecord] = []
    called(ObservedRemote(Recording(PushAnswer((), OFFLINE)), seen.append, ticks=lambda: 0.0), "push")
    assert seen == [CallRecord("push", 0.0, OFFLINE)]


def test_calls_are_counted_and_logged_without_the_token(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Over a whole server, with failures."""
    counter = CallCounter()
    remote = ObservedRemote(world.remote, counter, log_call)
    world.faults.inject(drop_request())
    world.faults.inject(unauthorized())
    with caplog.at_level(logging.DEBUG):
        for fails in (True, True, False):
            if not fails:
                remote.sources()
                continue
            with pytest.raises(RemoteCallError):
                remote.sources()
        remote.push(world.source, world.connector, [edit("a.md", "a paragraph of mine")])
    assert counter.counts() == {
        ("sources", ""): 1, ("sources", "offline"): 1, ("sources", "signed_out"): 1, ("push", ""): 1,
    }  # fmt: skip
    assert "sources failed after" in caplog.text
    assert world.bearer[0] not in caplog.text
    assert "paragraph" not in caplog.text
