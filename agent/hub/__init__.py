"""The embedded document server: Raven's local-sync protocol on SQLite or PostgreSQL.

`domain` holds the records and the unit of work, `store` the database, `raven` the wire protocol; `serve` runs it all.
Begin reading with `raven/push.py`, then `domain/source_transaction.py`.
"""
