"""Local states: what one machine can know and do next, with the server as that machine can see it.

Machines meet at the server alone. So an act of a machine is a function of its own state, of the server's heads and
conflicts, and of the events it has not read. Everything else in a world is left out here: names of texts, ids, numbers
that only count, and moments but for being past, soon or later.
"""

from __future__ import annotations

import dataclasses
import enum
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from msgspec import Struct

from agent.disk.apply.staging import StagingMark
from agent.engine import effects as e
from explorer.texts import TEXT, Value, numbered, seen_by
from explorer.world import HIDDEN, PATIENCE, SmallWorld
from simulation.machine import FOLDER_LANE, WATCHER_LANE, Machine, _path_of
from simulation.user import sha

PAGE = "page"
"""Somebody at the server."""
FOLDER, ASIDE, UNSCANNED, AGES, STORED, PROCESS, UNREAD, CORE, STIRRED = range(9)
"""Parts of a local state: the files that are selected; a file that is not; paths of which the watcher has not told yet;
ages of files that were written a moment ago;
what the agent keeps on disk; its memory and what it waits for; the events it has not read; heads and conflicts on the
server; True if the poll that waits would be answered at once."""
UNDURABLE, ROWS, CONFLICTS, OPERATIONS = range(4)
"""Parts of what is stored."""
MEMORY, WORK, CALLS, SAID, HELD, WAKE = range(6)
"""Parts of a process."""
DURABLE: Final = ((), ())
RACY: Final = 2.0
"""Seconds from a write in which its time stamp is no proof of the content. From then on an age matters no more."""
_QUERIES: Final = (
    "SELECT path, base_hash, local_presence, local_hash, local_reason, remote_hash, step, racy FROM files "
    "ORDER BY path",
    "SELECT path, hash FROM approved ORDER BY path",
    "SELECT path, hash FROM undone_deletes ORDER BY path",
    "SELECT path, step, hash FROM removals ORDER BY path, step, at",
    "SELECT path, new, expected, purpose FROM intents ORDER BY path",
    "SELECT path, hash, reason FROM stashes ORDER BY path, reason, rowid",
    "SELECT path, origin, reason FROM problems ORDER BY path, origin",
    "SELECT halted IS NOT NULL, remote_paused, rejoin, held_since IS NOT NULL, looked_at IS NULL, verified_at IS NULL "
    "FROM sources",
)
_NAMED: Final = (
    "SELECT id, 'operation', path, verb, hash, base FROM operations",
    "SELECT id, 'intent', path, new, expected, purpose FROM intents",
    "SELECT id, 'stash', path, hash, reason, NULL FROM stashes",
)
"""Rows with random ids: each id stands for the rest of its row."""
_COUNTERS: Final = frozenset(
    {
        "next_poll", "next_batch", "_number", "_taken", "_taken_before", "_judged", "_files", "newest_position",
        "drain_goal", "drained", "echo_goal", "_goal", "acknowledged_spans", "settle_goal", "contents_size", "batches",
        "batch", "polls", "_compare_after", "changes", "waiting_passes", "_closed", "asking",
    }
)  # fmt: skip
"""Numbers that matter only against each other; ``_progress`` has what follows from them."""
_ELSEWHERE: Final = frozenset(
    {
        "index", "setup", "rng", "_rng", "tally", "effects", "due", "now", "_unused", "_cache", "_unwritten_activity",
        "new_activity", "_moves", "source_row", "open_operations", "unanswered", "approved", "undone", "parked",
        "waiting", "foreign", "problems", "intents", "moved", "undone_moved", "_ids", "_chosen", "_groups", "births",
        "_observers", "_actors", "traffic",
    }
)  # fmt: skip
"""Mirrors of the index, caches, and what lasts no longer than a step."""
_LONG_AGO: Final = frozenset(
    {
        "_judged_at", "synced_at", "drained_at", "last_event_at", "scan_began", "_last_poll_at", "changed_since_rest",
        "pass_began", "wake_at", "changed_during_check", "_marks", "conflicts_asked", "_acked_before", "_listed",
        "_parts", "_gone", "_finished_at",
    }
)  # fmt: skip
"""Moments of the past, and notes of a question whose answer comes within the same act."""
_LEFT_OUT: Final = _COUNTERS | _ELSEWHERE | _LONG_AGO


