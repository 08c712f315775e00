"""The hub's database in SQLAlchemy Core: SQLite by default, PostgreSQL for several hubs.

`tables` is the current schema, `session` one transaction, `sql_store` the connections, `bulk` the fast statements.
Begin reading with `tables.py`.
"""
