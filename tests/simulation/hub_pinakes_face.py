"""The hub's third API in the simulation: Pinakes' bodies over the one log that all APIs of the hub share."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson

from agent.hub.domain.ports import StoreSession
from agent.hub.pinakes.conflicts import conflict_document
from hub.pinakes_account import HubAccount
from simulation.pinakes_face import YEARS, Change, PinakesFace, Refusal, connector_of
from simulation.servers import store_in_memory
from strict_raven import Response, seeded_ids

_DAY = 86_400.0
_ADDRESSES = ("", "/pinakes")
"""Where the API begins: the spelling without a version is at the root as well."""


class HubPinakesFace(PinakesFace):
    """The hub in memory, with one of its hashes and one of its addresses, drawn by the seed."""

    def __init__(self, seed: int, clock: Callable[[], float]) -> None:
        rng = random.Random(f"traps {seed}")
        super().__init__("blake3" if rng.random() < 0.3 else "sha256", rng.choice(_ADDRESSES))
        self._store = store_in_memory()
        self._account = HubAccount(self._store, clock, self.algorithm, YEARS / _DAY, seeded_ids(seed))
        self.bearer = self._account.bearer

    def handle(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Response:
        """As in ``Server``."""
        return self._account.handle(method, path, headers, body)

    def snapshot(self) -> bytes:
        """As in ``Server``."""
        return self._account.snapshot()

    def restore(self, copy: bytes) -> None:
        """As in ``Server``. Devices are restored as well: the hub has one database."""
        self._account.restore(copy)

    def hash(self, content: bytes) -> str:
        """As in ``PinakesFace``."""
        return self._account.hash(content)

    def contents(self) -> dict[str, bytes]:
        """As in ``PinakesFace``."""
        return self._account.heads()

    def changes(self) -> Iterable[Change]:
        """As in ``PinakesFace``."""
        names = self._connectors()
        cursor, more = 0, True
        while more:
            page = self._read(f"changes?cursor={cursor}&limit=1000")
            for each in page["changes"]:
                by = names.get(each["changed_by_device"], "")
                yield Change(each["sequence"], each["path"], each["old_path"], each["content_hash"], by)
            cursor, more = page["cursor"], page["has_more"]

    def refusals(self) -> Iterable[Refusal]:
        """As in ``PinakesFace``."""
        names = self._connectors()

        def read(session: StoreSession, source: Any) -> list[Refusal]:
            found = session.version_conflicts(source.workspace, source.number, resolved=True)
            shown = [conflict_document(self._account.context, session, source, each) for each in found]
            return [
                Refusal(
                    each.id, each.path, each.local_hash, each.server_hash, names.get(each.device_id or "", ""),
                    each.resolution is None,
                )
                for each in shown
            ]  # fmt: skip

        return list(self._account.reading(read, []))

    def _connectors(self) -> dict[str, str]:
        return {each["id"]: connector_of(each["os_info"] or "") for each in self._read("devices")}

    def _read(self, path: str) -> Any:
        headers = {"authorization": f"Bearer {self.bearer}"}
        answer = self.handle("GET", f"/api/sync/{path}", headers, b"")
        assert answer.status == 200, (path, answer)
        return orjson.loads(answer.body)

    def put(self, path: str, content: bytes) -> bool:
        """As in ``PinakesFace``."""
        self._account.put(path, content)
        return True

    def move(self, old: str, new: str) -> bool:
        """As in ``PinakesFace``."""
        if new in self.contents():
            return False
        self._account.move({old: new})
        return True

    def remove(self, path: str) -> bool:
        """As in ``PinakesFace``."""
        self._account.remove(path)
        return True

    def close(self) -> None:
        """As in ``Server``."""
        self._store.give_back()