def local_state(world: SmallWorld, machine: Machine) -> tuple[Value, tuple[str, ...]]:
    """Return a machine's local state with its texts numbered, and the hashes of these texts in their order."""
    core, conflicts = core_of(world)
    owners = world.owners()
    unread, positions = events_after(world, _cursor(machine), conflicts, owners)
    spans = machine.engine._ctx.in_flight.acknowledged_spans
    # Events of its own that the machine knows from the answers to its pushes.
    known = [e for e, at in zip(unread, positions, strict=True) if any(s.first <= at <= s.last for s in spans)]
    stirred = any(isinstance(c.effect, e.Poll) and c.changes != world.changes for c in machine.calls)
    tree = [(path, sha(data)) for path, data in sorted(machine.user.tree().items())]
    state = (
        tuple(file for file in tree if file[0] != HIDDEN),
        tuple(digest for path, digest in tree if path == HIDDEN),
        tuple(sorted(world.unscanned[machine.name])),
        _ages(world, machine),
        *_agent(world, machine, conflicts, tuple(known)),
        unread, core, stirred,
    )  # fmt: skip
    return numbered(seen_by(machine.name, state))


def core_of(world: SmallWorld) -> tuple[Value, dict[str, Value]]:
    """Return the server's heads and open conflicts, and what the ids of these conflicts stand for."""
    owners = world.conflict_owners()
    ids = {
        one["id"]: (
            "conflict", one["relativePath"], one["baseHash"], one["localHash"], one["remoteHash"],
            owners.get(one["id"], PAGE),
        )
        for one in world.open_conflicts()
    }  # fmt: skip
    heads = world.server.evidence(world.source_id).heads
    files = tuple(sorted((path, sha(text.encode())) for path, text in heads.items()))
    return (files, tuple(ids.values())), ids


def events_after(
    world: SmallWorld, cursor: int, conflicts: Mapping[str, Value], owners: Mapping[str, str]
) -> tuple[Value, list[int]]:
    """Return the events behind a cursor, and their positions."""
    events = [event for event in world.feed() if event["cursor"] > cursor]
    found = []
    for event in events:
        payload = event["payload"]
        conflict, operation = payload.get("conflictId"), payload.get("operationId")
        found.append(
            (
                event["type"], event.get("relativePath"), payload.get("hash"), payload.get("localHash"),
                payload.get("remoteHash"), payload.get("reason"), operation and owners.get(operation, PAGE),
                conflict and conflicts.get(conflict, "gone"),
            )
        )  # fmt: skip
    return tuple(found), [event["cursor"] for event in events]


def _cursor(machine: Machine) -> int:
    row = machine.index.connection.execute("SELECT cursor FROM sources").fetchone()
    return int((row and row[0]) or 0)


def _agent(world: SmallWorld, machine: Machine, conflicts: Mapping[str, Value], known: Value) -> tuple[Value, Value]:
    """Return what the agent keeps on disk, and what only its process has."""
    connection = machine.index.connection
    named = {row[0]: tuple(row[1:]) for query in _NAMED for row in connection.execute(query)}
    dump = _Dump(world.times[machine.name], {**named, **conflicts})
    lanes = ((lane if lane in (FOLDER_LANE, WATCHER_LANE) else "call", said) for lane, said in machine.said.items())
    calls = [dump.effect(call.effect) for call in machine.calls]
    stored = (
        _undurable(machine, named),
        tuple(tuple(connection.execute(query).fetchall()) for query in _QUERIES),
        tuple(_conflict(found, conflicts) for found in machine.conflicts()),
        _operations(world, machine),
    )
    process = (
        (known, _progress(machine, dump), dump.part(machine.engine)),
        tuple(dump.effect(effect) for effect in machine.folder_work),
        # A push carries the other calls out in their order; when the poll was asked for, does not matter.
        tuple(sorted(calls, key=lambda call: call[0] == "Poll")),
        tuple((lane, tuple(type(message).__name__ for message in said)) for lane, said in lanes if said),
        machine.engine.held is not None,
        dump.moment(machine.wake),
    )
    return stored, process


