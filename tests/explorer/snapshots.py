"""Snapshots of a world in place: every object keeps its identity, and gets back what it held.

A fork of the process is the simplest exact copy, but costs more than the act that follows it: nearly every page of
memory is copied, because Python counts references in it. Here all objects that a world can change are listed, with a
shallow copy of what each holds. References to them stay valid, also those in closures and in bound methods.
"""

from __future__ import annotations

import contextlib
import enum
import functools
import random
import re
import sqlite3
import threading
import types
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final

from msgspec import Struct

from agent.hub.store.sql_store import SqlStore
from explorer.world import Answers, SmallWorld

_FIXED: Final = (
    type(None), str, bytes, int, float, type, types.ModuleType, types.BuiltinFunctionType, enum.Enum, range, re.Pattern,
    type(threading.Lock()), type(threading.RLock()), weakref.WeakSet, Answers,
)  # fmt: skip
"""Types of objects that never change between two acts, and hold nothing that does."""
_IDS: Final = "new_intent_ids"
"""The one generator that lives longer than an act. It only gives out ids, so it may go on where it was."""
_HOLDS: dict[sqlite3.Connection, tuple[bytes, int]] = {}
"""What a connection was last known to hold, and its count of changes then: most acts leave one index as it was."""

Refill = tuple[Callable[[Any, Any], None], Any, Any]
Hold = Callable[[list[Refill], Any], Iterable[Any]]
_WAYS: dict[type[Any], Hold | None] = {}


class Snapshot:
    """What a world held. Raises TypeError for an object that cannot be put back."""

    def __init__(self, world: SmallWorld) -> None:
        self._refills: list[Refill] = []
        self._kept: list[Any] = []
        waiting: list[Any] = [world]
        seen: set[int] = set()
        while waiting:
            thing = waiting.pop()
            if id(thing) in seen:
                continue
            hold = _way_of(type(thing))
            if hold is not None:
                seen.add(id(thing))
                # An object that were freed could leave its address to another one.
                self._kept.append(thing)
                waiting.extend(hold(self._refills, thing))

    def restore(self) -> None:
        """Put everything back."""
        for refill, thing, held in self._refills:
            refill(thing, held)


def forget() -> None:
    """Forget the connections of worlds that are closed."""
    _HOLDS.clear()


def _hold_dict(refills: list[Refill], thing: dict[Any, Any]) -> Iterable[Any]:
    held = dict(thing)
    refills.append((_refill_dict, thing, held))
    return [*held, *held.values()]


def _hold_list(refills: list[Refill], thing: list[Any]) -> Iterable[Any]:
    held = thing[:]
    refills.append((_refill_list, thing, held))
    return held


def _hold_set(refills: list[Refill], thing: set[Any]) -> Iterable[Any]:
    held = set(thing)
    refills.append((_refill_dict, thing, held))
    return held


def _hold_deque(refills: list[Refill], thing: deque[Any]) -> Iterable[Any]:
    held = list(thing)
    refills.append((_refill_deque, thing, held))
    return held


def _hold_cell(refills: list[Refill], thing: types.CellType) -> Iterable[Any]:
    refills.append((_refill_cell, thing, thing.cell_contents))
    return (thing.cell_contents,)


def _hold_random(refills: list[Refill], thing: random.Random) -> Iterable[Any]:
    refills.append((random.Random.setstate, thing, thing.getstate()))
    return ()


def _hold_index(refills: list[Refill], thing: sqlite3.Connection) -> Iterable[Any]:
    content, changes = _HOLDS.get(thing, (b"", -1))
    if changes != thing.total_changes:
        content = thing.serialize()
        _HOLDS[thing] = content, thing.total_changes
    refills.append((_refill_index, thing, content))
    return ()


def _hold_store(refills: list[Refill], thing: SqlStore) -> Iterable[Any]:
    refills.append((SqlStore.restore, thing, thing.snapshot()))
    return ()


def _hold_generator(_refills: list[Refill], thing: types.GeneratorType[Any, Any, Any]) -> Iterable[Any]:
    if _IDS not in thing.__qualname__:
        raise TypeError(f"the generator {thing.__qualname__} cannot be put back")
    return ()


