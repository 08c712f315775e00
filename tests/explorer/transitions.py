"""What an act does to a local state, and to the state of a whole world.

An act is carried out once for each value of the parts that it depends on (``acts.reads``). Its outcome is then known
for every world in which these parts are the same: the rest of such a world is none of its business.
"""

from __future__ import annotations

from dataclasses import dataclass

from explorer.acts import BY_HAND, PAGE_EDITS, Act, by_hand, possible, reads
from explorer.texts import Value, renumbered, seen_by_other, texts_of, translated
from explorer.views import CALLS, CORE, PROCESS, STIRRED, STORED, UNREAD

Numbers = tuple[int, ...]
Whole = tuple[int, int, Numbers]
"""A world: the local states of both machines, and the numbers of the second one's texts. Texts of the first have their
own numbers; further ones follow."""
World = frozenset[tuple[Value, Value, Numbers]]
Key = tuple[int, Act]
"""The parts of a local state that an act depends on, by their number, and the act."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """An act's effect. Texts have the numbers of the parts it depends on; new texts have the next numbers.

    Attributes:
        parts: the parts afterwards; None where they are as before.
        appended: events that the act added to the feed, as the acting machine sees them.
        changed: the server took a write.
        risky: a text left the machine and the server. So the act must be judged in each world.
    """

    parts: tuple[Value, ...]
    appended: Value
    changed: bool
    risky: bool


@dataclass(frozen=True, slots=True)
class Change:
    """An act's effect on a whole local state.

    Attributes:
        state: number of the local state afterwards.
        texts: its texts, by their numbers before; new texts have the next numbers.
        core, appended, changed: see ``Outcome``; for the other machine.
    """

    state: int
    texts: Numbers
    core: Value
    appended: Value
    changed: bool


class Transitions:
    """Every local state and every outcome that is known.

    Args:
        files: the paths people write to.
    """

    def __init__(self, files: tuple[str, ...]) -> None:
        self._files = files
        self._numbers: dict[Value, int] = {}
        self.states: list[Value] = []
        """Local states by number."""
        self._sizes: list[int] = []
        self._acts: dict[int, list[Act]] = {}
        self._parts: dict[Value, int] = {}
        self._projected: dict[tuple[int, tuple[int, ...]], tuple[int, Numbers]] = {}
        self._outcomes: dict[Key, Outcome] = {}
        self._changes: dict[tuple[int, Act], Change] = {}
        self._updates: dict[tuple[int, Value, Value, bool, Numbers], tuple[int, Numbers]] = {}

    def number(self, state: Value) -> int:
        """Return the number of a local state."""
        found = self._numbers.get(state)
        if found is None:
            found = self._numbers[state] = len(self.states)
            self.states.append(state)
            self._sizes.append(len(renumbered(state)[1]))
        return found

    def acts(self, state: int) -> list[Act]:
        """Return what a machine in this local state can do."""
        if state not in self._acts:
            self._acts[state] = possible(self.states[state], self._files)
        return self._acts[state]

    # Outcomes

    def unknown(self, state: int, act: Act) -> Key | None:
        """Return the key of an outcome that is not known yet."""
        if act[0] in BY_HAND or (state, act) in self._changes:
            return None
        key = self._project(state, reads(act))[0], act
        return None if key in self._outcomes else key

    def risky(self, state: int, act: Act) -> bool:
        """Return True if an act must be judged in each world. Its outcome must be known."""
        return act[0] not in BY_HAND and self._outcomes[self._project(state, reads(act))[0], act].risky

    def learn(self, state: int, act: Act, outcome: Outcome) -> None:
        """Take an outcome in; its texts have the numbers of the whole local state, new ones the next numbers."""
        part, texts = self._project(state, reads(act))
        # A text that the act does not depend on may not appear in what it did.
        size = self._sizes[state]
        places = {text: place for place, text in enumerate(texts)}
        used = range(size, size + _new_texts(outcome, size))
        table = [places.get(text, -1) for text in range(size)] + [len(texts) + place for place in range(len(used))]
        self._outcomes[part, act] = Outcome(
            tuple(None if each is None else _moved(each, table) for each in outcome.parts),
            _moved(outcome.appended, table), outcome.changed, outcome.risky,
        )  # fmt: skip

    def _project(self, state: int, scope: tuple[int, ...]) -> tuple[int, Numbers]:
        """Return the number of some parts of a local state, and the numbers of their texts in it."""
        found = self._projected.get((state, scope))
        if found is None:
            value, texts = renumbered(tuple(self.states[state][part] for part in scope))
            number = self._parts.setdefault((scope, value), len(self._parts))
            found = self._projected[state, scope] = number, texts
        return found

    def change(self, state: int, act: Act) -> Change:
        """Return what an act does to a local state. Its outcome must be known."""
        found = self._changes.get((state, act))
        if found is None:
            found = self._changes[state, act] = self._change(state, act)
        return found

    def _change(self, state: int, act: Act) -> Change:
        before, size = self.states[state], self._sizes[state]
        if act[0] in BY_HAND:
            value, texts = renumbered(by_hand(before, act, size))
            return Change(self.number(value), texts, before[CORE], (), changed=False)
        part, used = self._project(state, reads(act))
        outcome = self._outcomes[part, act]
        new = _new_texts(outcome, len(used))
        table = (*used, *range(size, size + new))
        parts = [None if each is None else translated(each, table) for each in outcome.parts]
        appended = translated(outcome.appended, table)
        core = before[CORE] if parts[CORE] is None else parts[CORE]
        if act[0] in PAGE_EDITS:
            # Nobody's act: it reaches this machine as it does the other.
            value, texts = renumbered(told_of(before, core, appended, changed=outcome.changed))
        else:
            if parts[UNREAD] is None:
                parts[UNREAD] = (*still_open(before[UNREAD], before[CORE], core), *appended)
            value, texts = renumbered(tuple(map(_either, parts, before)))
        return Change(self.number(value), texts, core, appended, outcome.changed)

    # Whole worlds

    def after(self, whole: Whole, place: int, act: Act) -> tuple[Whole, bool]:
        """Return the world after an act of its first (0) or second (1) machine, and True if both changed places."""
        first, second, texts = whole
        own = tuple(range(self._sizes[first]))
        acting, other, mine, others = (first, second, own, texts) if place == 0 else (second, first, texts, own)
        change = self.change(acting, act)
        total = max((*own, *texts), default=-1) + 1
        size = self._sizes[acting]
        table = (*mine, *range(total, total + max(_size(change), size) - size))
        there, seen = self._reached(other, others, change, table)
        whole, swapped = self.ordered(change.state, there, tuple(table[text] for text in change.texts), seen)
        return whole, swapped if place == 0 else not swapped

    def _reached(self, state: int, texts: Numbers, change: Change, table: Numbers) -> tuple[int, Numbers]:
        """Return the other machine's local state, once the server has changed, and the numbers of its texts."""
        if not change.changed and not change.appended:
            return state, texts
        places = {text: place for place, text in enumerate(texts)}
        relation = tuple(places.get(text, -1) for text in table)
        key = (state, change.core, change.appended, change.changed, relation)
        strange = [text for text in table if text not in places]
        found = self._updates.get(key)
        if found is None:
            size, more = self._sizes[state], iter(range(self._sizes[state], self._sizes[state] + len(strange)))
            numbers = tuple(place if place >= 0 else next(more) for place in relation)
            core, appended = (seen_by_other(translated(each, numbers)) for each in (change.core, change.appended))
            value, order = renumbered(told_of(self.states[state], core, appended, changed=change.changed))
            found = self._updates[key] = self.number(value), order
            assert size == len(texts)
        number, order = found
        return number, tuple(texts[text] if text < len(texts) else strange[text - len(texts)] for text in order)

    def ordered(self, one: int, other: int, ones: Numbers, others: Numbers) -> tuple[Whole, bool]:
        """Return a world in the one form it has whichever machine is called first, and True if they changed places."""
        forms = [(one, other, _against(ones, others)), (other, one, _against(others, ones))]
        swapped = forms[1] < forms[0]
        return forms[swapped], swapped

    def forms(self, whole: Whole) -> World:
        """Return a world without numbers of states, in both of its forms."""
        one, other, texts = whole
        ones = tuple(range(self._sizes[one]))
        states = self.states[one], self.states[other]
        return frozenset({(*states, texts), (*reversed(states), _against(texts, ones))})


