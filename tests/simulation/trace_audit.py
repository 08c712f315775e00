"""Audit of a run: every change goes back to something that a user did or saw.

The laws alone accept an agent that undoes a user's edit, as long as some trash has a copy. The audit asks for more:

- A change that a machine made on the server was made by its user.
- The version that it replaced there had been in the user's folder or was shown to the user.
- A version that it took out of the folder was the server's as well.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from agent.core.conflict import ConflictState
from agent.core.model import EMPTY_HASH, ApplyOutcome, Intent, Observation, Purpose, Resolution
from agent.core.paths import collision_key
from agent.core.remote_records import Operation, Result
from agent.engine import effects as e
from agent.engine import messages as m
from simulation.decision_audit import DecisionAudit
from simulation.indexes import SOURCE
from simulation.machine import Machine
from simulation.memory_fs import Names, Node
from simulation.oracle import clashing
from simulation.servers import call
from simulation.user import User, sha
from simulation.world import World

_ACTS = {
    "write", "replace", "delete", "rename", "discard", "link", "hard_link", "write_open", "act", "tidy_one",
}  # fmt: skip
_BY_SERVER_EDIT = "raven_edit_stale_base"

Spot = tuple[str, str | None]
"""A path, as a folding disk tells names apart, and the hash of what stands there; None: nothing."""


def spot(path: str, digest: str | None) -> Spot:
    """The spot for a path in any spelling: on a disk that folds names a person's file answers to all of them."""
    return collision_key(path), digest


@dataclass(slots=True)
class MachineTrace:
    """The acts of one machine and its person so far.

    Attributes:
        done: what its person brought about: a text at a path, or nothing there.
        seen: texts that have stood at a path of its folder, or been shown to its person in a conflict there.
        sent: operations that went to the server, by id.
        decided: ids of those that carry out a decision.
        closed: ids of conflicts it asked the server to close so that the head changes.
        closings: ids of all conflicts it asked the server to close.
        disputes: path, base and local side of the conflicts that parked a path there.
        taken: texts that the server acknowledged, each at the path of its operation.
        pulled: texts that a pull put at a path.
        undone: files whose delete was undone and that did not stand in the folder since.
        scanned_mounts: folders that were mounted when the newest scan began.
        mounts: those of each scan of which the engine took in the end.
        complaints: what was found wrong at once.
    """

    done: set[Spot] = field(default_factory=set)
    seen: set[Spot] = field(default_factory=set)
    sent: dict[str, Operation] = field(default_factory=dict)
    decided: set[str] = field(default_factory=set)
    closed: set[str] = field(default_factory=set)
    closings: set[str] = field(default_factory=set)
    disputes: set[tuple[str, str | None, str]] = field(default_factory=set)
    taken: set[Spot] = field(default_factory=set)
    pulled: set[Spot] = field(default_factory=set)
    undone: dict[str, str] = field(default_factory=dict)
    scanned_mounts: set[str] = field(default_factory=set)
    mounts: set[str] = field(default_factory=set)
    complaints: list[str] = field(default_factory=list)