def _hold_iterator(_refills: list[Refill], thing: Any) -> Iterable[Any]:
    if thing.__length_hint__():
        raise TypeError("an iterator that is not at its end cannot be put back")
    return ()


_SPECIAL: Final[tuple[tuple[type | tuple[type, ...], Hold], ...]] = (
    (dict, _hold_dict),
    (list, _hold_list),
    ((tuple, frozenset), lambda _refills, thing: thing),
    (set, _hold_set),
    (deque, _hold_deque),
    (types.FunctionType, lambda _refills, thing: thing.__closure__ or ()),
    (types.CellType, _hold_cell),
    (types.MethodType, lambda _refills, thing: (thing.__self__,)),
    (functools.partial, lambda _refills, thing: (thing.func, *thing.args, *thing.keywords.values())),
    (random.Random, _hold_random),
    (sqlite3.Connection, _hold_index),
    (SqlStore, _hold_store),
    (types.GeneratorType, _hold_generator),
    (type(iter(())), _hold_iterator),
    (types.MappingProxyType, lambda _refills, thing: thing.values()),
)


def _way_of(kind: type[Any]) -> Hold | None:
    """Return the function that holds objects of a type; None for a type whose objects never change."""
    if kind not in _WAYS:
        _WAYS[kind] = _found_way(kind)
    return _WAYS[kind]


def _found_way(kind: type[Any]) -> Hold | None:
    if issubclass(kind, _FIXED):
        return None
    for kinds, hold in _SPECIAL:
        if issubclass(kind, kinds):
            return hold
    if issubclass(kind, Struct):
        return _way_of_fields(kind.__struct_fields__, fixed=kind.__struct_config__.frozen)
    slots = tuple(name for each in kind.__mro__ for name in _slots(each))
    if kind.__dictoffset__:
        if slots:
            raise TypeError(f"{kind.__qualname__} has slots and a dictionary")
        return _hold_attributes
    if not slots and kind.__basicsize__ > object.__basicsize__:
        raise TypeError(f"a {kind.__module__}.{kind.__qualname__} cannot be put back")
    return _way_of_fields(slots, fixed=getattr(getattr(kind, "__dataclass_params__", None), "frozen", False))


def _slots(kind: type) -> tuple[str, ...]:
    names = kind.__dict__.get("__slots__", ())
    return tuple(name for name in ((names,) if isinstance(names, str) else names) if name != "__weakref__")


def _hold_attributes(refills: list[Refill], thing: Any) -> Iterable[Any]:
    held = dict(vars(thing))
    refills.append((_refill_dict, vars(thing), held))
    return held.values()


def _way_of_fields(names: tuple[str, ...], *, fixed: bool) -> Hold:
    def hold(refills: list[Refill], thing: Any) -> Iterable[Any]:
        held = [(name, getattr(thing, name)) for name in names if hasattr(thing, name)]
        if not fixed:
            refills.append((_refill_fields, thing, held))
        return [value for _, value in held]

    return hold


def _refill_dict(thing: Any, held: Any) -> None:
    thing.clear()
    thing.update(held)


def _refill_list(thing: list[Any], held: list[Any]) -> None:
    thing[:] = held


def _refill_deque(thing: deque[Any], held: list[Any]) -> None:
    thing.clear()
    thing.extend(held)


def _refill_cell(thing: types.CellType, held: Any) -> None:
    thing.cell_contents = held


def _refill_fields(thing: Any, held: list[tuple[str, Any]]) -> None:
    for name, value in held:
        setattr(thing, name, value)


def _refill_index(thing: sqlite3.Connection, held: bytes) -> None:
    if thing.in_transaction:
        thing.rollback()
    content, changes = _HOLDS.get(thing, (b"", -1))
    if content is not held or changes != thing.total_changes:
        # Statements that are prepared on a connection outlive a backup into it, but not a deserialization.
        with contextlib.closing(sqlite3.connect(":memory:")) as past:
            past.deserialize(held)
            past.backup(thing)
        _HOLDS[thing] = held, thing.total_changes
