"""The embedded document server on SQLite or PostgreSQL, with two APIs: Raven's local-sync protocol and ScaiDrive's.

`domain` holds the records and the unit of work, `store` the database, `raven` and `scaidrive` one API each. `serve`
runs it all. Begin reading with `raven/push.py`, then `domain/source_transaction.py`, then `scaidrive/applying.py`.
"""