class TraceAudit:
    """Records what machines and people do, and checks at the end that each change was asked for and seen."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._of = {machine.name: MachineTrace() for machine in world.machines}
        for machine in world.machines:
            _watch_person(machine, self._of[machine.name])
            _watch_decisions(world, machine, self._of[machine.name])
            overheard: Any = functools.partial(_Overheard, machine, self._of[machine.name], machine._make_carrier)
            machine._make_carrier = overheard
        self._earlier: list[dict[str, Any]] = []
        self._respelling = {machine.name for machine in world.machines if machine.fs.disk.names is Names.DECOMPOSED}
        self._watch_server()

    def complaints(self) -> list[str]:
        """Return each change that no person asked for, or that replaced a text unseen."""
        told = list(self._told())
        found = [*self._on_server(told), *self._decided(told), *self._conflicts(told)]
        found += [f"{name}: {text}" for name, of in self._of.items() for text in of.complaints]
        return [*found, *self._strangers(), *self._left_open(), *self._in_trash(told), *self._not_brought_back()]

    def _watch_server(self) -> None:
        """Note what a server told before it is set back."""
        server = self._world.server
        restore = server.restore

        def restored(copy: object) -> None:
            self._earlier += self._told()
            restore(copy)

        setattr(server, "restore", restored)  # noqa: B010

    def _told(self) -> Iterator[dict[str, Any]]:
        if self._world.plain is not None:
            yield from self._world.plain.told()
            return
        cursor = 0
        while True:
            body = {"sourceId": self._world.source_id, "cursor": cursor, "limit": 500}
            page = call(self._world.server, "sources/deltas", body)[1]["data"]
            yield from page["events"]
            if not page["events"]:
                return
            cursor = page["events"][-1]["cursor"]

    def _on_server(self, told: list[dict[str, Any]]) -> Iterator[str]:
        """Check that machines send only what their person did, on top of versions that the person had seen."""
        heads: dict[str, str | None] = {}
        plain = self._world.plain is not None
        senders = {identifier: name for name, of in self._of.items() for identifier in of.sent}
        for event in told:
            if event["type"] not in {"file.upsert", "file.delete"}:
                continue
            path, new = event["relativePath"], event["payload"].get("hash")
            old, heads[path] = heads.get(path), new
            identifier = self._operation_of(event) if plain else event["payload"].get("operationId", "")
            if new == old or identifier not in senders:
                continue
            name = senders[identifier]
            of = self._of[name]
            # What a server forgot when it was set back goes up again from every folder that holds it; and to a machine
            # without its index a file that was deleted elsewhere meanwhile is one the server does not have yet.
            union = self._world.restored & {"server", name}
            excused = bool(union) and new is not None and spot(path, new) in of.seen
            # A disk that writes names down in another spelling makes a pulled file look deleted and made anew.
            excused = excused or name in self._respelling
            if identifier not in of.decided and spot(path, new) not in of.done and not excused:
                yield f"nobody's act: {name} put {self._word(new)} at {path} on the server, and nobody there did that"
            if old is not None and spot(path, old) not in of.seen and not self._owned_up(name, path, old):
                yield f"overwritten unseen: {name} put {self._word(new)} over {self._word(old)} at {path} on the server"

    def _operation_of(self, event: dict[str, Any]) -> str:
        """The operation behind an event of a server that does not name it: one of a decision, if it may be one."""
        name = str(event["payload"]["device"]).removeprefix("id-of-")
        path, digest = event["relativePath"], event["payload"]["hash"]
        of = self._of.get(name)
        sent = {} if of is None else of.sent
        found = [
            i for i, op in sent.items() if (path == op.old_path and not digest) or (op.path, op.hash) == (path, digest)
        ]
        return max(found, key=lambda each: of is not None and each in of.decided, default="")

    def _owned_up(self, name: str, path: str, digest: str) -> bool:
        """Return True if the machine found out afterwards that it had overwritten a text, and told its person.

        Only the index can know: one that went before the operation's echo came by takes that with it.
        """
        if name in self._world.restored and self._world.plan.server == "strict":
            return True
        machine = next(machine for machine in self._world.machines if machine.name == name)
        rows = machine.index.connection.execute("SELECT path, detail FROM activity WHERE what = 'overwritten_unseen'")
        return (path, digest) in set(rows)

    def _decided(self, told: list[dict[str, Any]]) -> Iterator[str]:
        """A resolution replaces a version that the person who decided had seen.

        Only asked on the hub, which takes a resolution for the head it expects. On the strict server another version
        can come between the agent's last look at the head and its resolution.
        """
        if self._world.plan.server != "hub" or self._world.restored:
            return
        heads: dict[str, str | None] = {}
        for event in told:
            if event["type"] not in {"file.upsert", "file.delete"}:
                continue
            path, new = event["relativePath"], event["payload"].get("hash")
            old, heads[path] = heads.get(path), new
            _, resolved, identifier = str(event["payload"].get("operationId", "")).partition("resolve-")
            closers = [name for name, of in self._of.items() if resolved and identifier in of.closings]
            if old is None or new == old or not closers:
                continue
            if not any(spot(path, old) in self._of[name].seen for name in closers):
                yield f"decided unseen: {closers} put {self._word(new)} over {self._word(old)} at {path}"

    def _strangers(self) -> Iterator[str]:
        """A conflict of a stranger is closed only together with a machine's own of the same base and text."""
        for identifier, (path, base, text) in self._world.stranger.conflicts.items():
            for name, of in self._of.items():
                pushed = any((o.path, o.base, o.hash) == (path, base, text) for o in of.sent.values())
                if _dispute(path, base, text) in of.disputes:
                    continue
                if identifier in of.closings and not pushed and name not in self._world.restored:
                    yield f"a stranger's conflict: {name} closed one on {path} that was none of its own"

    def _conflicts(self, told: list[dict[str, Any]]) -> Iterator[str]:
        """A machine closes conflicts of its own operations, and those over edits made on the server.

        One decision also closes another machine's conflict with the same base and the same local side.
        """
        for event in told:
            payload, path = event["payload"], event.get("relativePath")
            if event["type"] != "conflict.opened" or payload.get("reason") == _BY_SERVER_EDIT:
                continue
            text = payload.get("localHash")
            pushed = {name: found for name, of in self._of.items() if (found := _sent(of, str(path), text))}
            openers = pushed.keys()
            disputes = {_dispute(o.path, o.base, o.hash) for found in pushed.values() for o in found}
            for name, of in self._of.items():
                if of.disputes & disputes:
                    continue
                if openers and name not in openers and payload["conflictId"] in of.closed:
                    yield f"another machine's conflict: {name} closed one on {path} that {sorted(openers)} had opened"

    def _not_brought_back(self) -> Iterator[str]:
        """Each file whose delete was undone stood in the folder again, or its loss is reported.

        A path at which the server holds something else, or that cannot be filled, is let off.
        """
        heads = self._world.server.heads(self._world.source_id)
        for machine in self._world.machines:
            if self._world.restored & {"server", machine.name} or machine.fs.disk.names is not Names.EXACT:
                continue
            reported = machine.reported()
            for path, digest in self._of[machine.name].undone.items():
                others = [
                    head for head in heads if head == path or head.startswith(path + "/") or path.startswith(head + "/")
                ]
                if not others and path not in reported:
                    yield f"not brought back: the delete of {self._word(digest)} at {path} was undone on {machine.name}"

    def _left_open(self) -> Iterator[str]:
        """Check that every machine shows every conflict on the server: to a person who can decide it, or in a list.

        Only asked on the hub: the strict server's feed can leave the event out that tells of a conflict, and no
        listing says which of them were edits made on the server. A run may end right after a decision about a path that
        is a file and a folder at once there; what it opens is met by the others' next passes.
        """
        body = {"sourceId": self._world.source_id}
        if self._world.plain is not None:
            yield from self._left_open_on_plain(self._world.plain.open_conflicts())
            return
        if self._world.plan.server != "hub":
            yield from self._equals_left_open(call(self._world.server, "sources/conflicts", body)[1]["data"])
            return
        shown = {
            machine.name: {i for found in machine.conflicts() for i in found.server_ids}
            for machine in self._world.machines
        }
        split = clashing(self._world.server.heads(self._world.source_id))
        for listed in call(self._world.server, "sources/conflicts", body)[1]["data"]:
            if listed["relativePath"] in split:
                continue
            for name in (name for name, ids in shown.items() if listed["id"] not in ids):
                yield f"left open: {name} is not shown the conflict on {listed['relativePath']} of the server"

    def _left_open_on_plain(self, listed: dict[str, tuple[str, str, str | None]]) -> Iterator[str]:
        """Each verification reads the list of conflicts, so every conflict is shown somewhere."""
        shown = {i for machine in self._world.machines for found in machine.conflicts() for i in found.server_ids}
        for identifier, (device, path, _) in listed.items():
            if identifier not in shown:
                yield f"left open: nobody is shown the conflict of {device} on {path} of the server"

    def _equals_left_open(self, listed: list[dict[str, Any]]) -> Iterator[str]:
        """Of two conflicts on the same text and base, the one that resolves closes both."""
        if self._world.restored:
            return
        shown = {i for machine in self._world.machines for c in machine.conflicts() if c.mine for i in c.server_ids}
        for found in listed:
            path, base, text = found["relativePath"], found["baseHash"], found["localHash"]
            pushed = [n for n, of in self._of.items() if any((o.path, o.base, o.hash) == (path, base, text)
                                                             for o in of.sent.values())]  # fmt: skip
            if len(pushed) > 1 and found["id"] not in shown and found["id"] not in self._world.stranger.conflicts:
                yield f"left open: {pushed} pushed {self._word(text)} at {path}, and one of the conflicts stays open"

    def _in_trash(self, told: list[dict[str, Any]]) -> Iterator[str]:
        """Nothing of a person's is unlinked, whatever the server keeps; what a pull put into the trash is what its
        name says, and the server had it.
        """
        keys = ("hash", "localHash", "remoteHash")
        held = {
            spot(event.get("relativePath") or "", event["payload"].get(key))
            for event in (*self._earlier, *told)
            for key in keys
        }
        known = {digest for _, digest in held}
        for machine in self._world.machines:
            for digest, by in machine.fs.destroyed.items():
                # A new file put in and out again is the server's text still, though its person saved it as it was. One
                # that was downloaded in parts becomes a download again.
                if not (by.endswith((".new", ".down")) and digest in known):
                    yield f"past the trash: {machine.name} took its last copy of {self._word(digest)} away by {by}"
            for path, node in machine.fs.files():
                _, in_trash, name = path.rpartition("/trash/s/")
                if in_trash and name.count("-") >= 4:
                    yield from self._entry(machine, name, node, held)

    def _entry(self, machine: Machine, name: str, node: Node, held: set[Spot]) -> Iterator[str]:
        _, identifier, digest, reason, quoted = name.split("-", 4)
        path, there = unquote(quoted), sha(node.data)
        if there != digest and set(digest) != {"0"}:
            yield f"trash: {machine.name} keeps {self._word(there)} under the name of {self._word(digest)}"
        # What a program wrote to a file in the trash came back under a name of its own.
        late = any(there[:8] in rescued for rescued in machine.rescues)
        # The server can have taken it below a folder that moved meanwhile: then it never was at this path there. Nor
        # was a file that seemed to follow an older move of its folder, so that a pull had put it here.
        of = self._of[machine.name]
        known = {each for _, each in held}
        had = {*held, *of.taken, *(each for each in of.pulled if each[1] in known)}
        # Both sides moved one file, and the server edited it too: our move was refused, and the text that the edit
        # replaces here was the server's at the old path.
        moves = [operation for operation in of.sent.values() if operation.old_path is not None]
        had |= {spot(each.path, each.hash) for each in moves if spot(each.old_path or "", each.hash) in held}
        if reason == "pull" and not identifier.endswith(".found") and spot(path, there) not in had and not late:
            yield f"set back: a pull took {self._word(there)} from {path} of {machine.name}, and no server ever had it"

    def _word(self, digest: str | None) -> str:
        return "nothing" if digest is None else self._world.script.word(digest)


