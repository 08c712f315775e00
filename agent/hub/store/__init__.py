"""The hub's database in SQLAlchemy Core: SQLite by default, PostgreSQL for several hubs.

`tables` is the current schema, `session` one transaction, `sql_store` the connections, `statements` what compiles a
statement and carries it out, `bulk` the statements for many rows.
Begin reading with `tables.py`.
"""
