"""A file written right before it was looked at is looked at again, once."""

from __future__ import annotations

from msgspec.structs import replace

from agent.core.model import Fingerprint, Seen, file_side
from agent.engine import effects as e
from agent.engine import messages as m
from agent.engine.setup import Attendance
from engine.pilot import Pilot, sha, started

LATER = 2.2
FUTURE = 4_000_000_000 * 10**9


def following() -> Pilot:
    """An engine at rest that stays; it looks at everything only when it is told to."""
    pilot = started(hub=True)
    pilot.setup = replace(pilot.setup, attendance=Attendance.FOLLOW, long_poll=True, look_every=1e9, verify_every=1e9)
    pilot.effects += pilot.engine.configure(pilot.now, pilot.setup)
    return pilot


def racy(text: str) -> Seen:
    """A file whose time of change lies in the future, as a clock that was set leaves it."""
    mark = Fingerprint(len(text), FUTURE, FUTURE, 1, sha(text)[:32], racy=True)
    return Seen("a.md", file_side(sha(text), len(text)), mark)


def after(pilot: Pilot, seconds: float) -> list[e.LookAt]:
    """The single looks that are asked for once so much time has passed; they count as taken."""
    pilot.now += seconds
    pilot.tell(m.TimePassed())
    found = [effect for effect in pilot.effects if isinstance(effect, e.LookAt)]
    pilot.effects = [effect for effect in pilot.effects if not isinstance(effect, e.LookAt)]
    return found


def look(pilot: Pilot, seen: Seen) -> None:
    """The single look that was asked for finds this."""
    pilot.tell(m.FilesSeen((seen,)), m.PathsLooked(("a.md",)))


def is_racy(pilot: Pilot) -> bool:
    """Whether an equal stat of the file would prove nothing."""
    mark = pilot.engine._keeper.row("a.md").fingerprint
    return mark is not None and mark.racy


def test_a_file_dated_in_the_future_is_read_again_once_and_then_left_alone() -> None:
    pilot = following()
    pilot.tell(m.FilesSeen((racy("text"),)))
    (again,) = after(pilot, LATER)
    assert not again.again
    look(pilot, racy("text"))
    assert not is_racy(pilot)
    assert [after(pilot, LATER) for _ in range(3)] == [[], [], []]


def test_one_that_was_written_meanwhile_is_read_once_more() -> None:
    pilot = following()
    pilot.tell(m.FilesSeen((racy("text"),)))
    after(pilot, LATER)
    look(pilot, racy("other"))
    assert is_racy(pilot)
    assert len(after(pilot, LATER)) == 1
    look(pilot, racy("other"))
    assert not is_racy(pilot)


def test_a_look_before_that_proves_nothing() -> None:
    """A notice has it looked at at once, and its stat taken for proof until it can be one."""
    pilot = following()
    pilot.tell(m.FilesSeen((racy("text"),)))
    pilot.tell(m.Noticed(("a.md",)))
    (soon,) = after(pilot, 0.5)
    assert soon.again == {"a.md"}
    look(pilot, racy("text"))
    assert is_racy(pilot)
    assert len(after(pilot, LATER)) == 1


def test_what_a_whole_look_under_way_tells_proves_nothing() -> None:
    """It may have read the file before it had settled."""
    pilot = following()
    pilot.tell(m.FilesSeen((racy("text"),)))
    pilot.tell(m.LookAgain())
    after(pilot, LATER)
    look(pilot, racy("text"))
    assert is_racy(pilot)