def _sent(of: MachineTrace, path: str, digest: str | None) -> list[Operation]:
    """Return a machine's operations with this text. The wire cannot tell a delete's conflict from an empty text's."""
    wanted = digest or EMPTY_HASH
    return [o for o in of.sent.values() if o.path == path and (o.hash or EMPTY_HASH) == wanted]


def _dispute(path: str, base: str | None, text: str | None) -> tuple[str, str | None, str]:
    """Return what tells one disagreement from another. The wire cannot tell a delete's from an empty text's."""
    return path, base, text or EMPTY_HASH


def _watch_person(machine: Machine, of: MachineTrace) -> None:
    """Have every act of this machine's person noted by what it leaves behind."""
    under_way: list[str] = []

    def noted(act: Callable[..., Any], *given: Any) -> Any:
        if under_way:
            return act(*given)
        under_way.append(act.__name__)
        before = User.tree(machine.user)
        try:
            return act(*given)
        finally:
            under_way.clear()
            after = User.tree(machine.user)
            changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
            spots = {spot(path, sha(after[path]) if path in after else None) for path in changed}
            # To take a disk away deletes none of its files. A disk that came and went between two scans was an
            # ordinary folder to the agent, and looks emptied.
            taken = machine.strange.taken_away
            away = collision_key(f"{taken}/") if taken in of.mounts else None
            of.done |= {(path, digest) for path, digest in spots if digest or not away or not path.startswith(away)}
            machine.strange.taken_away = None
            of.seen |= spots
            for path in changed:
                of.undone.pop(path, None)

    for actor in (machine.user, machine.strange):
        for name in _ACTS & vars(type(actor)).keys():
            setattr(actor, name, functools.partial(noted, getattr(actor, name)))


