"""The SQLite index: the three trees, operations, conflicts and what happened."""

from agent.index.store import Index, open_index, open_reader, quarantine

__all__ = ["Index", "open_index", "open_reader", "quarantine"]
