"""The SQLite index: everything the agent knows of its sources, in one file a home.

One module a table or tree; they read and write rows and decide nothing. Begin with ``store.py`` (opening) and
``trees.py`` (base, local and remote side of every path); the schema is ``migrations/*.sql``. The engine writes: each
step of ``Engine.step`` is one transaction.
"""

from agent.index.store import Index, open_index, open_reader, quarantine

__all__ = ["Index", "open_index", "open_reader", "quarantine"]
