"""Check of the promises about large contents while a machine works, which no end of a run can show."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from agent.core.reconcile import Step
from agent.core.remote_records import Verb
from agent.engine import effects as e

if TYPE_CHECKING:
    from simulation.machine import Machine


class NotCancelled(AssertionError):
    """A transfer goes on whose bytes nobody wants any more."""


class DeletedTooSoon(AssertionError):
    """The server loses a text that only a large upload to come brings back."""


class TransferAudit:
    """One for each process of a machine."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._cancelled: set[str] = set()
        self._useless: set[str] = set()

    def check_step(self, effects: Iterable[e.Effect]) -> None:
        """Check one step of the engine. Raises NotCancelled and DeletedTooSoon."""
        effects = list(effects)
        self._cancelled |= {x.transfer_id for x in effects if isinstance(x, e.CancelFetch)}
        self._cancelled |= {x.operation_id for x in effects if isinstance(x, e.CancelUpload)}
        self._check_deletes(effects)
        # What a later part of the step made useless is cancelled in the next one.
        useless = self._find_useless() - self._cancelled
        forgotten = useless & self._useless
        self._useless = useless
        if forgotten:
            raise NotCancelled(f"nobody wants the bytes of {sorted(forgotten)}, and they still travel")

    def _find_useless(self) -> set[str]:
        store, parked = self._machine.engine._path_store, self._machine.engine._ctx.parked
        applying = self._machine.engine._ctx.in_flight.applying
        found = set()
        for call in self._machine.calls:
            if isinstance(call.effect, e.Fetch):
                transfer = call.effect.transfer
                row = store.row(transfer.path)
                wanted = row.remote.hash == transfer.hash and row.step in (Step.PULL, Step.UNKNOWN)
                # The texts of a conflict are wanted until it is decided.
                if not wanted and row.path not in parked and row.path not in applying:
                    found.add(transfer.id)
            elif isinstance(call.effect, e.Send) and call.effect.is_large:
                [parcel] = call.effect.parcels
                local = store.row(parcel.operation.path).local
                if parcel.content_override is None and local.hash != parcel.operation.hash:
                    found.add(parcel.operation.id)
        return found

    def _check_deletes(self, effects: Iterable[e.Effect]) -> None:
        engine = self._machine.engine
        limit = engine._ctx.setup.inline_limit
        sends = [effect for effect in effects if isinstance(effect, e.Send)]
        parcels = [parcel for send in sends for parcel in send.parcels if parcel.content_override is None]
        deleted = {p.operation.base: p.operation.path for p in parcels if p.operation.verb is Verb.DELETE}
        for row in engine._path_store.with_step(Step.PUSH) if limit is not None and deleted else ():
            path = deleted.get(row.local.hash)
            if path is not None and path not in engine._ctx.parked and engine._ctx.setup.is_large(row.local.size or 0):
                raise DeletedTooSoon(f"{path} is deleted on the server, and {row.path} with its text is not there yet")