def _watch_decisions(world: World, machine: Machine, of: MachineTrace) -> None:
    """Record the texts that a decided conflict showed, and those that an undo of deletes brings back."""
    tell, decisions = machine.tell, DecisionAudit()

    def told(*messages: m.Message) -> None:
        for message in messages:
            if isinstance(message, m.Resolve):
                shown = machine.conflict(message.conflict)
                # What is decided comes after what was undone before.
                of.undone.pop(shown.path, None)
                # The head is not shown where it is neither side: then it must have been in the folder.
                of.seen |= {spot(shown.path, each) for each in (shown.local_hash, shown.remote_hash)}
            lost = machine.lost_mounts if isinstance(message, m.Resume) else frozenset()
            if isinstance(message, m.ScanFinished) and message.trouble is None:
                of.mounts |= of.scanned_mounts
            of.mounts -= lost
            for name in lost:
                # The person goes on without the disk: its files are forgotten, and new if they come back.
                files = {**machine.user.tree(), **machine.strange.files_away()}
                of.done |= {spot(path, sha(data)) for path, data in files.items() if path.startswith(f"{name}/")}
            if isinstance(message, m.Restore) and message.content is not None:
                wanted = spot(message.path, sha(message.content))
                of.done.add(wanted)
                of.seen.add(wanted)
        undo = any(isinstance(message, m.UndoDeletes) for message in messages)
        held = machine.engine.held if undo else None
        beyond = _beyond_undo(machine) if undo else set()
        tell(*messages)
        if world.plain is None:
            of.complaints += decisions.check(world, machine, messages)
        of.disputes |= {_dispute(c.path, c.base_hash, c.local_hash) for c in machine.engine._ctx.parked.values()}
        if undo:
            undone = {*machine.engine._ctx.undone.items(), *(() if held is None else held.files)}
            of.done |= {spot(path, digest) for path, digest in undone}
            of.undone.update((path, digest) for path, digest in undone if path not in beyond)
            # A folder that only sends gets back what its person asks for.
            machine.decided.update(path for path, _ in undone)
            of.complaints += renamed_back(machine)

    machine.tell = told  # type: ignore[method-assign]