def _ages(world: SmallWorld, machine: Machine) -> Value:
    tree, now = machine.user.tree(), world.times[machine.name]
    ages = (
        (path, round(now - node.mtime / 1e9, 3)) for path, node in machine.fs.files(machine.user.home) if path in tree
    )
    return tuple(sorted((path, age) for path, age in ages if age < RACY))


def _undurable(machine: Machine, named: Mapping[str, Value]) -> Value:
    """Return what a power loss takes back: names with the texts they stood for before, and paths of contents.

    Args:
        named: what ids stand for.
    """
    fs = machine.fs
    names = tuple(
        (
            _path_of(fs.top, change.folder),
            _name(change.name, named),
            None if change.old is None else sha(change.old.data),
        )
        for done in fs._journal[fs._kept :]
        for change in done
    )
    return names, tuple(sorted(path for path, node in fs.files() if node.data != node.durable))


def _name(name: str, named: Mapping[str, Value]) -> Value:
    """Return a name; the mark of an intent that was not carried out bears a random id, which stands for its row."""
    identifier, _, mark = name.partition(".")
    return (named.get(identifier, "gone"), mark) if name.endswith(StagingMark.CANCELLED) else name


def _conflict(found: Any, conflicts: Mapping[str, Value]) -> Value:
    known = tuple(sorted((conflicts.get(identifier, "gone") for identifier in found.server_ids), key=_masked))
    choice = None if found.choice is None else str(found.choice)
    return (
        found.path, str(found.kind), str(found.origin), found.base_hash, found.local_hash, found.remote_hash,
        found.head_hash, str(found.state), found.mine, choice, found.wanted_hash, known,
    )  # fmt: skip


def _operations(world: SmallWorld, machine: Machine) -> Value:
    """Open operations, with the one thing the server knows of each that its answers show: that it was applied."""
    rows = machine.index.connection.execute(
        "SELECT id, path, verb, hash, base, purpose, state, echoed IS NOT NULL FROM operations "
        "WHERE state IN ('stored', 'unsettled', 'acked') ORDER BY seq"
    ).fetchall()
    applied = world.server.evidence(world.source_id).applied if rows else {}
    return tuple((*row[1:], applied.get(row[0], 0) > 0) for row in rows)


def _progress(machine: Machine, dump: _Dump) -> Value:
    """How far the feed was read, against everything that waits for it."""
    engine, flight = machine.engine, machine.engine._ctx.in_flight
    behind = engine._ctx.source_row.feed_state
    goals = tuple(sorted(((dump.of(i), flight.drained >= goal) for i, goal in flight.settle_goal.items()), key=_masked))
    polls = (
        (call.state == behind, call.wait > 0, number >= flight.drain_goal) for number, call in flight.polls.items()
    )
    remote = "SELECT remote_hash, position FROM files WHERE path = ?"
    # The answer to a question counts only if the row's remote side is still the one for which it was asked.
    asked = sorted(
        (path, (machine.index.connection.execute(remote, (path,)).fetchone() or (None, 0)) == side)
        for path, side in flight.asking.items()
    )
    closed = sorted((path, flight.drained >= poll) for path, poll in engine._resolutions._closed.items())
    return (
        flight.drained >= flight.drain_goal, flight.drained >= flight.echo_goal,
        flight.drained >= engine._verification._goal, goals, tuple(closed), tuple(asked), tuple(sorted(polls)),
        tuple(sorted((dump.of(identifier) for identifier in flight.batch), key=_masked)),
    )  # fmt: skip


def _masked(value: Value) -> str:
    """Return a key to sort by in which all texts are alike: an order by hashes would tell equal states apart."""
    return TEXT.sub("#", repr(value))


