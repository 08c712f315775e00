"""Queries about the machines that sync: heartbeats, positions in a source's feed, devices of other APIs."""

from __future__ import annotations

from sqlalchemy import bindparam, func, literal_column, select, update

from agent.hub.domain.heartbeats import HeartbeatBatch
from agent.hub.domain.model import ConnectorPosition, SourceDevice
from agent.hub.store import tables as t
from agent.hub.store.bulk import OnDuplicate, add_rows
from agent.hub.store.statements import Statement, Transaction, is_value, removal

_HEARTBEAT = Statement(
    update(t.connectors)
    .where(t.connectors.c.id == bindparam("i"))
    .values(heartbeat_at=bindparam("at"), updated_at=bindparam("at"))
)
_RENAME_CONNECTOR = Statement(
    update(t.connectors)
    .where(t.connectors.c.id == bindparam("i"))
    .values(name=bindparam("new"), updated_at=bindparam("at"))
)
_RENAME_OF_TOKEN = Statement(
    update(t.tokens)
    .where(t.tokens.c.id == bindparam("i"), t.tokens.c.machine.is_not(None))
    .values(machine=bindparam("new"))
)
_CONNECTOR_OF_TOKEN = Statement(
    update(t.tokens)
    .where(t.tokens.c.id == bindparam("i"), func.coalesce(t.tokens.c.connector, literal_column("''")) != bindparam("c"))
    .values(connector=bindparam("c"))
)
_NO_POSITION = removal(t.connector_positions, t.connector_positions.c.connector, t.connector_positions.c.source)
_POSITIONS = Statement(
    select(
        t.connector_positions.c.connector, t.connector_positions.c.position, t.connector_positions.c.reached_at
    ).where(is_value(t.connector_positions.c.source, "s"))
)
_DEVICES = Statement(
    select(
        t.devices.c.id, t.devices.c.name, t.devices.c.platform, t.devices.c.version, t.devices.c.last_seen_at,
        t.device_cursors.c.position, t.device_cursors.c.last_sync_at,
    )
    .join(t.device_cursors, t.device_cursors.c.device == t.devices.c.number)
    .where(is_value(t.device_cursors.c.source, "s"))
    .order_by(t.devices.c.number)
)  # fmt: skip
_BEHIND = Statement(
    select(func.count()).where(
        t.events.c.source == bindparam("s"),
        t.events.c.cursor > bindparam("after"),
        t.events.c.type < literal_column(str(t.HIDDEN_CODE)),
    )
)


class MachineQueries:
    """The part of `StoreSession` that is about machines."""

    _db: Transaction

    def save_heartbeats(self, batch: HeartbeatBatch) -> None:
        # Sorted, so that two hubs that write the same rows cannot deadlock.
        _HEARTBEAT.many(self._db, [{"i": connector, "at": at} for connector, at in sorted(batch.seen.items())])
        places = sorted(batch.positions.items())
        _NO_POSITION.many(self._db, [{"connector": connector, "source": source} for (connector, source), _ in places])
        # Another hub may write the position of the same connector between the two statements. Its position stays then,
        # until the connector moves on.
        rows = [(*key, place.position, place.at) for key, place in places]
        add_rows(self._db, t.connector_positions, rows, OnDuplicate.LEFT_ALONE)

    def remove_connector_position(self, connector: str, source: int) -> None:
        _NO_POSITION.run(self._db, connector=connector, source=source)

    def rename_connector(self, connector: str, name: str, now: int) -> None:
        _RENAME_CONNECTOR.run(self._db, i=connector, new=name, at=now)

    def rename_machine_of_token(self, token: str, name: str) -> None:
        _RENAME_OF_TOKEN.run(self._db, i=token, new=name)

    def note_connector_of_token(self, token: str, connector: str) -> None:
        _CONNECTOR_OF_TOKEN.run(self._db, i=token, c=connector)

    def connector_positions(self, source: int) -> dict[str, ConnectorPosition]:
        rows = _POSITIONS.rows(self._db, s=source)
        return {connector: ConnectorPosition(position, at) for connector, position, at in rows}

    def source_devices(self, source: int) -> list[SourceDevice]:
        return [SourceDevice(*row) for row in _DEVICES.rows(self._db, s=source)]

    def events_behind(self, source: int, cursor: int) -> int:
        ((count,),) = _BEHIND.rows(self._db, s=source, after=cursor)
        return int(count)