class _Overheard:
    """A carrier whose messages and effects the audit notes."""

    def __init__(self, machine: Machine, of: MachineTrace, make: Callable[..., Any], *given: Any) -> None:
        self._machine = machine
        self._of = of
        self._carrier = make(*given)
        self._intents: dict[str, Intent] = {}

    def carry_out(self, effect: e.Effect) -> Iterator[m.Message]:
        """As the carrier."""
        if isinstance(effect, e.Send):
            self._of.sent |= {parcel.operation.id: parcel.operation for parcel in effect.parcels}
            self._of.decided |= {
                parcel.operation.id for parcel in effect.parcels if parcel.content_override is not None
            }
        if isinstance(effect, e.ScanFolder):
            self._of.scanned_mounts = self._machine.strange.mounted
        if isinstance(effect, e.CloseConflicts):
            self._of.closings |= {close.server_id for close in effect.closes}
            self._of.closed |= {c.server_id for c in effect.closes if c.choice is not Resolution.KEEP_RAVEN}
        if isinstance(effect, e.ApplyChanges):
            self._intents |= {intent.id: intent for intent, _ in effect.jobs}
        if isinstance(effect, e.Recover):
            self._intents |= {intent.id: intent for intent in effect.intents}
        for message in self._carrier.carry_out(effect):
            self._hear(message)
            yield message

    def _hear(self, message: m.Message) -> None:
        if isinstance(message, m.BatchAnswered | m.Recalled):
            answered = message.outcomes if isinstance(message, m.BatchAnswered) else (message.outcome,)
            ids = {outcome.operation_id for outcome in answered if outcome.result is Result.APPLIED}
            applied = [self._of.sent[identifier] for identifier in ids & self._of.sent.keys()]
            self._of.taken |= {spot(operation.path, operation.hash) for operation in applied}
        elif isinstance(message, m.ScanResults):
            self._of.seen |= {spot(seen.path, seen.side.hash) for seen in message.seen}
            self._stood(message.seen)
        elif isinstance(message, m.ChangesApplied):
            self._stood(landed.seen for landed in message.landed if landed.seen)
            self._of.seen |= {spot(landed.seen.path, landed.seen.side.hash) for landed in message.landed if landed.seen}
            # What was installed stood there, however soon its person saved over it.
            made = {landed.intent_id for landed in message.landed if landed.landing is ApplyOutcome.DONE}
            for intent in (self._intents[identifier] for identifier in made & self._intents.keys()):
                self._of.seen.add(spot(intent.path, intent.new))
                if intent.purpose is Purpose.PULL:
                    self._of.pulled.add(spot(intent.path, intent.new))
                if intent.origin is not None:
                    # A file takes along what its person did to it and saw in it.
                    for spots in (self._of.done, self._of.seen):
                        old, _ = spot(intent.origin, None)
                        spots |= {spot(intent.path, digest) for at, digest in spots if at == old}

    def _stood(self, found: Iterable[Observation]) -> None:
        for seen in found:
            if seen.side.is_file:
                self._of.undone.pop(seen.path, None)


