"""The check of held deletes, step by step."""

from __future__ import annotations

import pytest

from agent.core.events import Page, Upsert
from agent.core.remote_records import Operation, Verb
from agent.engine import effects as e
from agent.engine import messages as m
from agent.engine.in_flight import HeldDeletes
from simulation.delete_audit import WrongDelete, check_step

TEXT, OTHER = "a" * 64, "b" * 64
HELD = HeldDeletes("plan", frozenset({("a.md", TEXT)}))
SENT = e.Send(1, (e.OutgoingOperation(Operation("op", "a.md", Verb.DELETE, None, 0, TEXT)),))


def page(path: str, digest: str) -> m.PageArrived:
    """The feed says that a path holds this text."""
    return m.PageArrived(1, Page((Upsert(path, digest, 1),), "1", False, "1"))


@pytest.mark.parametrize("messages", [[m.TimePassed()], [page("a.md", TEXT)], [page("b.md", OTHER)]])
def test_a_held_delete_waits_for_its_person(messages: list[m.Message]) -> None:
    """Nothing of this shows the text at another path."""
    with pytest.raises(WrongDelete):
        check_step(HELD, messages, [SENT], (), (), lambda _: {"a.md"})


@pytest.mark.parametrize("message", [page("b.md", TEXT), m.ApproveDeletes("plan"), m.UndoDeletes()])
def test_a_rename_or_a_decision_ends_the_plan(message: m.Message) -> None:
    """The text lives at another path now, or the person has answered."""
    check_step(HELD, [message], [SENT], (), (), lambda _: set())


def test_a_text_that_is_known_at_another_path_was_moved() -> None:
    """An earlier page had shown it there."""
    check_step(HELD, [m.TimePassed()], [SENT], (), (), lambda _: {"b.md"})