def _against(first: Numbers, second: Numbers) -> Numbers:
    """Return the second machine's texts by the numbers they have for the first; further ones follow."""
    places = {text: place for place, text in enumerate(first)}
    return tuple(places.setdefault(text, len(places)) for text in second)


def _either(after: Value, before: Value) -> Value:
    return before if after is None else after


def told_of(state: Value, core: Value, appended: Value, *, changed: bool) -> Value:
    """Return a local state after somebody else changed the server."""
    after = list(state)
    for part in (STORED, PROCESS, UNREAD):
        after[part] = still_open(state[part], state[CORE], core)
    after[UNREAD] = (*after[UNREAD], *appended)
    after[CORE] = core
    after[STIRRED] = state[STIRRED] or (changed and any(call[0] == "Poll" for call in state[PROCESS][CALLS]))
    return tuple(after)


def still_open(value: Value, before: Value, core: Value) -> Value:
    """Return a value in which conflicts that are open no more are named so."""
    gone = set(before[1]) - set(core[1])
    return _without(value, gone) if gone else value


def _without(value: Value, gone: set[Value]) -> Value:
    if isinstance(value, tuple):
        return "gone" if value in gone else tuple(_without(each, gone) for each in value)
    return value


def _highest(value: Value) -> int:
    return max(texts_of(value), default=-1)


def _new_texts(outcome: Outcome, known: int) -> int:
    return max(_highest(outcome.appended) + 1 - known, *(_highest(part) + 1 - known for part in outcome.parts), 0)


def _size(change: Change) -> int:
    return max(max(change.texts, default=-1), _highest(change.core), _highest(change.appended)) + 1


def _moved(value: Value, table: list[int]) -> Value:
    """Return a value with other numbers. Raises AssertionError for a text that the act does not depend on."""
    assert all(table[text] >= 0 for text in texts_of(value)), "an act depends on more than its scope"
    return translated(value, tuple(table))