def _beyond_undo(machine: Machine) -> set[str]:
    """Return the files that an undo leaves as they are.

    These are the files that their person has deleted since the last scan, as an undo is for deletes that came before;
    and those of conflicts that the person has decided, as the decision is carried out.
    """
    known = {row.path for row in machine.index.trees.all(SOURCE) if row.local.is_file}
    parked = machine.engine._ctx.parked.values()
    decided = {conflict.path for conflict in parked if conflict.state is ConflictState.RESOLVING}
    return (known - machine.user.tree().keys()) | decided


def renamed_back(machine: Machine) -> Iterator[str]:
    """Yield the old names of renamed files that an undo makes again, though no other file has an equal text.

    The agent takes a file for renamed only if it knows it under its new name.
    """
    undone, user = machine.engine._ctx.undone, machine.user
    tree = user.tree()
    rows = machine.index.trees.get(SOURCE, [*tree, *undone])
    for path, digest in undone.items():
        known = [other for other in tree if digest == rows[other].local.hash == rows[other].base.hash]
        alone = list(undone.values()).count(digest) == 1 and len(known) == 1 and rows[path].is_empty
        if alone and path in user.renamed and user.find(known[0]) is user.renamed[path]:
            yield f"an old name: {path} was renamed to {known[0]}, and an undo makes it again"