class _Dump:
    """Puts the memory of an engine into nested tuples.

    Args:
        now: the machine's time.
        ids: what ids stand for.
    """

    def __init__(self, now: float, ids: Mapping[str, Value]) -> None:
        self._now = now
        self._ids = ids

    def moment(self, moment: float | None) -> str | None:
        """Return a moment as past, soon or later."""
        if moment is None:
            return None
        return "past" if moment <= self._now else "soon" if moment <= self._now + PATIENCE else "later"

    def of(self, value: Any) -> Value:
        """Return any value; a float is a moment."""
        kind = type(value)
        way = _WAYS.get(kind)
        if way is None:
            way = _WAYS[kind] = _way_of(kind)
        return way(self, value)

    def text(self, value: str) -> Value:
        """Return what an id stands for, and any other text as it is."""
        return self._ids.get(value, value)

    def sequence(self, value: Iterable[Any]) -> Value:
        """Return values in their order."""
        return tuple([self.of(each) for each in value])

    def unordered(self, value: Iterable[Any]) -> Value:
        """Return values in an order that does not depend on names."""
        return tuple(sorted(self.sequence(value), key=_masked)) if value else ()

    def mapping(self, value: Mapping[Any, Any]) -> Value:
        """Return pairs in an order that does not depend on names."""
        return self.unordered(value.items()) if value else ()

    def record(self, names: tuple[str, ...], value: Any) -> Value:
        """Return the name of a record's type, and what its fields hold."""
        return (type(value).__name__, *[self.of(getattr(value, name)) for name in names])

    def other(self, value: Any) -> Value:
        """Return what an object of no known type holds, or the name of its type."""
        return self.part(value) if hasattr(value, "__dict__") else type(value).__name__

    def part(self, part: object) -> Value:
        """Return what one part of an engine holds, without other parts and without what is empty."""
        found = []
        for name, value in vars(part).items():
            if name in _LEFT_OUT or callable(value) or name == "_handlers":
                continue
            if hasattr(value, "_ctx") and not hasattr(part, "_handlers"):
                continue
            if name == "_ctx" and not hasattr(part, "_handlers"):
                continue
            shown = self.of(value)
            if shown not in (None, False, (), 0):
                found.append((name, shown))
        return tuple(found)

    def effect(self, effect: e.Effect) -> Value:
        """Return an effect without its numbers."""
        name = type(effect).__name__
        match effect:
            case e.Send():
                return name, *(self.of(parcel.operation.id) for parcel in effect.parcels)
            case e.Poll():
                return name, effect.wait > 0
            case e.ScanPaths():
                return name, tuple(sorted(effect.paths))
            case e.FetchHead():
                return name, effect.path
            case e.FetchHeadsAndConflicts():
                return name, tuple(sorted(effect.paths))
            case e.CloseConflict():
                return name, self.of(effect.server_id), str(effect.choice)
            case e.ApplyChanges():
                return name, tuple(sorted((i.path, i.new, i.expected) for i, _ in effect.jobs))
        return (name,)


_WAYS: dict[type, Callable[[_Dump, Any], Value]] = {}
"""How a value of a type is put into tuples."""
_KINDS: Final[tuple[tuple[type | tuple[type, ...], Callable[[_Dump, Any], Value]], ...]] = (
    ((type(None), bool), lambda _dump, value: value),
    (enum.Enum, lambda _dump, value: value.name),
    (float, _Dump.moment),
    (int, lambda _dump, value: value),
    (str, _Dump.text),
    (bytes, lambda _dump, value: sha(value)),
    ((list, tuple, deque), _Dump.sequence),
    ((set, frozenset), _Dump.unordered),
    (Mapping, _Dump.mapping),
)


def _way_of(kind: type) -> Callable[[_Dump, Any], Value]:
    for kinds, way in _KINDS:
        if issubclass(kind, kinds):
            return way
    if issubclass(kind, Struct):
        names: tuple[str, ...] = kind.__struct_fields__
    elif dataclasses.is_dataclass(kind):
        names = tuple(field.name for field in dataclasses.fields(kind))
    else:
        return _Dump.other
    told = tuple(name for name in names if name not in _LEFT_OUT)
    return lambda dump, value: dump.record(told, value)
